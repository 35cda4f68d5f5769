"""Small scenes of coloured shapes, drawn from a seed, with everything about them known.

Introduced in chapter 10. Three objects lie in different cells of a 3 x 3 grid, one large and
two small; their shapes are those of `detection`. What is where is known to the pixel, so the
attention of a network that describes a scene, or answers questions about it, can be scored.

Letters: B scenes, M = 3 objects, object 0 the large one, S side of the image in pixels, K
regions of the image (squares of `PATCH` pixels, numbered row by row).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .detection import SHAPES, stencil

COLOURS = ("red", "green", "blue", "yellow", "white")
RGB = np.array([[1, 0.2, 0.2], [0.1, 0.8, 0.2], [0.25, 0.4, 1], [1, 0.9, 0.1], [1, 1, 1]])
M, S, CELL, PATCH = 3, 36, 12, 6
SIDE = S // PATCH  # regions in a row
LARGE, SMALL = 11, 7  # pixels

NEW = ((0, 2), (1, 0), (2, 1))
"""(colour, shape) that training scenes never show: red cross, green square, blue disc.

Each of these colours and shapes does occur in other pairs."""


class Scenes(NamedTuple):
    """B scenes; object 0 is large, the others are small."""

    images: Tensor  # (B, 3, S, S) float32, 0 to 1 and a little noise
    colour: np.ndarray  # (B, M) int
    shape: np.ndarray  # (B, M) int
    cell: np.ndarray  # (B, M) int, 0 to 8, row by row
    masks: np.ndarray  # (B, M, S, S) bool: the pixels of each object


def draw(
    rng: np.random.Generator, B: int, *, held_out: bool | None = None, new: bool = False
) -> Scenes:
    """`B` random scenes; no two objects of a scene share both colour and shape.

    Parameters
    ----------
    held_out : bool, optional
        True: only descriptions of the test part; False: only of the training part. A
        description (what is in which cell) is in the test part by its number, one in five,
        wherever in their cells the objects are.
    new : bool
        True: the large object is one of the pairs of `NEW`, which no other scene contains.
    """
    if B < 1:
        raise ValueError(f"B: expected at least one scene, got {B}.")
    found = np.empty((0, 3, M), dtype=int)  # (., colour and shape and cell, M)
    while len(found) < B:
        few = _describe(rng, B + B // 2 + 8, new)
        if held_out is not None:
            few = few[in_test(*few.transpose(1, 0, 2)) == held_out]
        found = np.concatenate([found, few])
    colour, shape, cell = found[:B].transpose(1, 0, 2)
    return Scenes(*_paint(rng, colour, shape, cell))


def _describe(rng: np.random.Generator, n: int, new: bool) -> np.ndarray:
    """Colours, shapes and cells of n scenes, (n, 3, M)."""
    pairs = np.array([
        (c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES)) if (c, s) not in NEW
    ])  # (12, 2)
    chosen = pairs[rng.random((n, len(pairs))).argsort(1)[:, :M]]  # (n, M, 2)
    if new:
        chosen[:, 0] = np.array(NEW)[rng.integers(len(NEW), size=n)]
    cell = rng.random((n, 9)).argsort(1)[:, :M]
    return np.stack([chosen[..., 0], chosen[..., 1], cell], 1)


def in_test(colour: np.ndarray, shape: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Which of the descriptions, each (n, M), belong to the test part: (n,) bool.

    The order of the two small objects does not matter.
    """
    number = (colour * len(SHAPES) + shape) * 9 + cell  # (n, M), 0 to 134
    small = np.sort(number[:, 1:], 1)
    number = (number[:, 0] * 135 + small[:, 0]) * 135 + small[:, 1]
    return number * 2_654_435_761 % 2**32 % 5 == 0


