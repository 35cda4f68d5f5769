"""Clipping: equal to torch's, and the planted mistakes are caught by the angle."""

import math

import pytest
import torch

from course_utils import clipping
from course_utils.runtime import generator

SHAPES = ((5, 3), (5, 5), (5,), (2, 5), (2,))


def gradients(seed: int, scale: float = 1.0, dtype=torch.float64):
    g = generator(seed)
    sizes = (10.0, 0.1, 1.0, 3.0, 0.01)
    return [
        scale * size * torch.randn(shape, generator=g, dtype=dtype)
        for size, shape in zip(sizes, SHAPES)
    ]


@pytest.mark.parametrize("threshold", [0.5, 7.0, 1e6])
def test_equals_torch(threshold):
    """torch divides by norm + 1e-6, hence the relative tolerance."""
    ours = clipping.clip_by_global_norm(gradients(0), threshold)
    parameters = [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients(0)]
    for parameter, g in zip(parameters, gradients(0)):
        parameter.grad = g
    norm = torch.nn.utils.clip_grad_norm_(parameters, threshold)
    assert clipping.global_norm(gradients(0)).item() == pytest.approx(norm.item())
    for g, parameter in zip(ours, parameters):
        torch.testing.assert_close(g, parameter.grad, rtol=1e-6, atol=0)


def test_at_the_threshold_nothing_changes_and_below_neither():
    g = [torch.tensor([3.0, 4.0], dtype=torch.float64)]
    for threshold in (5.0, 5.1):
        assert torch.equal(clipping.clip_by_global_norm(g, threshold)[0], g[0])


def test_only_the_global_norm_keeps_the_direction():
    """The planted mistake: clipping per tensor. Norm bounded, direction lost."""
    g = gradients(1)
    right = clipping.clip_by_global_norm(g, 1.0)
    assert clipping.angle(right, g) < 1e-5
    assert clipping.global_norm(right).item() == pytest.approx(1.0)
    for wrong in (clipping.clip_per_tensor, clipping.clip_per_value):
        assert clipping.angle(wrong(g, 1.0), g) > 10


def test_per_tensor_and_per_value_by_hand():
    """g = ((3, 4), (0, 0.5)), threshold 1: see the arithmetic beside."""
    g = [torch.tensor([3.0, 4.0]), torch.tensor([0.0, 0.5])]
    first, second = clipping.clip_per_tensor(g, 1.0)
    torch.testing.assert_close(first, torch.tensor([0.6, 0.8]))  # (3, 4) / 5
    torch.testing.assert_close(second, g[1])  # norm 1/2, left alone
    first, second = clipping.clip_per_value(g, 1.0)
    assert first.tolist() == [1, 1] and torch.equal(second, g[1])


def test_angle_by_hand():
    """(1, 0) and (1, sqrt 3): 60 degrees; opposite vectors: 180; scale is free."""
    a = [torch.tensor([1.0]), torch.tensor([0.0])]
    b = [torch.tensor([1.0]), torch.tensor([math.sqrt(3.0)])]
    assert clipping.angle(a, b) == pytest.approx(60, abs=1e-5)
    assert clipping.angle(a, [-7 * g for g in a]) == pytest.approx(180)
    with pytest.raises(ValueError, match="zero gradient"):
        clipping.angle(a, [torch.zeros(2)])


def test_cliff_is_the_recurrence_of_one_unit():
    w, b = torch.tensor(3.0), torch.tensor(-1.5)
    a = 0.5
    for _ in range(4):
        a = 3.0 / (1 + math.exp(-a)) - 1.5
    expected = (1 / (1 + math.exp(-a)) - 0.7) ** 2
    assert clipping.cliff(w, b, T=4).item() == pytest.approx(expected, rel=1e-5)


def test_errors():
    with pytest.raises(TypeError, match=r"\[g\]"):
        clipping.global_norm(torch.ones(3))
    with pytest.raises(ValueError, match="positive number, got 0"):
        clipping.clip_by_global_norm([torch.ones(3)], 0)
