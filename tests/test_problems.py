"""The generated long-lag problems: targets, positions, baselines, criteria."""

import math

import pytest
import torch

from course_utils import problems
from course_utils.runtime import generator


def test_adding_target_is_the_sum_of_the_marked_numbers():
    x, y = problems.adding(257, 30, generator=generator(0))
    for row, target in zip(x, y):
        at = torch.nonzero(row[:, 1]).flatten().tolist()
        assert len(at) == 2
        assert 0 <= at[0] < 3 <= at[1] < 15
        assert target == pytest.approx((row[at[0], 0] + row[at[1], 0]).item(), abs=1e-6)


def test_adding_baselines():
    """Var of a sum of two uniforms: 2/12. |s - 1| > a has probability (1 - a)^2."""
    _, y = problems.adding(40_000, 10, generator=generator(1))
    ones = torch.ones_like(y)
    assert ((y - ones) ** 2).mean().item() == pytest.approx(
        problems.ADDING_VARIANCE, rel=0.03
    )
    for tolerance in (problems.STRICT, problems.LENIENT):
        expected = (1 - tolerance) ** 2
        # (1 - .08)^2 = 0.8464: four standard errors of a share over 40,000 draws
        # are below 0.01.
        got = problems.adding_failures(ones, y, tolerance)
        assert got == pytest.approx(expected, abs=0.01)


def test_nan_is_a_failure_and_shapes_must_agree():
    nan = torch.tensor([float("nan"), 1.0])
    assert problems.adding_failures(nan, torch.ones(2)) == 0.5
    with pytest.raises(ValueError, match="one shape"):
        problems.adding_failures(torch.ones(2, 1), torch.ones(2))


def test_temporal_order_class_is_the_order_of_the_letters():
    x, y = problems.temporal_order(300, 27, generator=generator(2))
    assert torch.equal(x.sum(-1), torch.ones(300, 27))
    for row, target in zip(x, y):
        symbols = "".join(problems.SYMBOLS[i] for i in row.argmax(-1).tolist())
        at = [i for i, symbol in enumerate(symbols) if symbol in "AB"]
        assert len(at) == 2 and 2 <= at[0] < 4 and 10 <= at[1] < 12
        assert symbols[at[0]] + symbols[at[1]] == problems.ORDERS[target]
    shares = torch.bincount(y, minlength=4) / 300
    assert (shares - problems.TEMPORAL_ORDER_CHANCE).abs().max() < 0.1


def test_copying_repeats_what_was_seen():
    x, y = problems.copying(7, 5, generator=generator(3), length=3, symbols=4)
    assert x.shape == y.shape == (7, 11)
    assert torch.equal(y[:, -3:], x[:, :3]) and (y[:, :-3] == 0).all()
    assert (x[:, 7] == 5).all() and (x == 5).sum() == 7
    assert x[:, :3].min() >= 1 and x[:, :3].max() <= 4


def test_copying_baseline_is_the_loss_of_the_best_memoryless_guess():
    x, y = problems.copying(2, 6, generator=generator(4), length=2, symbols=4)
    chances = torch.zeros(2, 10, 6)
    chances[:, :8, 0] = 1
    chances[:, 8:, 1:5] = 1 / 4
    nats = -chances.gather(2, y[..., None]).log().mean().item()
    assert nats == pytest.approx(problems.copying_baseline(6, length=2, symbols=4))
    assert nats == pytest.approx(2 * math.log(4) / 10)


@pytest.mark.parametrize("draw", [problems.adding, problems.temporal_order])
def test_same_generator_same_batch_and_short_sequences_are_refused(draw):
    one, two = (draw(5, 13, generator=generator(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one, two))
    with pytest.raises(ValueError, match="T >= 10, got B=5, T=9"):
        draw(5, 9, generator=generator(5))
