r"""Products of Jacobians of a recurrent network, and what bounds them.

Introduced in chapter 7 (exploding and vanishing gradients), used again in chapter 8.
For :math:`h_j = f(a_j)`, :math:`a_j = U x_j + W h_{j-1} + b_h`,

.. math:: \frac{\partial h_j}{\partial h_{j-1}} = \mathrm{diag}(f'(a_j))\, W, \qquad
    \frac{\partial h_t}{\partial h_k} = \prod_{j=t}^{k+1} \mathrm{diag}(f'(a_j))\, W

Rows are components of the numerator, columns of the denominator. The slide's
:math:`W^T \mathrm{diag}[f'(h_{j-1})]` is Pascanu et al. (2013), equation 5: the state there
is our pre-activation, :math:`a_j = W f(a_{j-1}) + \dots`, and the transpose is right for
row vectors, :math:`a_j = f(a_{j-1}) W + \dots` Both readings have the same bound.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

BETA_TANH = 1.0
"""Largest slope of tanh: 1 - tanh(a)^2 at a = 0."""

BETA_SIGMOID = 0.25
"""Largest slope of the sigmoid: s (1 - s) at s = 1/2, that is at a = 0."""


def slope_tanh(h: Tensor) -> Tensor:
    """f'(a) = 1 - h^2 from h = tanh(a)."""
    return 1 - h * h


def slope_sigmoid(h: Tensor) -> Tensor:
    """f'(a) = h (1 - h) from h = sigmoid(a)."""
    return h * (1 - h)


def slope_relu(h: Tensor) -> Tensor:
    """f'(a) = 1 where h = max(a, 0) is positive, else 0."""
    return (h > 0).to(h.dtype)


def step_jacobians(h: Tensor, W: Tensor, slope: Callable = slope_tanh) -> Tensor:
    """dh_j/dh_{j-1} = diag(f'(a_j)) W for states h (..., H): tensor (..., H, H).

    >>> W = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> step_jacobians(torch.tensor([0.0, 0.5]), W)     # rows times 1 and 0.75
    tensor([[1.0000, 2.0000],
            [2.2500, 3.0000]])
    """
    if W.shape[-2:] != (h.shape[-1], h.shape[-1]):
        raise ValueError(
            f"W: expected (..., {h.shape[-1]}, {h.shape[-1]}), got {tuple(W.shape)}."
        )
    return slope(h)[..., None] * W


def products(jacobians: Tensor) -> Tensor:
    """dh_t/dh_0 for t = 1 ... T: tensor (T, ..., H, H), newest factor on the left.

    Parameters
    ----------
    jacobians : Tensor, shape (T, ..., H, H)
        dh_1/dh_0, dh_2/dh_1, ...
    """
    out = [jacobians[0]]
    for J_t in jacobians[1:]:
        out.append(J_t @ out[-1])
    return torch.stack(out)


def spectral_norm(matrix: Tensor) -> Tensor:
    """Largest singular value (...,) of (..., H, H): the most a vector can be stretched."""
    return torch.linalg.matrix_norm(matrix, ord=2)


def spectral_radius(matrix: Tensor) -> Tensor:
    """Largest modulus (...,) of an eigenvalue of (..., H, H). At most the norm."""
    return torch.linalg.eigvals(matrix).abs().amax(-1)


def bound(W: Tensor, beta_h: float, T: int) -> Tensor:
    """(beta_w beta_h)^n for n = 1 ... T, with beta_w the spectral norm of W: (T,)."""
    lags = torch.arange(1, T + 1, dtype=W.dtype, device=W.device)
    return (spectral_norm(W) * beta_h) ** lags


