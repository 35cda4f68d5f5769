r"""Pascanu's regulariser against vanishing gradients.

Introduced in chapter 7. It asks that the error signal keeps its norm from one step to the
one before, in its own direction only, not that all Jacobians be isometries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def tanh_slope(h: Tensor) -> Tensor:
    """f' of tanh from its value: 1 - h^2."""
    return 1 - h * h


def relu_slope(h: Tensor) -> Tensor:
    """f' of ReLU from its value: 1 where h > 0."""
    return (h > 0).to(h.dtype)


def deltas(loss: Tensor, states: Sequence[Tensor], *, graph: bool = False) -> Tensor:
    """Total derivatives of the loss with respect to each state: (T, ..., H).

    Parameters
    ----------
    loss : Tensor, scalar
    states : sequence of T tensors (..., H)
        The very tensors that the loss was computed from.
    graph : bool
        Keep the graph, so that the result can be differentiated: the double backward.
    """
    found = torch.autograd.grad(
        loss, list(states), create_graph=graph, retain_graph=True, materialize_grads=True
    )
    return torch.stack(found)


def omega(
    delta: Tensor, h: Tensor, W: Tensor, *,
    slope: Callable = tanh_slope, bound: float = 1e-20,
) -> Tensor:
    r"""Mean over steps and sequences of the squared change of the error's norm.

    .. math:: \Omega_k = \left( \frac{\|\delta_{k+1}\,
        \partial h_{k+1} / \partial h_k\|}{\|\delta_{k+1}\|} - 1 \right)^2, \qquad
        \frac{\partial h_{k+1}}{\partial h_k} = \mathrm{diag}(f'(a_{k+1}))\, W

    (Pascanu et al., 2013, equation 9, with the slide's parametrisation of the Jacobian;
    their sum over k is a mean here, so that one weight serves several lengths.)

    Parameters
    ----------
    delta : Tensor, shape (T, ..., B, H)
        Total derivatives of the loss, from `deltas`. Detached, with `h` detached, the
        gradient of the result with respect to `W` is Pascanu's (equation 10: only the
        immediate dependence on W). With their graphs, it is the true gradient.
    h : Tensor, shape (T, ..., B, H)
    W : Tensor, shape (..., H, H)
    slope : callable
        f' as a function of h.
    bound : float
        Squared norms of delta below it are left out: no direction is left to keep.

    Returns
    -------
    Tensor, shape (...)
        One number for each network of a stack, a scalar for a single one.

    >>> delta, h = torch.ones(2, 1, 1), torch.zeros(2, 1, 1)
    >>> omega(delta, h, torch.tensor([[0.5]]))           # (0.5 - 1)^2
    tensor(0.2500)
    """
    if len(delta) < 2 or delta.shape != h.shape:
        raise ValueError(
            f"expected delta and h (T, ..., B, H), T >= 2, got {tuple(delta.shape)} "
            f"and {tuple(h.shape)}."
        )
    later = delta[1:]  # (T-1, ..., B, H)
    before = (later * slope(h[1:])) @ W  # (T-1, ..., B, H)
    size = later.square().sum(-1)  # (T-1, ..., B)
    used = size > bound
    ratio = (before.square().sum(-1) / size.where(used, 1.0)).clamp_min(1e-30).sqrt()
    terms = ((ratio - 1) ** 2).where(used, 0.0)
    return terms.sum((0, -1)) / used.sum((0, -1)).clamp_min(1)
