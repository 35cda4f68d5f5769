"""The two language models: proper distributions, no leak, and the sampled loss."""

import doctest
import itertools

import pytest
import torch
from teaching import taught
from torch.nn import functional as F

from course_utils import bidirectional, elmo, runtime

N, D, H, L = 11, 5, 7, 2


@pytest.fixture
def model():
    runtime.seed_everything(0)
    return elmo.BiLM(torch.randn(N, D), range(1, N + 1), L=L, H=H).double().eval()


def test_examples_in_the_docstrings():
    assert doctest.testmod(elmo).failed == 0


def test_probabilities_of_all_sentences_sum_to_one_in_both_directions():
    runtime.seed_everything(0)
    model = elmo.BiLM(torch.randn(3, D), [5, 3, 2], L=L, H=H).double().eval()
    every = torch.tensor(list(itertools.product(range(3), repeat=4)))
    with torch.no_grad():
        log_p = model.log_probabilities(every, torch.full((81,), 4)).sum(-1)
    assert (log_p.exp().sum(1) - 1).abs().max() < 1e-12


def test_the_chapter_teaches_the_same_probabilities(model):
    ids, lengths = torch.randint(N, (3, 5)), torch.full((3,), 5)
    ours = taught("05_elmo", "log_probabilities")(model, ids, lengths)
    torch.testing.assert_close(ours, model.log_probabilities(ids, lengths), rtol=0, atol=1e-12)


def test_a_prediction_sees_only_its_side(model):
    sentence = torch.tensor([3, 1, 4, 0, 5])
    full = torch.full((5,), 5)
    below = torch.ones(5, 5).tril(-1).bool()
    for side, wanted in enumerate((below, below.T)):
        moved = bidirectional.influence(
            lambda ids: model.contexts(ids, full)[side], sentence, N
        )
        assert ((moved > 0) == wanted).all()
    mixed = bidirectional.influence(lambda ids: model.states(ids, full)[-1], sentence, N)
    assert (mixed > 0).all()


def test_padding_and_neighbours_change_nothing(model):
    ids, lengths = elmo.padded([[3, 1, 4], [1, 5, 9, 2, 6]])
    alone = model.states(ids[:1, :3], torch.tensor([3]))
    batch, other = model.states(ids, lengths), ids.clone()
    other[0, 3:] = 8
    torch.testing.assert_close(batch[:, :1, :3], alone, rtol=0, atol=1e-12)
    assert torch.equal(model.states(other, lengths), batch) and (batch[:, 0, 3:] == 0).all()
    found = [model.log_probabilities(x, n) for x, n in (
        (ids, lengths), (ids[:1, :3], torch.tensor([3])))]
    torch.testing.assert_close(found[0][:, :1, :3], found[1], rtol=0, atol=1e-12)


def test_layer_zero_is_the_static_vector_twice(model):
    h = model.states(torch.tensor([[2, 7, 2]]), torch.tensor([3]))
    assert h.shape == (L + 1, 1, 3, 2 * D)
    assert torch.equal(h[0, 0, 0], model.table[2].repeat(2))
    assert torch.equal(h[0, 0, 0], h[0, 0, 2]) and not torch.equal(h[1, 0, 0], h[1, 0, 2])


def test_a_sample_that_holds_every_word_once_is_the_exact_softmax(model):
    h, targets = torch.randn(7, D).double(), torch.tensor([1, 1, 2, 3, 5, 8, 0])
    output, log_q = (model.table, model.bias), torch.full((N,), 1 / N, dtype=torch.float64).log()
    loss = elmo.sampled_loss(h, targets, output, torch.arange(N), log_q)
    exact = F.cross_entropy(h @ model.table.T + model.bias, targets)
    assert abs(loss - exact) < 1e-12


def test_the_sample_estimates_the_missing_part_without_bias(model):
    """One word drawn, all of them averaged with weight q: the expectation, exactly."""
    h, target = torch.randn(1, D).double(), torch.tensor([4])
    q = torch.rand(N).double()
    q, output = q / q.sum(), (model.table, model.bias)
    scores = (h @ model.table.T + model.bias)[0]
    parts = [elmo.sampled_loss(h, target, output, torch.tensor([w]), q.log())
             for w in range(N)]
    expected = sum(p * (loss + scores[4]).exp() for p, loss in zip(q, parts))
    assert abs(expected - scores.exp().sum()) < 1e-10


def test_the_loss_is_blind_to_the_table_gradient_and_reaches_all_layers(model):
    ids = torch.randint(N, (3, 5))
    model.loss(ids, torch.arange(N), torch.zeros(N).double()).backward()
    assert not model.table.requires_grad
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_training_learns_a_text_that_repeats():
    runtime.seed_everything(0)
    text = elmo.rows(torch.arange(1200).numpy() % 5, 8)
    model = elmo.BiLM(torch.randn(5, D), [1] * 5, L=1, H=H)
    losses = list(elmo.train(model, text, updates=60, lr=0.05, B=8, K=5,
                             generator=runtime.generator(0)))
    assert losses[0] > 1.2 and sum(losses[-5:]) / 5 < 0.6


def test_mix_by_hand_and_as_taught():
    """s = (1/4, 1/2, 1/4): 2 (8/4 + 0 + 4/4) = 6 and 2 (0 + 4/2 + 8/4) = 8."""
    h = torch.tensor([[8.0, 0.0], [0.0, 4.0], [4.0, 8.0]])
    w = torch.tensor([1.0, 2.0, 1.0]).log()
    for function in (elmo.mix, taught("05_elmo", "mix")):
        torch.testing.assert_close(
            function(h, w, 2.0), torch.tensor([6.0, 8.0]), rtol=0, atol=1e-5)


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="counts above 0"):
        elmo.BiLM(torch.zeros(3, 2), [1, 0, 1])
    with pytest.raises(ValueError, match="3 numbers, one a layer"):
        elmo.mix(torch.zeros(3, 2), torch.zeros(2))
    with pytest.raises(ValueError, match="at least 9 tokens"):
        elmo.rows(torch.arange(8).numpy(), 9)