def lyapunov(jacobians: Tensor, *, generator: torch.Generator, skip: int = 0) -> Tensor:
    """Largest Lyapunov exponent, in nats a step: (...,) of jacobians (T, ..., H, H).

    The mean growth of the logarithm of a vector's length, renormalised at each step so
    that nothing overflows (Benettin et al., 1980). Positive: gradients grow; negative:
    they vanish. The first `skip` steps turn the vector and are not counted.

    >>> J = 0.5 * torch.eye(3).expand(20, 3, 3)
    >>> print(f"{lyapunov(J, generator=torch.Generator()).exp():.4f}")
    0.5000
    """
    if not 0 <= skip < len(jacobians):
        raise ValueError(f"skip: expected 0 ... {len(jacobians) - 1}, got {skip}.")
    v = torch.randn(jacobians.shape[1:-1], generator=generator, dtype=jacobians.dtype)
    v = (v / v.norm(dim=-1, keepdim=True))[..., None]  # (..., H, 1)
    total = 0.0
    for t, J_t in enumerate(jacobians):
        v = J_t @ v
        length = v.norm(dim=-2, keepdim=True).clamp_min(torch.finfo(v.dtype).tiny)
        v = v / length
        total = total + (length.log() if t >= skip else 0.0)
    return total[..., 0, 0] / (len(jacobians) - skip)


def gaussian(H: int, radius: float, *, generator: torch.Generator, n: int | None = None):
    """Gaussian matrices (H, H), or n of them (n, H, H), with the given spectral radius."""
    shape = (H, H) if n is None else (n, H, H)
    W = torch.randn(shape, generator=generator, dtype=torch.float64)
    return radius * W / spectral_radius(W)[..., None, None]


def orthogonal(H: int, *, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix (H, H): every singular value is 1."""
    Q, R = torch.linalg.qr(torch.randn(H, H, generator=generator, dtype=torch.float64))
    return Q * R.diagonal().sign()


def trajectory(W: Tensor, n: int, gain: float, *, generator: torch.Generator) -> Tensor:
    """States (n, H) of h_t = tanh(W h_{t-1} + gain * noise), noise standard normal.

    The start h_0 is standard normal as well.
    """
    h_t = torch.randn(len(W), generator=generator, dtype=W.dtype)
    states = []
    for _ in range(n):
        noise = torch.randn(len(W), generator=generator, dtype=W.dtype)
        h_t = torch.tanh(W @ h_t + gain * noise)  # (H,)
        states.append(h_t)
    return torch.stack(states)


def exponents(
    W: Tensor, gains: Tensor, *, generator: torch.Generator, n: int = 150, skip: int = 50
) -> Tensor:
    """Lyapunov exponents (G,) of tanh(W h + gain * noise) for G gains side by side.

    The same as `lyapunov` of each `trajectory`, without storing a Jacobian:
    J v = f'(a) * (W v). The first `skip` of `n` steps are not counted.
    """
    if not n > skip >= 0:
        raise ValueError(f"expected n > skip >= 0, got n = {n} and skip = {skip}.")
    if not (torch.isfinite(W).all() and torch.isfinite(gains).all()):
        raise ValueError("W and gains: expected finite numbers, got NaN or infinity.")
    shape = (len(gains), len(W))  # (G, H)
    h_t, v = (torch.randn(shape, generator=generator, dtype=W.dtype) for _ in range(2))
    total = W.new_zeros(len(gains))
    for t in range(n):
        noise = torch.randn(shape, generator=generator, dtype=W.dtype)
        h_t = torch.tanh(h_t @ W.T + gains[:, None] * noise)  # (G, H)
        v = slope_tanh(h_t) * (v @ W.T)  # (G, H)
        length = v.norm(dim=1, keepdim=True)
        v = v / length
        total += length.log()[:, 0] if t >= skip else 0.0
    return total / (n - skip)


def log_growth(
    shared: bool, *, n: int, H: int, draws: int, generator: torch.Generator
) -> Tensor:
    """ln |W_n ... W_1 v| / |v| after each of n steps, for random products: (n, draws).

    Entries of W are normal with variance 1 / H, so that |W v|^2 is |v|^2 on average.
    With `shared` one W serves all steps of a draw, else each step has its own.
    """
    def draw(*shape):
        return torch.randn(draws, *shape, generator=generator, dtype=torch.float64)

    W, v = draw(H, H) / H**0.5, draw(H, 1)
    v, path = v / v.norm(dim=1, keepdim=True), []
    total = v.new_zeros(draws)
    for _ in range(n):
        v = W @ v  # (draws, H, 1)
        length = v.norm(dim=1, keepdim=True)
        v, total = v / length, total + length.log()[:, 0, 0]
        path.append(total)
        W = W if shared else draw(H, H) / H**0.5
    return torch.stack(path)
