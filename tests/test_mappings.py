"""The four mappings: which steps count, what the network may read, free running."""

import pytest
import torch
from torch.nn.functional import cross_entropy, mse_loss

from course_utils import elman, mappings
from teaching import taught

B, T, D, H, K = 2, 7, 3, 5, 11


def network(D=D, K=K, seed=3):
    return elman.Elman(D, H, K, generator=torch.Generator().manual_seed(seed))


def test_steps_with_a_target():
    assert mappings.many_to_one(5).steps == [5]
    assert mappings.one_to_many(3).steps == [1, 2, 3]
    assert mappings.parallel(3).steps == [1, 2, 3]
    assert mappings.sub_part(7, n_in=5, first=4).steps == [4, 5, 6, 7]


def test_total_loss_is_the_sum_and_counts_only_judged_steps():
    """By hand, one sequence: outputs 1, 2, 4 against 3: losses 4, 1, 1."""
    y = torch.tensor([[[1.0], [2.0], [4.0]]])
    target = torch.full((1, 3, 1), 3.0)
    all_steps = mappings.losses(mappings.parallel(3), y, target, mse_loss)
    assert all_steps.tolist() == [4.0, 1.0, 1.0] and all_steps.sum() == 6.0
    last = mappings.losses(mappings.many_to_one(3), y, target[:, :1], mse_loss)
    assert last.tolist() == [1.0]
    part = mappings.sub_part(3, n_in=3, first=2)
    assert mappings.losses(part, y, target[:, :2], mse_loss).tolist() == [1.0, 1.0]


def test_the_sum_equals_torch_over_flattened_steps():
    g = torch.Generator().manual_seed(0)
    y = torch.randn(B, T, K, generator=g)
    target = torch.randint(K, (B, T), generator=g)
    terms = mappings.losses(mappings.parallel(T), y, target, cross_entropy)
    twin = cross_entropy(y.flatten(0, 1), target.flatten(), reduction="sum") / B
    torch.testing.assert_close(terms.sum(), twin)


def test_training_inputs_are_targets_one_step_late():
    """Planted mistake: a future leak by one position."""
    mapping = mappings.sub_part(5, n_in=2, first=2)
    x = torch.tensor([[[10.0], [20.0]]])
    y_star = torch.tensor([[[1.0], [2.0], [3.0], [4.0]]])  # steps 2 ... 5
    read = mappings.inputs(mapping, x, y_star, feed=lambda y: y)
    assert read[0, :, 0].tolist() == [10.0, 20.0, 1.0, 2.0, 3.0]
    for step in mapping.steps:  # changing a target changes no input up to its step
        other = y_star.clone()
        other[0, step - mapping.first] += 100
        changed = mappings.inputs(mapping, x, other, feed=lambda y: y)
        assert torch.equal(changed[:, :step], read[:, :step])


def test_generate_feeds_back():
    """A 'network' that doubles what it reads: 1, 3 gives 6, 12, 24."""
    def double(x, h_0):
        return 2 * x, x

    mapping = mappings.sub_part(4, n_in=2, first=2)
    x = torch.tensor([[[1.0], [3.0]]])
    out = mappings.generate(double, mapping, x, feed=lambda y: y)
    assert out[0, :, 0].tolist() == [6.0, 12.0, 24.0]


@pytest.mark.parametrize(
    "mapping",
    [
        mappings.many_to_one(T),
        mappings.one_to_many(T),
        mappings.parallel(T),
        mappings.sub_part(T, n_in=4, first=3),
    ],
    ids=lambda m: m.name,
)
def test_generate_equals_teacher_forcing_on_its_own_outputs(mapping):
    net = network(D, D)
    x = torch.randn(B, mapping.n_in, D, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        free = mappings.generate(net, mapping, x, feed=lambda y: y)
        read = mappings.inputs(mapping, x, free, feed=lambda y: y)
        forced = net(read)[0][:, mapping.first - 1 :]
    assert read.shape == (B, T, D) and free.shape == (B, len(mapping.steps), D)
    torch.testing.assert_close(free, forced)


def test_losses_without_a_target_send_no_gradient():
    net = network()
    y, _ = net(torch.randn(B, T, D))
    y.retain_grad()
    target = torch.zeros(B, 1, dtype=torch.int64)
    mappings.losses(mappings.many_to_one(T), y, target, cross_entropy).sum().backward()
    assert (y.grad[:, :-1] == 0).all() and (y.grad[:, -1] != 0).all()


def test_windows_never_meet_across_a_split():
    """Planted mistake: splitting after overlapping windows were cut."""
    series = torch.arange(20)
    train, test = series[:12], series[12:]
    past, future = mappings.windows(train, 4, 2)
    assert past.shape == (7, 4) and future.shape == (7, 2)
    assert set(torch.cat([past, future], 1).flatten().tolist()) <= set(train.tolist())
    leaky = torch.cat(mappings.windows(series, 4, 2), 1)
    assert any({11, 12} <= set(row.tolist()) for row in leaky)
    assert mappings.windows(test, 4, 2)[0].min() == 12


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="1 <= first <= T"):
        mappings.Mapping("wrong", 3, 0, 3)
    with pytest.raises(ValueError, match="no target"):
        mappings.sub_part(5, n_in=2, first=4)
    x, y_star = torch.zeros(B, 2, D), torch.zeros(B, 3, D)
    with pytest.raises(ValueError, match="feed"):
        mappings.inputs(mappings.sub_part(4, n_in=2, first=2), x, y_star)
    with pytest.raises(ValueError, match=r"\(B, 3, \.\.\.\)"):
        mappings.inputs(mappings.parallel(3), x, y_star)
    with pytest.raises(ValueError, match="length \\+ ahead"):
        mappings.windows(torch.arange(3), 3, 1)


def test_taught_functions_equal_the_library():
    """The chapter's `losses` and `generate` against this module's."""
    losses, generate = taught("07_training", "losses", "generate")
    g = torch.Generator().manual_seed(5)
    mapping = mappings.sub_part(T, n_in=4, first=3)
    y = torch.randn(B, T, K, generator=g)
    target = torch.randint(K, (B, 5), generator=g)
    mine = mappings.losses(mapping, y, target, cross_entropy)
    assert torch.equal(losses(mapping, y, target, cross_entropy), mine)
    net, x = network(D, D), torch.randn(B, 4, D, generator=g)
    ours = mappings.generate(net, mapping, x, feed=lambda y: y)
    assert torch.equal(generate(net, mapping, x, lambda y: y), ours)
