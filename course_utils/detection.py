r"""Set prediction: scenes with boxes, matching, and a small DETR.

Introduced in chapter 5. On top of `attention` and `transformer` this module draws scenes
whose objects are known exactly, matches predictions with objects, and scores a set. A box
is (centre x, centre y, width, height) as shares of the image's side.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .attention import MultiHead
from .transformer import EncoderBlock

SHAPES = ("square", "disc", "cross")
NONE = len(SHAPES)  # the class of a query that found nothing


class Scenes(NamedTuple):
    """B images with at most M objects each, in the random order they were drawn."""

    images: Tensor  # (B, S, S), 0 to 1 and a little noise
    kinds: Tensor  # (B, M) int, 0 to 2, or NONE where there is no object
    boxes: Tensor  # (B, M, 4)


def draw(rng: np.random.Generator, B: int, *, S: int = 24, M: int = 3) -> Scenes:
    """Scenes of 1 to M objects in different quarters of an S x S image.

    Objects measure 6 to 10 pixels, stay inside their quarter and never overlap, so that
    the truth is exact. M is at most 4.
    """
    if not 1 <= M <= 4 or S % 2 or S < 20:
        raise ValueError(f"expected 1 <= M <= 4 and an even S from 20 on, got {M}, {S}.")
    images = rng.normal(0, 0.05, (B, S, S)).astype(np.float32)
    kinds, boxes = np.full((B, M), NONE), np.zeros((B, M, 4), dtype=np.float32)
    for b in range(B):
        quarters = rng.permutation(4)[: rng.integers(1, M + 1)]
        for m, quarter in enumerate(quarters):
            kinds[b, m], boxes[b, m] = _add(images[b], quarter, rng)
    return Scenes(*(torch.from_numpy(a) for a in (images, kinds, boxes)))


def _add(image: np.ndarray, quarter: int, rng: np.random.Generator):
    """Draw one object into a quarter of the image; its kind and its box."""
    S = len(image)
    half, (h, w), kind = S // 2, rng.integers(6, 11, 2), int(rng.integers(len(SHAPES)))
    y = quarter // 2 * half + rng.integers(0, half - h + 1)
    x = quarter % 2 * half + rng.integers(0, half - w + 1)
    image[y : y + h, x : x + w] += stencil(kind, h, w).astype(np.float32)
    return kind, np.array([x + w / 2, y + h / 2, w, h], dtype=np.float32) / S


def stencil(kind: int, h: int, w: int) -> np.ndarray:
    """The pixels of a shape that fills a box of h x w pixels, (h, w) bool.

    >>> stencil(SHAPES.index("cross"), 3, 3).astype(int).tolist()
    [[0, 1, 0], [1, 1, 1], [0, 1, 0]]
    """
    v, u = np.mgrid[0:h, 0:w]
    v, u = (2 * v + 1) / h - 1, (2 * u + 1) / w - 1  # -1 to 1 inside the box
    if kind == 0:
        return np.ones((h, w), dtype=bool)
    return u**2 + v**2 <= 1.0 if kind == 1 else (abs(u) < 0.35) | (abs(v) < 0.35)


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4), pair by pair.

    >>> overlap(torch.tensor([.5, .5, 1, 1]), torch.tensor([.25, .5, .5, 1])).item()
    0.5
    """
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    both = (high - low).clamp(min=0).prod(-1)
    return both / (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - both).clamp(min=1e-9)


def costs(scores: Tensor, boxes: Tensor, scenes: Scenes, *, weight: float = 5.0) -> Tensor:
    r"""What it would cost to answer object m with query q: (B, Q, M).

    .. math:: C_{qm} = -\hat p_q(c_m) + \lambda \lVert \hat b_q - b_m \rVert_1

    Carion et al. (2020), equation 1, without their term for the overlap. Zero where there
    is no object.
    """
    kinds = scenes.kinds[:, None].expand(-1, boxes.shape[1], -1)  # (B, Q, M)
    p = scores.softmax(-1).gather(-1, kinds)
    far = torch.cdist(boxes, scenes.boxes, p=1)
    return (weight * far - p) * (scenes.kinds != NONE)[:, None]


def matched(cost: Tensor) -> Tensor:
    """The cheapest assignment: which query answers object m, (B, Q, M) to (B, M).

    The Hungarian algorithm, O(Q^3) for one image. Objects that are not there (cost 0 for
    every query) take the queries that are left.
    """
    from scipy.optimize import linear_sum_assignment

    found = []
    for c in cost.detach().cpu().numpy():
        queries, objects = linear_sum_assignment(c)
        found.append(queries[np.argsort(objects)])
    return torch.as_tensor(np.stack(found))


