r"""Gated recurrent cells as the slides write them: LSTM and GRU, with their weight maps.

Introduced in chapter 8. It adds gates to the Elman cell of chapter 6: one step, one
unroll, the exact correspondence with ``torch.nn.LSTM`` and ``torch.nn.GRU``, and the
Jacobians of a state with respect to all earlier ones. Written to be read; the fast
layers are in `course_utils.recurrent`.

Gate order. The slide stacks i, f, o, g; torch stacks i, f, g, o. The slide multiplies one
matrix with :math:`[h_{t-1}, x_t]`; torch keeps two matrices and two biases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor, nn


def lstm_step(
    x_t: Tensor, h_prev: Tensor, c_prev: Tensor, W: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    r"""One LSTM step in the stacked form of the slides.

    .. math::
        (i, f, o, g) &= (\sigma, \sigma, \sigma, \tanh)(W [h_{t-1}, x_t] + b) \\
        c_t &= f \odot c_{t-1} + i \odot g, \qquad h_t = o \odot \tanh c_t

    (Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000.)

    Parameters
    ----------
    x_t : Tensor, shape (B, D)
    h_prev, c_prev : Tensor, shape (B, H)
    W : Tensor, shape (4H, H + D)
        Row blocks in the slide's order i, f, o, g; columns :math:`[h_{t-1}, x_t]`.
    b : Tensor, shape (4H,)

    Returns
    -------
    h_t, c_t : Tensor, shape (B, H)

    Examples
    --------
    With all weights zero every gate is one half and nothing is written:

    >>> one = torch.ones(1, 1)
    >>> h, c = lstm_step(one, one, one, torch.zeros(4, 2), torch.zeros(4))
    >>> c.item()
    0.5
    """
    H = h_prev.shape[-1]
    _expect_shape("W", W, (4 * H, H + x_t.shape[-1]))
    a = torch.cat([h_prev, x_t], dim=-1) @ W.T + b  # (B, 4H)
    i, f, o, g = a.chunk(4, dim=-1)  # each (B, H)
    c_t = torch.sigmoid(f) * c_prev + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c_t), c_t


def lstm(
    x: Tensor, h_0: Tensor, c_0: Tensor, W: Tensor, b: Tensor
) -> tuple[Tensor, Tensor]:
    """Unroll `lstm_step` over x (B, T, D); return all h and all c, each (B, T, H)."""
    h_t, c_t, h, c = h_0, c_0, [], []
    for x_t in x.unbind(1):
        h_t, c_t = lstm_step(x_t, h_t, c_t, W, b)
        h.append(h_t)
        c.append(c_t)
    return torch.stack(h, 1), torch.stack(c, 1)


def lstm_from_torch(module: nn.LSTM) -> tuple[Tensor, Tensor]:
    """Weights of a one-layer ``torch.nn.LSTM`` in the slides' form: W (4H, H+D), b (4H,).

    Columns: ``weight_hh`` goes to the left (it meets h), ``weight_ih`` to the right.
    Rows: torch's order i, f, g, o becomes the slide's i, f, o, g.
    Bias: torch has two per gate, of which only the sum matters; b is that sum.
    """
    W = torch.cat([module.weight_hh_l0, module.weight_ih_l0], dim=1).detach()
    b = (module.bias_ih_l0 + module.bias_hh_l0).detach()
    return _swap_last_gates(W), _swap_last_gates(b)


def lstm_to_torch(W: Tensor, b: Tensor) -> dict[str, Tensor]:
    """The inverse map, as a ``state_dict``; the second bias is zero.

    It is linear, so it also maps gradients, but for the biases: both of torch's biases
    receive the gradient of their sum.
    """
    H = W.shape[0] // 4
    W, b = _swap_last_gates(W), _swap_last_gates(b)
    return {
        "weight_ih_l0": W[:, H:],
        "weight_hh_l0": W[:, :H],
        "bias_ih_l0": b,
        "bias_hh_l0": torch.zeros_like(b),
    }


def _swap_last_gates(rows: Tensor) -> Tensor:
    """Exchange the third and fourth of four row blocks (its own inverse)."""
    first, second, third, fourth = rows.chunk(4)
    return torch.cat([first, second, fourth, third])


@dataclass(frozen=True)
class GRUWeights:
    """Weights of a GRU on :math:`[h_{t-1}, x_t]`; the slide has no biases (zeros)."""

    W_z: Tensor  # (H, H + D) update gate
    W_r: Tensor  # (H, H + D) reset gate
    W: Tensor  # (H, H + D) candidate
    b_z: Tensor  # (H,)
    b_r: Tensor  # (H,)
    b: Tensor  # (H,) candidate, outside the reset gate
    b_hn: Tensor  # (H,) candidate, beside the recurrent product (torch only)

    @classmethod
    def draw(cls, D: int, H: int, generator: torch.Generator, dtype=None) -> GRUWeights:
        """Uniform on (-1/sqrt(H), 1/sqrt(H)), torch's scale; `b_hn` is zero."""
        shapes = [(H, H + D)] * 3 + [(H,)] * 3
        drawn = [
            (torch.rand(s, generator=generator, dtype=dtype) * 2 - 1) / H**0.5
            for s in shapes
        ]
        return cls(*drawn, torch.zeros(H, dtype=dtype))

    def tensors(self) -> tuple[Tensor, ...]:
        """The seven tensors in the order of the fields."""
        return tuple(getattr(self, f.name) for f in fields(self))


