r"""Clipping the gradient, and the cliff that makes it necessary.

Introduced in chapter 7. The slide's Algorithm 1 rescales the whole gradient, so its
direction stays; clipping each tensor or each value turns it. `angle` says by how much.
The cliff is the error surface of one recurrent unit (Pascanu et al., 2013, figure 6).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def global_norm(gradients: Sequence[Tensor]) -> Tensor:
    """Euclidean norm of all gradients laid end to end.

    >>> global_norm([torch.tensor([3.0]), torch.tensor([[4.0]])])
    tensor(5.)
    """
    _expect_tensors(gradients)
    return torch.stack([g.square().sum() for g in gradients]).sum().sqrt()


def clip_by_global_norm(gradients: Sequence[Tensor], threshold: float) -> list[Tensor]:
    r"""The slide's Algorithm 1 (Pascanu et al., 2013, algorithm 1).

    .. math:: \hat g \leftarrow \frac{\text{threshold}}{\|\hat g\|} \hat g
        \quad \text{if } \|\hat g\| \ge \text{threshold}

    with one norm over all parameters. ``torch.nn.utils.clip_grad_norm_`` does the same
    in place, with 1e-6 added to the norm in the quotient.

    >>> clip_by_global_norm([torch.tensor([3.0]), torch.tensor([4.0])], 1.0)
    [tensor([0.6000]), tensor([0.8000])]
    """
    _expect_positive(threshold)
    norm = global_norm(gradients)
    scale = threshold / norm if norm >= threshold else 1.0
    return [g * scale for g in gradients]


def clip_per_tensor(gradients: Sequence[Tensor], threshold: float) -> list[Tensor]:
    """Algorithm 1 on each tensor alone: a common mistake, it turns the gradient.

    >>> clip_per_tensor([torch.tensor([3.0]), torch.tensor([4.0])], 1.0)
    [tensor([1.]), tensor([1.])]
    """
    return [clip_by_global_norm([g], threshold)[0] for g in gradients]


def clip_per_value(gradients: Sequence[Tensor], threshold: float) -> list[Tensor]:
    """Each entry cut to [-threshold, threshold] (Mikolov, 2012): it turns the gradient.

    >>> clip_per_value([torch.tensor([3.0, -0.5])], 1.0)
    [tensor([ 1.0000, -0.5000])]
    """
    _expect_positive(threshold)
    _expect_tensors(gradients)
    return [g.clamp(-threshold, threshold) for g in gradients]


def angle(one: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Angle in degrees between two gradients, each over all its tensors.

    Computed in float64 from the two unit vectors as 2 atan2(|a - b|, |a + b|), which
    stays exact near 0, where the arc cosine loses half of the digits.

    >>> angle([torch.tensor([1.0]), torch.tensor([0.0])], [torch.ones(1), torch.ones(1)])
    45.0
    """
    a, b = (torch.cat([g.flatten() for g in group]).double() for group in (one, other))
    if a.norm() == 0 or b.norm() == 0:
        raise ValueError("expected two gradients that are not zero, got a zero gradient.")
    a, b = a / a.norm(), b / b.norm()
    radians = 2 * torch.atan2((a - b).norm(), (a + b).norm())
    return float(torch.rad2deg(radians))


def cliff(w: Tensor, b: Tensor, *, T: int = 50, a_0: float = 0.5, target: float = 0.7):
    r"""Error after T steps of one unit without input, in Pascanu's parametrisation.

    .. math:: a_t = w\,\sigma(a_{t-1}) + b, \qquad E = (\sigma(a_T) - 0.7)^2

    (Pascanu et al., 2013, figure 6: 50 steps, start 0.5, target 0.7.) Here the state is
    the pre-activation a_t; with h_t = sigma(a_t) it is h_t = sigma(w h_{t-1} + b).

    Parameters
    ----------
    w, b : Tensor, same shape
        Any number of points of the surface at once.

    >>> round(cliff(torch.tensor(0.0), torch.tensor(0.0)).item(), 6)    # (1/2 - 0.7)^2
    0.04
    """
    if T < 1:
        raise ValueError(f"T: expected at least 1 step, got {T}.")
    a_t = torch.full_like(w, a_0)
    for _ in range(T):
        a_t = w * torch.sigmoid(a_t) + b
    return (torch.sigmoid(a_t) - target) ** 2


def _expect_positive(threshold: float) -> None:
    if not threshold > 0:
        raise ValueError(f"threshold: expected a positive number, got {threshold}.")


def _expect_tensors(gradients: object) -> None:
    if isinstance(gradients, Tensor) or not len(gradients):
        raise TypeError(
            "gradients: expected a non-empty list of tensors. Put one tensor into a list: [g]."
        )