def set_loss(
    scores: Tensor, boxes: Tensor, scenes: Scenes, queries: Tensor, *, weight: float = 5.0
) -> Tensor:
    """Classes of all queries, and boxes of those that answer an object.

    Carion et al. (2020), equation 2, without the term for the overlap: cross-entropy over
    all Q queries, NONE for those without an object, and the L1 distance of the boxes.
    """
    row = torch.arange(len(scores))[:, None]  # (B, 1)
    wanted = torch.full(scores.shape[:2], NONE)
    wanted[row, queries] = scenes.kinds
    real = scenes.kinds != NONE  # (B, M)
    far = (boxes[row, queries] - scenes.boxes).abs().sum(-1)  # (B, M)
    classes = F.cross_entropy(scores.flatten(0, 1), wanted.flatten())
    return classes + weight * (far * real).sum() / real.sum()


def positions(side: int, D: int) -> Tensor:
    """Sinusoidal positions of a grid, half the coordinates for rows: (side^2, D).

    Slower hands than for text: the fastest turns once over 2 pi tokens, the slowest of a
    grid this small would not move, so the base is 10 instead of 10,000.
    """
    omega = 10.0 ** (-torch.arange(D // 4) / (D // 4))  # (D / 4)
    angles = torch.arange(side)[:, None] * omega
    hands = torch.cat([angles.sin(), angles.cos()], 1)  # (side, D / 2)
    row, column = torch.cartesian_prod(torch.arange(side), torch.arange(side)).T
    return torch.cat([hands[row], hands[column]], 1)


class Detr(nn.Module):
    """Convolutions, an encoder block, Q queries that look at the tokens, two heads.

    A small relative of Carion et al. (2020): the queries are learned vectors; each layer
    lets them look at each other and at the image.
    """

    def __init__(self, S: int = 24, *, D: int = 32, Q: int = 5, L: int = 2) -> None:
        super().__init__()
        self.see = nn.Sequential(
            nn.Conv2d(1, D // 2, 3, 2, 1), nn.ReLU(), nn.Conv2d(D // 2, D, 3, 2, 1)
        )
        self.register_buffer("position", positions(S // 4, D))
        self.encode = EncoderBlock(D, 4, 2 * D, pre_norm=True)
        self.query = nn.Parameter(torch.randn(Q, D))
        self.look = nn.ModuleList(MultiHead(D, 4) for _ in range(L))
        self.norm = nn.ModuleList(nn.LayerNorm(D) for _ in range(L))
        self.talk = nn.ModuleList(EncoderBlock(D, 4, 2 * D, pre_norm=True) for _ in range(L))
        self.last = nn.LayerNorm(D)
        self.kind, self.box = nn.Linear(D, NONE + 1), nn.Linear(D, 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Class scores (B, Q, 4) and boxes (B, Q, 4) of images (B, S, S)."""
        x = self.see(images[:, None]).flatten(2).transpose(1, 2) + self.position
        memory = self.encode(x)  # (B, T, D)
        z = self.query.expand(len(images), -1, -1)  # (B, Q, D)
        for look, norm, talk in zip(self.look, self.norm, self.talk):
            z = talk(z + look(norm(z), memory))
        z = self.last(z)
        return self.kind(z), self.box(z).sigmoid()


def hits(scores: Tensor, boxes: Tensor, scenes: Scenes, *, least: float = 0.5):
    """Objects found, objects announced, objects there: three counts.

    An object is found if an announced box has its class and overlaps it by at least
    `least`; each box finds one object at most (best pairs by `matched`).
    """
    kinds = scores.argmax(-1)  # (B, Q)
    good = overlap(boxes[:, :, None], scenes.boxes[:, None]) >= least  # (B, Q, M)
    good &= kinds[:, :, None] == scenes.kinds[:, None]
    good &= (scenes.kinds != NONE)[:, None]
    queries = matched(-good.float())  # (B, M)
    found = good.gather(1, queries[:, None])[:, 0]  # (B, M)
    return (
        int(found.sum()), int((kinds != NONE).sum()), int((scenes.kinds != NONE).sum())
    )


def f1(found: int, announced: int, there: int) -> float:
    """Harmonic mean of the shares found / announced and found / there."""
    return 2 * found / max(1, announced + there)
