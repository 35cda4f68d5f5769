r"""Very deep feed-forward nets: plain, highway and residual layers.

Introduced in chapter 8, between the LSTM and the residual net. It adds to
`course_utils.replicas` (several seeds in one tensor) three layers of one width,

.. math::
    \text{plain:}\quad & y = H(x) = \mathrm{ReLU}(W_H x + b_H) \\
    \text{highway:}\quad & y = g \odot H(x) + (1 - g) \odot x,
        \qquad g = T(x) = \sigma(W_T x + b_T) \\
    \text{residual:}\quad & y = x + H(x)

(highway: Srivastava et al., 2015, equation 3, and the slide; residual: He et al., 2016,
with one weight layer in the branch).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .replicas import ReplicaLinear

KINDS = ("plain", "highway", "residual")


def plain(x: Tensor, W_H: Tensor, b_H: Tensor) -> Tensor:
    """H(x) = ReLU(W_H x + b_H), for x (..., B, D), W_H (..., D, D), b_H (..., 1, D)."""
    return torch.relu(x @ W_H.mT + b_H)


def highway(x: Tensor, W_H: Tensor, b_H: Tensor, W_T: Tensor, b_T: Tensor) -> Tensor:
    """g * H(x) + (1 - g) * x with g = sigmoid(W_T x + b_T).

    At b_T = -infinity the layer is the identity, at +infinity it is `plain`.

    >>> x, zero = torch.ones(1, 1), torch.zeros(1, 1)
    >>> highway(x, zero, zero, zero, zero).item()       # half of H = 0, half of x = 1
    0.5
    """
    g = torch.sigmoid(x @ W_T.mT + b_T)  # (..., B, D)
    return torch.lerp(x, plain(x, W_H, b_H), g)  # x + g (H - x)


def residual(x: Tensor, W_H: Tensor, b_H: Tensor) -> Tensor:
    """x + H(x): the highway layer with both gates open."""
    return x + plain(x, W_H, b_H)


class DeepReplicas(nn.Module):
    """S nets of one kind and depth: (S, B, D_in) to (S, B, K).

    A linear map to width D, `depth` layers, a linear map to the K classes.

    Parameters
    ----------
    kind : {"plain", "highway", "residual"}
    depth : int
    sizes : (int, int, int)
        D_in, D, K.
    S : int
        Copies, each with its own weights.
    gate_bias : float, optional
        Initial :math:`b_T`, negative, so that a highway layer starts near the identity.
        Default: :math:`-\\ln(\\text{depth} - 1)`, so that g = 1 / depth and the carried
        share :math:`(1 - g)^{\\text{depth}}` is about 1 / e at every depth.
    branch_scale : float, optional
        Factor on He's standard deviation :math:`\\sqrt{2 / D}` of :math:`W_H`. Default:
        1, but 1 / depth for the residual net, so that its signal grows by a bounded
        factor, :math:`(1 + 1 / L)^L < e`, instead of :math:`2^{L / 2}`.
    """

    def __init__(
        self, kind: str, depth: int, sizes: tuple[int, int, int], S: int, *,
        generator: torch.Generator, gate_bias: float | None = None,
        branch_scale: float | None = None,
    ):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"kind: expected one of {KINDS}, got {kind!r}.")
        D_in, D, K = sizes
        if branch_scale is None:
            branch_scale = 1 / depth if kind == "residual" else 1.0
        if gate_bias is None:
            gate_bias = -math.log(max(depth - 1, 1))
        self.kind = kind
        self.first = ReplicaLinear(S, D_in, D, generator=generator)
        self.last = ReplicaLinear(S, D, K, generator=generator)
        he = branch_scale * (2 / D) ** 0.5
        self.W_H = _layers(depth, S, D, he, generator)  # (S, L, D, D)
        self.b_H = nn.Parameter(torch.zeros(S, depth, 1, D))
        if kind == "highway":
            self.W_T = _layers(depth, S, D, D**-0.5, generator)
            self.b_T = nn.Parameter(torch.full((S, depth, 1, D), float(gate_bias)))

    def hidden(self, x: Tensor) -> list[Tensor]:
        """The input and output of every layer: depth + 1 tensors (S, B, D)."""
        states = [self.first(x)]
        layer = {"plain": plain, "highway": highway, "residual": residual}[self.kind]
        stacks = [self.W_H, self.b_H]
        if self.kind == "highway":
            stacks += [self.W_T, self.b_T]
        for weights in zip(*(stack.unbind(1) for stack in stacks)):  # layer by layer
            states.append(layer(states[-1], *weights))
        return states

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(x)[-1])  # (S, B, K)


def _layers(depth: int, S: int, D: int, std: float, generator) -> nn.Parameter:
    """All layers in one tensor (S, L, D, D): one update of Adam instead of L."""
    drawn = [torch.randn(S, D, D, generator=generator) for _ in range(depth)]
    return nn.Parameter(torch.stack(drawn, 1) * std)
