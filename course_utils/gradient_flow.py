r"""Norms of Jacobians through an untrained net: what chapter 8 sets beside its LSTM.

Introduced in chapter 8; adds to `course_utils.gated.jacobians` a vanilla RNN, a GRU, and
feed-forward nets whose layers play the part of steps. Every function returns
:math:`\lVert \partial s_T / \partial s_t \rVert_2` for t = 1 .. T, an array (T,): the last
entry is 1 (`gru_flow` returns two such rows). Inputs are standard normal; recurrent
weights are uniform on (-1/sqrt(H), 1/sqrt(H)), torch's scale; float64.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .gated import GRUWeights, gru_step, jacobians
from .highway import DeepReplicas
from .replicas import orthogonal, uniform


def norms(states: Sequence[Tensor]) -> np.ndarray:
    """Spectral norms of d(last state)/d(state t), all t: (T,)."""
    J = jacobians(states[-1].flatten(), states).flatten(2)  # (T, H, H)
    return torch.linalg.matrix_norm(J, 2).detach().numpy()


def rnn_flow(seed: int, sizes: tuple[int, int, int], *, turn: bool = False) -> np.ndarray:
    """A vanilla tanh RNN; `sizes` is (T, D, H); `turn`: W starts orthogonal."""
    T, D, H = sizes
    g = torch.Generator().manual_seed(seed)
    W = uniform((H, H + D), H, g).double()
    if turn:
        W[:, :H] = orthogonal(H, g)
    h = [torch.zeros(H).double().requires_grad_()]
    for x_t in torch.randn(T, D, generator=g).double():
        h.append(torch.tanh(W @ torch.cat([h[-1], x_t])))
    return norms(h[1:])


def gru_flow(seed: int, sizes: tuple[int, int, int], *, bias: float) -> np.ndarray:
    """A GRU whose update gate keeps (z weighs the past), with that bias: (2, T).

    Row 0: the norms. Row 1: the largest entry of the product of the gates
    z_{t+1} ... z_T, which is the norm of the direct path.
    """
    T, D, H = sizes
    g = torch.Generator().manual_seed(seed)
    p = GRUWeights.draw(D, H, g, torch.float64)
    p.b_z.fill_(bias)
    h, gates = [torch.zeros(H).double().requires_grad_()], []
    for x_t in torch.randn(T, D, generator=g).double():
        both = torch.cat([h[-1].detach(), x_t])  # (H + D)
        gates.append(torch.sigmoid(p.W_z @ both + p.b_z))
        h.append(gru_step(x_t, h[-1], p, z_keeps=True))
    later = torch.stack([*gates[1:], torch.ones(H).double()])  # (T, H)
    product = later.flip(0).cumprod(0).flip(0).amax(1)
    return np.stack([norms(h[1:]), product.numpy()])


def layer_flow(
    seed: int, sizes: tuple[int, int, int], *, kind: str, branch_scale: float | None = None
) -> np.ndarray:
    """A plain, highway or residual net of T - 1 layers, on one input.

    `branch_scale` as in `course_utils.highway.DeepReplicas`: He's scale for the plain
    and the highway net, He's scale divided by the depth for the residual net.
    """
    T, D, H = sizes
    g = torch.Generator().manual_seed(seed)
    net = DeepReplicas(
        kind, T - 1, (D, H, 2), 1, generator=g, branch_scale=branch_scale
    ).double()
    return norms(net.hidden(torch.randn(1, 1, D, generator=g).double()))
