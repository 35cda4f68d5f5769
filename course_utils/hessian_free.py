r"""Hessian-free optimisation: Gauss-Newton products, conjugate gradients, damping.

Introduced in chapter 7 (Martens, 2010; Martens and Sutskever, 2011). No matrix is formed:
one forward-mode product J v (the R-operator) and one backward product J^T u give the
Gauss-Newton matrix times a vector for the price of a few gradients.

Parameters are rows of ``theta`` (S, P): S independent problems (seeds) in one array.
Each has its own damping and its own stop; S = 1 for a single network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


def squared_error(z: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch of (z - y)^2: (S,) from z (S, B, 1) and y (S, B)."""
    return (z[..., 0] - y).square().mean(-1)


def cross_entropy(z: Tensor, y: Tensor) -> Tensor:
    """Mean over the batch of -log softmax(z)[y]: (S,) from z (S, B, K), y (S, B)."""
    return -torch.log_softmax(z, -1).gather(-1, y[..., None])[..., 0].mean(-1)


def squared_error_curvature(z: Tensor, v: Tensor) -> Tensor:
    """Second derivative of `squared_error` in z, times v: 2 v / B."""
    return 2 * v / z.shape[-2]


def cross_entropy_curvature(z: Tensor, v: Tensor) -> Tensor:
    """Second derivative of `cross_entropy` in z, times v: (diag(p) - p p^T) v / B."""
    p = torch.softmax(z, -1)
    return (p * v - p * (p * v).sum(-1, keepdim=True)) / z.shape[-2]


LOSSES = {
    squared_error: squared_error_curvature,
    cross_entropy: cross_entropy_curvature,
}


def r_operator(outputs: Callable[[Tensor], Tensor], theta: Tensor, v: Tensor) -> Tensor:
    """J v (S, B, K): how the outputs move if theta moves along v (Pearlmutter, 1994)."""
    return torch.func.jvp(outputs, (theta,), (v,))[1]


def gauss_newton(
    outputs: Callable[[Tensor], Tensor], curvature: Callable, theta: Tensor
) -> Callable[[Tensor], Tensor]:
    r"""The product v -> G v with the Gauss-Newton matrix.

    .. math:: G = J^\top H_L\, J, \qquad J = \partial z / \partial \theta

    (Schraudolph, 2002; Martens, 2010, section 4.2.) With a loss convex in the outputs z,
    G is positive semi-definite, which the Hessian is not.

    Parameters
    ----------
    outputs : callable
        theta (S, P) -> z (S, B, K), seed by seed.
    curvature : callable
        (z, u) -> H_L u, one of `squared_error_curvature`, `cross_entropy_curvature`.
    theta : Tensor, shape (S, P)

    Notes
    -----
    `r_operator` gives J v by forward mode and runs the network again for each v. Here the
    network is run once: J^T u is linear in u, so its own transpose, one more ``vjp``,
    maps v to J v. A product costs about two backward passes.
    """
    z, transposed = torch.func.vjp(outputs, theta)
    _, forward = torch.func.vjp(lambda u: transposed(u)[0], torch.zeros_like(z))

    def product(v: Tensor) -> Tensor:
        return transposed(curvature(z, forward(v)[0]))[0]

    return product


def conjugate_gradients(
    product: Callable[[Tensor], Tensor], b: Tensor, x: Tensor, *,
    precision: float = 5e-4, max_steps: int = 250,
) -> tuple[Tensor, Tensor]:
    r"""Minimise phi(x) = x^T A x / 2 - b^T x for each row, until progress is small.

    Martens' rule (2010, section 4.4): after step i, stop if

    .. math:: \phi(x_i) < 0 \quad\text{and}\quad
        \frac{\phi(x_i) - \phi(x_{i-k})}{\phi(x_i)} < k \varepsilon,
        \qquad k = \max(10, 0.1\, i)

    Parameters
    ----------
    product : callable
        (S, P) -> (S, P): A_s times row s, A_s positive definite.
    b, x : Tensor, shape (S, P)
        Right-hand sides and starting points.
    precision : float
        The rule's epsilon.

    Returns
    -------
    x : Tensor, shape (S, P)
    steps : Tensor of int64, shape (S,)
        Steps each row took; a row that has stopped is left alone.

    >>> A = torch.tensor([[2.0, 0.0], [0.0, 4.0]])
    >>> b = torch.tensor([[2.0, 4.0]])
    >>> x, steps = conjugate_gradients(lambda v: v @ A, b, torch.zeros(1, 2))
    >>> x.round(decimals=4).tolist(), steps.tolist()
    ([[1.0, 1.0]], [2])
    """
    r = b - product(x)  # (S, P)
    d, rr = r, _dot(r, r)
    going = rr > 0
    steps = torch.zeros(len(b), dtype=torch.int64, device=b.device)
    past = [-_dot(x, r + b) / 2]  # phi, since A x = b - r
    for i in range(1, max_steps + 1):
        if not going.any():
            break
        Ad = product(d)
        size = torch.where(going, rr / _dot(d, Ad).clamp_min(1e-30), 0.0)
        x = x + size[:, None] * d
        r = r - size[:, None] * Ad
        steps += going
        past.append(-_dot(x, r + b) / 2)
        rr_new = _dot(r, r)
        going = going & (rr_new > 1e-14 * _dot(b, b)) & ~_flat(past, i, precision)
        d = r + (rr_new / rr.clamp_min(1e-30))[:, None] * d
        rr = rr_new
    return x, steps