def _paint(rng: np.random.Generator, colour, shape, cell):
    """Images and masks of described scenes, objects anywhere inside their cells."""
    B, row = len(colour), np.arange(len(colour))[:, None, None]
    masks = np.zeros((B, M, S, S), dtype=bool)
    for m in range(M):
        size = LARGE if m == 0 else SMALL
        forms = np.stack([stencil(k, size, size) for k in range(len(SHAPES))])
        y, x = rng.integers(0, CELL - size + 1, (2, B)) + CELL * np.stack(
            divmod(cell[:, m], S // CELL)
        )
        v, u = np.mgrid[:size, :size]
        masks[row, m, y[:, None, None] + v, x[:, None, None] + u] = forms[shape[:, m]]
    images = np.einsum("bmyx,bmc->bcyx", masks.astype(np.float32), RGB[colour])
    images += rng.normal(0, 0.05, images.shape)
    return torch.from_numpy(images.astype(np.float32)), colour, shape, cell, masks


def take(scenes: Scenes, rows) -> Scenes:
    """The scenes with the given numbers."""
    return Scenes(*(part[rows] for part in scenes))


def regions(masks: np.ndarray) -> np.ndarray:
    """Which regions hold a pixel of a mask: (..., S, S) to (..., K) bool.

    >>> mask = np.zeros((S, S), dtype=bool)
    >>> mask[5:7, 0] = True                     # the last row of region 0, and one more
    >>> regions(mask).nonzero()[0].tolist()
    [0, 6]
    """
    cut = masks.reshape(*masks.shape[:-2], SIDE, PATCH, SIDE, PATCH)
    return cut.any((-3, -1)).reshape(*masks.shape[:-2], SIDE * SIDE)


def name(colour: int, shape: int) -> str:
    """An object in words.

    >>> name(0, 1)
    'red disc'
    """
    return f"{COLOURS[colour]} {SHAPES[shape]}"


RELATIONS = ("left of", "right of", "above", "below")


def relations(cells: np.ndarray) -> np.ndarray:
    """Which relations hold between two cells, (..., 2) int to (..., 4) bool.

    In the order of `RELATIONS`; the first cell is the subject. Cells of one column are
    neither left nor right of each other.

    >>> [r for r, holds in zip(RELATIONS, relations(np.array([0, 5]))) if holds]
    ['left of', 'above']
    """
    (y, x), (v, u) = (divmod(cells[..., k], S // CELL) for k in (0, 1))
    return np.stack([x < u, x > u, y < v, y > v], -1)


def inside(weights, truth) -> np.ndarray:
    """Share of each map's weight on true regions, (n, K) and (n, K) to (n,).

    Maps without a true region are refused: say first what should count.
    """
    weights, truth = np.asarray(weights), np.asarray(truth, dtype=bool)
    if weights.shape != truth.shape or not truth.any(-1).all():
        raise ValueError(
            f"expected maps of one shape, each with a true region, got {weights.shape} and "
            f"{truth.shape}."
        )
    return (weights * truth).sum(-1)


def points(weights, truth) -> np.ndarray:
    """The pointing game: is the region of the largest weight a true one? (n,) bool."""
    inside(weights, truth)  # the same expectations
    weights, truth = np.asarray(weights), np.asarray(truth, dtype=bool)
    return np.take_along_axis(truth, weights.argmax(-1)[..., None], -1)[..., 0]


def show(ax, image: Tensor, weights=None, *, truth=None):
    """Draw one image (3, S, S), and over it the weights of its regions (K,).

    Parameters
    ----------
    weights : array_like, shape (K,), optional
        Attention: the image is dimmed where there is little.
    truth : array_like of bool, shape (K,), optional
        True regions; they are framed.
    """
    from matplotlib.patches import Rectangle

    picture = np.asarray(image).transpose(1, 2, 0).clip(0, 1)
    ax.imshow(0.15 + 0.85 * picture)
    if weights is not None:
        grid = np.asarray(weights).reshape(SIDE, SIDE)
        ax.imshow(grid, cmap="viridis", alpha=0.6, extent=(-0.5, S - 0.5, S - 0.5, -0.5))
    for k in np.flatnonzero(truth) if truth is not None else []:
        y, x = divmod(int(k), SIDE)
        ax.add_patch(Rectangle(
            (x * PATCH - 0.5, y * PATCH - 0.5), PATCH, PATCH, fill=False,
            edgecolor="#D55E00", linewidth=1.2,
        ))
    ax.set(xticks=[], yticks=[])
    ax.grid(visible=False)
    return ax
