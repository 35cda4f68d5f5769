"""GloVe, trained on all counts of a corpus: the steps of `glove`, fast.

Introduced in chapter 4. Adds to `glove`: batches that know beforehand which of their pairs
share a word, so that gradients are summed by word instead of scattered pair by pair, and
the loop over epochs, with checkpoints.

Letters: N vocabulary, D dimensions, B pairs of a batch, U distinct words of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import embedding_bag

from . import runtime
from .glove import Glove, Settings, initial, pairs, weight


@dataclass(frozen=True)
class Side:
    """One side of a batch of pairs, rows or columns, in the order of its words."""

    order: torch.Tensor  # (B,) the permutation of the batch that sorts this side
    others: torch.Tensor  # (B,) the words on the other side, in that order
    words: torch.Tensor  # (U,) distinct words of this side, rising
    starts: torch.Tensor  # (U,) where the pairs of each word begin

    @classmethod
    def of(cls, words: torch.Tensor, others: torch.Tensor) -> Side:
        """Sort the pairs by `words` (B,)."""
        order = words.argsort(stable=True)
        distinct, counts = torch.unique_consecutive(words[order], return_counts=True)
        return cls(order, others[order], distinct, counts.cumsum(0) - counts)

    def sums(self, factors: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
        """For each word, the sum of factors (B,) times vectors of the other side: (U, D)."""
        return embedding_bag(
            self.others, vectors, self.starts, mode="sum",
            per_sample_weights=factors.index_select(0, self.order),
        )


@dataclass(frozen=True)
class Batch:
    """Pairs, and both sides of them."""

    i: torch.Tensor  # (B,) rows of X
    j: torch.Tensor  # (B,) columns
    log_x: torch.Tensor  # (B,)
    f: torch.Tensor  # (B,) weights
    rows: Side
    columns: Side

    @classmethod
    def of(cls, i, j, x, settings: Settings) -> Batch:
        """Sort and mark the pairs once; every epoch uses the batch again."""
        f = weight(x, settings.x_max, settings.alpha)
        return cls(i, j, x.log(), f, Side.of(i, j), Side.of(j, i))


def batches(
    X, settings: Settings, *, generator: torch.Generator, device="cpu", dtype=torch.float32
) -> list[Batch]:
    """All pairs in random order, cut into batches that every epoch takes in this order."""
    i, j, x = pairs(X, dtype=dtype)
    order = torch.randperm(len(x), generator=generator)
    order = order.split(settings.batch)
    kept = [part[i[part].argsort(stable=True)] for part in order]  # rows rise: fewer misses
    return [
        Batch.of(i[p].to(device), j[p].to(device), x[p].to(device), settings) for p in kept
    ]


@torch.no_grad()
def fast_step(model: Glove, batch: Batch, settings: Settings) -> torch.Tensor:
    """What `glove.adagrad_step` does, to rounding, without scattering pair by pair.

    Returns the sum of f diff^2 / 2 as a tensor, so that a GPU need not wait.
    """
    by_row = settings.accumulator == "row"
    w_i = model.w.index_select(0, batch.i)  # (B, D)
    w_j = model.w_tilde.index_select(0, batch.j)  # (B, D)
    lengths = [torch.linalg.vector_norm(v, dim=1) if by_row else None for v in (w_i, w_j)]
    b = model.b.index_select(0, batch.i) + model.b_tilde.index_select(0, batch.j)
    diff = w_i.mul_(w_j).sum(dim=1) + b - batch.log_x  # (B,)
    g = settings.eta * batch.f * diff
    sides = (
        ("w", batch.rows, batch.i, model.w_tilde, lengths[1]),
        ("w_tilde", batch.columns, batch.j, model.w, lengths[0]),
    )
    found = [
        (name, side.words, side.sums(g, v), _squares(model.squares[name], side, at, g, v, r))
        for name, side, at, v, r in sides
    ]  # all from before the step
    found += [("b", batch.i, g, g * g), ("b_tilde", batch.j, g, g * g)]
    for name, at, total, square in found:
        h = model.squares[name]
        root = h.index_select(0, at).sqrt_()
        root = root[:, None] if total.ndim > root.ndim else root
        getattr(model, name).index_add_(0, at, total / root, alpha=-1)
        h.index_add_(0, at, square)
    return (batch.f * diff * diff).sum() / 2


def train(
    X,
    settings: Settings = Settings(),
    *,
    generator: torch.Generator,
    device="cpu",
    model: Glove | None = None,
    after_epoch: Callable[[Glove], None] | None = None,
) -> Glove:
    """Fit GloVe to a matrix of co-occurrence counts.

    Parameters
    ----------
    X : scipy.sparse array or ndarray, shape (N, N)
        Counts, for instance from `cooccurrence(..., weighting="distance")`.
    settings : Settings
    generator : torch.Generator
        On the CPU: orders the pairs, then draws the initial vectors.
    model : Glove, optional
        A checkpoint to go on from, up to ``settings.epochs`` in all. With a generator of
        the same seed the result is that of an uninterrupted run.
    after_epoch : callable, optional
        Called with the model after each epoch: to measure, to save.

    Returns
    -------
    Glove

    Raises
    ------
    ValueError
        If X cannot be used, or the loss stops being a finite number.

    Notes
    -----
    Time O(P D) an epoch, P the number of non-zeros.
    """
    work = batches(X, settings, generator=generator, device=device)
    if model is None:
        model = initial(X.shape[0], settings, generator=generator, device=device)
    _fits(model, X.shape[0], settings)
    n_pairs = sum(len(batch.i) for batch in work)
    rest = range(len(model.losses), settings.epochs)
    for epoch in runtime.progress(rest, "GloVe", total=len(rest)):
        total = float(sum(fast_step(model, batch, settings).double() for batch in work))
        if not math.isfinite(total):
            raise ValueError(
                f"the loss of epoch {epoch + 1} is {total}: training diverged. "
                f"Use a smaller eta than {settings.eta} or smaller batches."
            )
        model.losses.append(total / n_pairs)
        if after_epoch is not None:
            after_epoch(model)
    return model


def _squares(h, side: Side, at, g, vectors, length) -> torch.Tensor:
    """What the sums of squares of a side's words grow by: (U,) or (U, D)."""
    if h.ndim == 2:
        return side.sums(g * g, vectors * vectors)
    mean = (g * length).square_() / vectors.shape[1]  # (B,) mean square of g v
    return torch.zeros_like(h).index_add_(0, at, mean).index_select(0, side.words)


def _fits(model: Glove, n_vocab: int, settings: Settings) -> None:
    expected = (n_vocab, settings.dimension)
    by_row = model.squares["w"].ndim == 1
    if tuple(model.w.shape) != expected or by_row != (settings.accumulator == "row"):
        raise ValueError(
            f"model: expected vectors {expected} and sums of squares by "
            f"{settings.accumulator}, got {tuple(model.w.shape)} by "
            f"{'row' if by_row else 'element'}. Go on with the settings of the checkpoint."
        )
