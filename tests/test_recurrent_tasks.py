"""The four tasks of the contest: shapes, errors by hand, fixed splits."""

import math

import pytest
import torch

from course_utils import recurrent_tasks as tasks
from course_utils.replicas import ReplicaModel

S, B, T = 2, 3, 11


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("make", [tasks.adding_task, tasks.order_task])
def test_batches_and_evaluation(make):
    task = make(T)
    D, K = task.sizes
    x, y, lengths = task.batch(S, B, gen())
    assert x.shape == (S, B, T, D) and y.shape == lengths.shape == (S, B)
    model = ReplicaModel("gru", S, (D, 5, K), generator=gen())
    assert task.loss(model(x, lengths), y).shape == (S,)
    first, again = (task.evaluate(model, S, "test", 300) for _ in range(2))
    assert torch.equal(first, again)  # the same examples every time
    assert not torch.equal(first, task.evaluate(model, S, "validation", 300))


def test_evaluation_in_parts_is_the_mean_over_all_examples():
    task = tasks.adding_task(T)
    x, y, lengths = task.draw("test", 300, gen(tasks.SPLIT_SEEDS["test"]))
    model = ReplicaModel("rnn", S, (2, 5, 1), generator=gen())
    with torch.no_grad():
        outputs = model(x.expand(S, -1, -1, -1), lengths.expand(S, -1))
    expected = (outputs[..., 0] - y).square().mean(1)
    got = task.evaluate(model, S, "test", 300)
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_errors_by_hand():
    outputs = torch.tensor([[[1.0], [3.0]], [[0.0], [0.0]]])  # (2, 2, 1)
    y = torch.tensor([[0.0, 1.0], [0.0, 2.0]])
    assert tasks.square(outputs, y).tolist() == [2.5, 2.0]
    logits = torch.log(torch.tensor([[[0.25, 0.75], [0.5, 0.5]]]))
    nats = tasks.cross_entropy(logits, torch.tensor([[1, 0]]))
    assert nats.item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2, abs=1e-6)
    assert tasks.share_wrong(logits, torch.tensor([[0, 0]])).item() == 0.5


def test_a_model_reads_the_last_valid_step_only():
    """Padding after the length changes nothing."""
    model = ReplicaModel("lstm", S, (5, 7, 2), generator=gen(), n_vocab=13)
    x = torch.randint(1, 13, (S, B, T), generator=gen())
    lengths = torch.tensor([[4, 7, 11]] * S)
    other = x.clone()
    other[:, 0, 4:] = 0
    assert torch.equal(model(x, lengths), model(other, lengths))
    changed = x.clone()
    changed[:, 0, 3] = 12 - changed[:, 0, 3] + 1
    assert not torch.equal(model(x, lengths)[:, 0], model(changed, lengths)[:, 0])


def test_layers_stack():
    model = ReplicaModel("gru", S, (5, 7, 2), generator=gen(), layers=3)
    x = torch.randn(S, B, T, 5, generator=gen())
    h = x
    for layer in model.layers:
        h = layer(h)
    assert len(model.layers) == 3 and torch.equal(model.head(h), model(x))
