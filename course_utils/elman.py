r"""The Elman network: one step, one unroll.

Introduced in chapter 6, differentiated by hand in chapter 7. In the slides' orientation
`U` (H, D) reads the input, `W` (H, H) the previous state, `V` (K, H) writes the output:

.. math:: h_t = f(U x_t + W h_{t-1} + b_h), \qquad y_t = f'(V h_t + b_y)

A batch holds one row a sequence, so the products read ``x_t @ U.T``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn


class Parameters(NamedTuple):
    """``U`` (H, D), ``W`` (H, H), ``b_h`` (H,), ``V`` (K, H), ``b_y`` (K,)."""

    U: torch.Tensor
    W: torch.Tensor
    b_h: torch.Tensor
    V: torch.Tensor
    b_y: torch.Tensor


def initial(
    D: int, H: int, K: int, *, generator: torch.Generator, dtype=torch.float32
) -> Parameters:
    """Parameters drawn uniformly in [-1/sqrt(H), 1/sqrt(H)], as torch.nn.RNN does."""
    shapes = ((H, D), (H, H), (H,), (K, H), (K,))
    bound = H**-0.5
    draw = (torch.rand(s, generator=generator, dtype=dtype) for s in shapes)
    return Parameters(*((2 * u - 1) * bound for u in draw))


def step(x_t, h_prev, U, W, b_h, *, f: Callable = torch.tanh) -> torch.Tensor:
    """h_t from x_t (B, D) and h_prev (B, H): tensor (B, H).

    >>> one = torch.ones(1, 1)
    >>> step(one, 2 * one, 3 * one, 4 * one, one[0], f=lambda a: a)   # 3*1 + 4*2 + 1
    tensor([[12.]])
    """
    return f(x_t @ U.T + h_prev @ W.T + b_h)  # (B, H)


def unroll(x, h_0, U, W, b_h, *, f: Callable = torch.tanh) -> torch.Tensor:
    """All states h_1 ... h_T of x (B, T, D) from h_0 (B, H): tensor (B, T, H).

    The same as T calls of `step`. The product with `U` is done once for all steps, and
    ``unbind`` (not ``xu[:, t]``) keeps the backward pass from filling T whole arrays.
    """
    h_t, states = h_0, []
    for xu_t in (x @ U.T + b_h).unbind(1):  # (B, H) each
        h_t = f(torch.addmm(xu_t, h_t, W.T))  # (B, H)
        states.append(h_t)
    return torch.stack(states, 1)  # (B, T, H)


def readout(h, V, b_y) -> torch.Tensor:
    """V h_t + b_y for states (..., H): tensor (..., K), before f'."""
    return h @ V.T + b_y


class Elman(nn.Module):
    """The network with its five parameters.

    Parameters
    ----------
    D, H, K : int
        Sizes of input, state and output.
    f : callable
        Non-linearity of the state; f' is left to the loss (soft-max inside
        cross-entropy) or to the caller.
    generator : torch.Generator
    """

    def __init__(
        self, D: int, H: int, K: int, *,
        generator: torch.Generator, f: Callable = torch.tanh,
    ):
        super().__init__()
        self.f = f
        for name, value in initial(D, H, K, generator=generator)._asdict().items():
            self.register_parameter(name, nn.Parameter(value))

    def forward(self, x, h_0=None) -> tuple[torch.Tensor, torch.Tensor]:
        """Outputs (B, T, K) before f', and states (B, T, H), of x (B, T, D).

        `h_0` (B, H) is zero unless given. Padding on the right cannot reach the left.
        """
        if x.ndim != 3 or x.shape[1] == 0:
            raise ValueError(f"x: expected (B, T, D), T > 0, got {tuple(x.shape)}.")
        if h_0 is None:
            h_0 = x.new_zeros(x.shape[0], len(self.b_h))
        h = unroll(x, h_0, self.U, self.W, self.b_h, f=self.f)  # (B, T, H)
        return readout(h, self.V, self.b_y), h


def as_torch(p: Parameters) -> nn.RNN:
    """torch.nn.RNN with copied weights; its second bias, redundant, is zero."""
    H, D = p.U.shape
    net = nn.RNN(D, H, batch_first=True, dtype=p.U.dtype, device=p.U.device)
    with torch.no_grad():
        net.weight_ih_l0.copy_(p.U)
        net.weight_hh_l0.copy_(p.W)
        net.bias_ih_l0.copy_(p.b_h)
        net.bias_hh_l0.zero_()
    return net