def _flat(past: list[Tensor], i: int, precision: float) -> Tensor:
    """Martens' rule after step i, for each row."""
    k = max(10, i // 10)
    if i <= k:
        return torch.zeros_like(past[-1], dtype=torch.bool)
    now, before = past[i], past[i - k]
    return (now < 0) & ((now - before) / now < k * precision)


def levenberg_marquardt(damping: Tensor, ratio: Tensor) -> Tensor:
    """New damping from the reduction ratio (Martens, 2010, section 4.1).

    >>> one = torch.ones(3)
    >>> levenberg_marquardt(one, torch.tensor([0.1, 0.5, 0.9]))
    tensor([1.5000, 1.0000, 0.6667])
    """
    raised = torch.where(ratio < 1 / 4, damping * 3 / 2, damping)
    return torch.where(ratio > 3 / 4, damping * 2 / 3, raised)


@dataclass(frozen=True)
class State:
    """What one step hands to the next."""

    theta: Tensor  # (S, P) parameters
    damping: Tensor  # (S,) lambda
    direction: Tensor  # (S, P) last CG solution, to start the next from
    loss: Tensor  # (S,) on the batch, before the step
    ratio: Tensor  # (S,) actual over predicted reduction
    steps: Tensor  # (S,) CG steps


def start(theta: Tensor, damping: float = 1.0) -> State:
    """The state before the first step."""
    zero = theta.new_zeros(len(theta))
    return State(theta, zero + damping, torch.zeros_like(theta), zero, zero, zero.long())


def step(
    state: State, outputs: Callable, y: Tensor, loss: Callable, *,
    max_steps: int = 50, momentum: float = 0.95,
) -> State:
    r"""One Hessian-free step on one batch.

    Solves :math:`(G + \lambda I)\, \delta = -g` by conjugate gradients from 0.95 times
    the last solution, adapts lambda by the reduction ratio

    .. math:: \rho = \frac{L(\theta + \delta) - L(\theta)}
        {g^\top \delta + \tfrac12 \delta^\top G \delta}

    and backtracks: the step is halved up to 7 times until the loss goes down, or dropped.
    The quadratic model in rho is the one without lambda.

    Parameters
    ----------
    outputs : callable
        theta (S, P) -> z (S, B, K) on this batch.
    y : Tensor, shape (S, B)
    loss : callable
        `squared_error` or `cross_entropy`.
    """
    theta = state.theta.detach().requires_grad_()
    before = loss(outputs(theta), y)
    (g,) = torch.autograd.grad(before.sum(), theta)
    theta, before = theta.detach(), before.detach()
    G = gauss_newton(outputs, LOSSES[loss], theta)
    delta, steps = conjugate_gradients(
        lambda v: G(v) + state.damping[:, None] * v, -g,
        momentum * state.direction, max_steps=max_steps,
    )
    model = _dot(g, delta) + _dot(delta, G(delta)) / 2
    with torch.no_grad():
        change = loss(outputs(theta + delta), y) - before
        ratio = torch.where(change.isfinite(), change / model, -1.0)
        scale = _backtrack(lambda s: loss(outputs(theta + s[:, None] * delta), y) - before, change)
    damping = levenberg_marquardt(state.damping, ratio)
    return State(theta + scale[:, None] * delta, damping, delta, before, ratio, steps)


def _backtrack(change_at: Callable[[Tensor], Tensor], change: Tensor) -> Tensor:
    """Step lengths (S,): 1, halved until the loss goes down; 0 if it never does."""
    scale = torch.ones_like(change)
    for _ in range(7):
        bad = ~(change < 0)
        if not bad.any():
            return scale
        scale = torch.where(bad, scale / 2, scale)
        change = torch.where(bad, change_at(scale), change)
    return torch.where(change < 0, scale, 0.0)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1)  # (S,)