def gru_step(
    x_t: Tensor,
    h_prev: Tensor,
    p: GRUWeights,
    *,
    z_keeps: bool = False,
    reset_after: bool = False,
) -> Tensor:
    r"""One GRU step; the defaults are the slide's form.

    .. math::
        z &= \sigma(W_z [h_{t-1}, x_t]), \quad r = \sigma(W_r [h_{t-1}, x_t]) \\
        \tilde h &= \tanh(W [r \odot h_{t-1}, x_t]), \quad
        h_t = (1 - z) \odot h_{t-1} + z \odot \tilde h

    Parameters
    ----------
    x_t : Tensor, shape (B, D)
    h_prev : Tensor, shape (B, H)
    p : GRUWeights
    z_keeps : bool
        False: :math:`z` weighs the candidate (slide; Chung et al., 2014).
        True: :math:`z` weighs the past (Cho et al., 2014; torch).
    reset_after : bool
        False: the reset gate acts before the matrix product, on :math:`h_{t-1}`
        (slide; Chung et al.; Cho et al., third version).
        True: after it, on :math:`W^h h_{t-1} + b_{hn}` (Cho et al., first version;
        torch). The two agree when the entries of r are equal or :math:`W^h` is
        diagonal, and otherwise no change of weights makes them equal.

    Returns
    -------
    h_t : Tensor, shape (B, H)
    """
    H = h_prev.shape[-1]
    _expect_shape("W", p.W, (H, H + x_t.shape[-1]))
    both = torch.cat([h_prev, x_t], dim=-1)  # (B, H + D)
    z = torch.sigmoid(both @ p.W_z.T + p.b_z)  # (B, H)
    r = torch.sigmoid(both @ p.W_r.T + p.b_r)  # (B, H)
    W_h, W_x = p.W[:, :H], p.W[:, H:]
    if reset_after:
        recurrent = r * (h_prev @ W_h.T + p.b_hn)
    else:
        recurrent = (r * h_prev) @ W_h.T + p.b_hn
    h_tilde = torch.tanh(recurrent + x_t @ W_x.T + p.b)  # (B, H)
    if z_keeps:
        return z * h_prev + (1 - z) * h_tilde
    return (1 - z) * h_prev + z * h_tilde


def gru(x: Tensor, h_0: Tensor, p: GRUWeights, **convention: bool) -> Tensor:
    """Unroll `gru_step` over x (B, T, D); return all h (B, T, H)."""
    h_t, h = h_0, []
    for x_t in x.unbind(1):
        h_t = gru_step(x_t, h_t, p, **convention)
        h.append(h_t)
    return torch.stack(h, 1)


def gru_from_torch(module: nn.GRU) -> GRUWeights:
    """Weights of a one-layer ``torch.nn.GRU`` on :math:`[h_{t-1}, x_t]`.

    They reproduce the module with ``z_keeps=True, reset_after=True``. Torch stacks the
    rows r, z, n. The two biases of r and of z only matter as sums; those of n stay
    apart, since the reset gate multiplies one of them.
    """
    rows = torch.cat([module.weight_hh_l0, module.weight_ih_l0], dim=1).detach()
    W_r, W_z, W = rows.chunk(3)
    r_i, z_i, n_i = module.bias_ih_l0.detach().chunk(3)
    r_h, z_h, n_h = module.bias_hh_l0.detach().chunk(3)
    return GRUWeights(W_z, W_r, W, z_i + z_h, r_i + r_h, n_i, n_h)


def flip_update(p: GRUWeights) -> GRUWeights:
    r"""Exchange the two z conventions exactly: :math:`1 - \sigma(a) = \sigma(-a)`.

    ``gru_step(x, h, p, z_keeps=True)`` equals
    ``gru_step(x, h, flip_update(p), z_keeps=False)``, and conversely.
    """
    return replace(p, W_z=-p.W_z, b_z=-p.b_z)


def jacobians(last: Tensor, states: Sequence[Tensor]) -> Tensor:
    r""":math:`\partial` last / :math:`\partial` state, for each state, by autograd.

    Parameters
    ----------
    last : Tensor, shape (H,)
        Computed from the states; the graph is kept.
    states : sequence of n Tensors, shape (H,)
        Nodes of the graph. Each derivative lets the effect of that node run along every
        path to `last`, other nodes of the same step held fixed.

    Returns
    -------
    Tensor, shape (n, H, H)
    """
    rows = torch.autograd.grad(
        last, list(states), torch.eye(len(last), dtype=last.dtype),
        is_grads_batched=True, retain_graph=True, materialize_grads=True,
    )
    return torch.stack(rows)


def _expect_shape(name: str, tensor: Tensor, shape: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != shape:
        raise ValueError(
            f"{name}: expected shape {shape}, got {tuple(tensor.shape)}. "
            "Rows are gates of size H, columns are [h_prev, x_t]."
        )
