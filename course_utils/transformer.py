r"""The Transformer's encoder: positions, block, stack, and BERT.

Introduced in chapter 5. On top of `attention` this module adds sinusoidal positions, the
encoder block (post-norm as published, pre-norm as most use it today) and the stack.
Letters: L layers, A heads, D dimensions. Dropout acts on the attention weights and on what
each sub-layer adds, as in Vaswani et al. (2017) and in BERT.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import MultiHead, multi_head_from_torch


def sinusoids(T: int, D: int, *, dtype: torch.dtype = torch.float32) -> Tensor:
    r"""Positions as clock hands: (T, D), columns sine, cosine, sine, cosine, ...

    .. math:: P_{t,2i} = \sin(\omega_i t), \quad P_{t,2i+1} = \cos(\omega_i t), \quad
              \omega_i = 10000^{-2i/D}

    Vaswani et al. (2017), section 3.5.

    >>> sinusoids(2, 4)[0].tolist()
    [0.0, 1.0, 0.0, 1.0]
    """
    if D % 2 or D < 2:
        raise ValueError(f"D: expected an even number, got {D}.")
    t = torch.arange(T, dtype=torch.float64)[:, None]  # (T, 1)
    omega = 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)  # (D / 2)
    angles = t * omega  # (T, D / 2)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1).to(dtype)  # (T, D)


def rotation(k: int, D: int) -> Tensor:
    r"""The matrix (D, D), float64, that turns position t into t + k for every t.

    One 2 x 2 block for each frequency: sine and cosine of a sum,

    .. math:: \begin{pmatrix}\cos\omega k & \sin\omega k\\
              -\sin\omega k & \cos\omega k\end{pmatrix}
    """
    omega = 10000.0 ** (-torch.arange(0, D, 2, dtype=torch.float64) / D)
    c, s = (omega * k).cos(), (omega * k).sin()  # (D / 2)
    blocks = torch.stack([torch.stack([c, s], -1), torch.stack([-s, c], -1)], -2)
    return torch.block_diag(*blocks)


def layer_norm(x: Tensor, gain: Tensor, shift: Tensor, eps: float = 1e-5) -> Tensor:
    r"""Each vector (last axis) to mean 0 and variance 1, then gain and shift.

    .. math:: g \odot (x - \mu) / \sqrt{\sigma^2 + \epsilon} + s

    Ba, Kiros and Hinton (2016), equation 4; the variance divides by D, as in torch.

    >>> layer_norm(torch.tensor([1., 3.]), torch.ones(2), torch.zeros(2), 0.0).tolist()
    [-1.0, 1.0]
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.square().mean(-1, keepdim=True)
    return gain * centred / (variance + eps).sqrt() + shift


class EncoderBlock(nn.Module):
    r"""Attention, then a network at each position; both with a residual connection.

    .. math::
        \text{post-norm:}\quad & z = N_1(x + S(x)), \quad y = N_2(z + F(z)) \\
        \text{pre-norm:}\quad & z = x + S(N_1(x)), \quad y = z + F(N_2(z))

    S is self-attention, N layer normalisation, F(z) = W_2 f(W_1 z + b_1) + b_2. Post-norm
    is Vaswani et al. (2017) and BERT; pre-norm keeps the path x -> z -> y free of N
    (Xiong et al., 2020) and needs one more N after the last block.

    Parameters
    ----------
    D, n_heads, D_ff : int
        Sizes of the vectors, number of heads, hidden units of F.
    pre_norm : bool
    f : callable
        Non-linearity of F: GELU in BERT, ReLU in the first Transformer.
    """

    def __init__(
        self, D: int, n_heads: int, D_ff: int, *, pre_norm: bool = False,
        f: Callable = F.gelu, dropout: float = 0.0, eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.pre_norm, self.f = pre_norm, f
        self.attend = MultiHead(D, n_heads, dropout=dropout)
        self.norm_1, self.norm_2 = nn.LayerNorm(D, eps=eps), nn.LayerNorm(D, eps=eps)
        self.W_1, self.W_2 = nn.Linear(D, D_ff), nn.Linear(D_ff, D)
        self.drop = nn.Dropout(dropout)

    def feed(self, z: Tensor) -> Tensor:
        """F(z), the same network at every position: (B, T, D)."""
        return self.W_2(self.f(self.W_1(z)))

    def forward(
        self, x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """New vectors (B, T, D); `mask` and `bias` as in `MultiHead`."""
        if self.pre_norm:
            z = x + self.drop(self.attend(self.norm_1(x), mask=mask, bias=bias))
            return z + self.drop(self.feed(self.norm_2(z)))
        z = self.norm_1(x + self.drop(self.attend(x, mask=mask, bias=bias)))
        return self.norm_2(z + self.drop(self.feed(z)))


class Encoder(nn.Module):
    """L blocks, one after the other; with pre-norm, a last normalisation.

    `settings` are the keyword arguments of `EncoderBlock`.
    """

    def __init__(self, L: int, D: int, n_heads: int, D_ff: int, **settings) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            EncoderBlock(D, n_heads, D_ff, **settings) for _ in range(L)
        )
        last = nn.LayerNorm(D, eps=settings.get("eps", 1e-5))
        self.last = last if settings.get("pre_norm", False) else nn.Identity()

    def forward(
        self, x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Tensor:
        """(B, T, D) to (B, T, D); `bias` is shared by all layers."""
        for block in self.blocks:
            x = block(x, mask, bias)
        return self.last(x)

    def states(
        self, x: Tensor, mask: Tensor | None = None, bias: Tensor | None = None
    ) -> Iterator[Tensor]:
        """The input and the output of each block: L + 1 tensors (B, T, D)."""
        yield x
        for block in self.blocks:
            x = block(x, mask, bias)
            yield x


def block_from_torch(layer: nn.TransformerEncoderLayer) -> EncoderBlock:
    """Our block with the weights, activation and norm placement of torch's."""
    ours = EncoderBlock(
        layer.linear1.in_features, layer.self_attn.num_heads, layer.linear1.out_features,
        pre_norm=layer.norm_first, f=layer.activation, dropout=layer.dropout.p,
        eps=layer.norm1.eps,
    ).to(layer.linear1.weight)
    ours.attend = multi_head_from_torch(layer.self_attn)
    pairs = (
        (ours.W_1, layer.linear1), (ours.W_2, layer.linear2),
        (ours.norm_1, layer.norm1), (ours.norm_2, layer.norm2),
    )
    for mine, theirs in pairs:
        mine.load_state_dict(theirs.state_dict())
    return ours.train(layer.training)
