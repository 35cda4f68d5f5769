r"""Transformers on images: patches, a small ViT, and attention inside windows.

Introduced in chapter 5. On top of `transformer` this module cuts images into patches, and
restricts attention to windows that are shifted from layer to layer. A grid of tokens has
`side` rows and columns and is stored row by row, T = side^2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .attention import MultiHead, attention
from .transformer import Encoder


def patches(images: Tensor, p: int) -> Tensor:
    """Cut images into squares of p x p pixels, row by row: (B, S, S) to (B, T, p p).

    >>> patches(torch.arange(16.0).view(1, 4, 4), 2)[0, 1].tolist()
    [2.0, 3.0, 6.0, 7.0]
    """
    B, S, width = images.shape
    if S != width or S % p:
        raise ValueError(
            f"images: expected squares whose side is a multiple of {p}, got {S} x {width}."
        )
    cut = images.view(B, S // p, p, S // p, p).transpose(2, 3)  # (B, side, side, p, p)
    return cut.reshape(B, (S // p) ** 2, p * p)


class ViT(nn.Module):
    """A vision transformer: patches, learned positions, an encoder, a mean, a layer.

    Dosovitskiy et al. (2020), with the mean over patches where they have a [CLS] token
    (their appendix D.3 finds no difference), pre-norm as theirs.

    Parameters
    ----------
    S, p : int
        Side of the images and of the patches, in pixels.
    D, L, n_heads, K : int
        Size of a token, layers, heads, classes. F has 2D hidden units.
    """

    def __init__(self, S: int, p: int, *, D: int = 32, L: int = 4, n_heads: int = 4,
                 K: int = 10) -> None:
        super().__init__()
        self.p = p
        self.embed = nn.Linear(p * p, D)
        self.position = nn.Parameter(0.5 * torch.randn((S // p) ** 2, D))
        self.encoder = Encoder(L, D, n_heads, 2 * D, pre_norm=True)
        self.out = nn.Linear(D, K)

    def tokens(self, images: Tensor) -> Tensor:
        """Embedded patches with their positions, (B, T, D)."""
        return self.embed(patches(images, self.p)) + self.position

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (B, K) of images (B, S, S)."""
        return self.out(self.encoder(self.tokens(images)).mean(1))

    def maps(self, images: Tensor) -> Tensor:
        """The attention weights of every layer: (L, B, A, T, T)."""
        states = self.encoder.states(self.tokens(images))
        return torch.stack([
            block.attend.weights(block.norm_1(x))
            for block, x in zip(self.encoder.blocks, states)
        ])


class ConvNet(nn.Module):
    """Three 3 x 3 convolutions of stride 2 with c, 2c and 2c maps, and a linear layer.

    S is the side of the images, in pixels; the last maps have (S / 8)^2 places, rounded up.
    """

    def __init__(self, S: int, c: int, K: int = 10) -> None:
        super().__init__()
        sizes = (1, c, 2 * c, 2 * c)
        layers = []
        for i, o in zip(sizes, sizes[1:]):
            layers += [nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()]
        self.maps, self.out = nn.Sequential(*layers), nn.Linear(2 * c * ((S + 7) // 8) ** 2, K)

    def forward(self, images: Tensor) -> Tensor:
        """Class scores (B, K) of images (B, S, S)."""
        return self.out(self.maps(images[:, None]).flatten(1))


def n_parameters(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def distances(side: int) -> Tensor:
    """Euclidean distance between the tokens of a grid, in tokens: (T, T)."""
    place = torch.cartesian_prod(torch.arange(side), torch.arange(side)).float()  # (T, 2)
    return torch.cdist(place, place)


def attention_distance(A: Tensor) -> Tensor:
    r"""How far attention looks: :math:`\frac1T\sum_{ts} A_{ts} d_{ts}`, in tokens.

    Dosovitskiy et al. (2020), section 4.5. (..., T, T) to (...); T is a square number.
    """
    side = round(A.shape[-1] ** 0.5)
    return (A * distances(side).to(A)).sum(-1).mean(-1)


def to_windows(x: Tensor, w: int) -> Tensor:
    """Cut a grid into windows of w x w tokens: (B, T, D) to (B n, w w, D).

    The n = (side / w)^2 windows of one image follow each other, row by row.
    """
    B, T, D = x.shape
    side = round(T**0.5)
    if side * side != T or side % w:
        raise ValueError(f"x: expected a square grid, side a multiple of {w}, got {T} tokens.")
    cut = x.view(B, side // w, w, side // w, w, D).transpose(2, 3)
    return cut.reshape(-1, w * w, D)


def from_windows(x: Tensor, side: int) -> Tensor:
    """The inverse of `to_windows`: (B n, w w, D) to (B, T, D)."""
    n, w = side * side // x.shape[1], round(x.shape[1] ** 0.5)
    cut = x.view(-1, side // w, side // w, w, w, x.shape[-1]).transpose(2, 3)
    return cut.reshape(len(x) // n, side * side, x.shape[-1])


def roll(x: Tensor, shift: int) -> Tensor:
    """Move a grid (B, T, D) up and left by `shift` tokens, round the edges."""
    side = round(x.shape[1] ** 0.5)
    grid = x.view(len(x), side, side, -1)
    return torch.roll(grid, (-shift, -shift), (1, 2)).view_as(x)


def regions(side: int, w: int, shift: int) -> Tensor:
    """Which window each token of the *unrolled* grid is in: (T,), numbered from 0.

    With a shift, the windows start at row and column `shift`; what is left at the edges
    makes smaller windows, which Swin keeps apart by a mask.

    >>> regions(4, 2, 1).view(4, 4).tolist()
    [[0, 1, 1, 2], [3, 4, 4, 5], [3, 4, 4, 5], [6, 7, 7, 8]]
    """
    row = (torch.arange(side) - shift) // w  # -1 in the first, smaller window
    row = row - row.min()
    n = int(row.max()) + 1
    return (row[:, None] * n + row[None, :]).flatten()


def window_attention(
    layer: MultiHead, x: Tensor, w: int, shift: int = 0
) -> Tensor:
    r"""Attention inside windows, shifted by `shift` tokens: (B, T, D) to (B, T, D).

    Swin (Liu et al., 2021, section 3.2): roll the grid, cut it into full windows, hide
    the pairs that only the rolling brought together, attend, roll back. T w^2 scores
    instead of T^2.
    """
    side = round(x.shape[1] ** 0.5)
    cut = to_windows(roll(x, shift), w)  # (B n, w w, D)
    where = roll(regions(side, w, shift).view(1, -1, 1), shift)
    where = to_windows(where, w)[..., 0]  # (n, w w)
    mask = (where[:, :, None] == where[:, None, :]).repeat(len(x), 1, 1)
    heads, _A = attention(*layer.project(cut, cut), mask[:, None])  # (B n, A, w w, d)
    out = layer.W_O(heads.transpose(1, 2).flatten(2))
    return roll(from_windows(out, side), -shift)
