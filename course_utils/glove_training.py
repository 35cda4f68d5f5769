"""GloVe, trained on all counts of a corpus: the steps of `glove`, fast.

Introduced in chapter 4. Adds to `glove`: batches in the form of small sparse matrices, so
that inner products are taken only where there is a count, and gradients are summed by word
instead of scattered pair by pair; and the loop over epochs, with checkpoints.

Letters: N vocabulary, D dimensions, B pairs of a batch, U distinct words on one side of it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch

from . import runtime
from .glove import NAMES, Glove, Settings, initial, pairs, weight


@dataclass(frozen=True)
class Side:
    """One side of a batch, rows or columns: a matrix (U, U') of its pairs, by this side."""

    words: torch.Tensor  # (U,) distinct words, rising
    at: torch.Tensor  # (B,) place of each pair's word among them
    order: torch.Tensor  # (B,) the permutation of the batch that sorts this side
    starts: torch.Tensor  # (U + 1,) where the pairs of each word begin
    others: torch.Tensor  # (B,) places on the other side, in that order
    n_others: int  # U'

    @classmethod
    def of(cls, words, at, others, n_others: int) -> Side:
        """Sort the pairs by `at` (B,)."""
        order = at.argsort(stable=True)
        ends = torch.bincount(at, minlength=len(words)).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends]).int()
        return cls(words, at, order, starts, others[order].int(), n_others)

    def matrix(self, values: torch.Tensor) -> torch.Tensor:
        """Values (B,) of the pairs as a sparse matrix (U, U')."""
        with warnings.catch_warnings():  # torch says once that this form is young
            warnings.filterwarnings("ignore", message="Sparse")
            return torch.sparse_csr_tensor(
                self.starts, self.others, values.index_select(0, self.order),
                (len(self.words), self.n_others), check_invariants=False,
            )


@dataclass(frozen=True)
class Batch:
    """Pairs, sorted by their row, and both sides of them."""

    log_x: torch.Tensor  # sparse (U, U'): ln X where the batch has a pair
    f: torch.Tensor  # (B,) weights
    rows: Side
    columns: Side

    @classmethod
    def of(cls, i, j, x, settings: Settings) -> Batch:
        """Sort and mark the pairs i, j, x (B,) once; every epoch uses the batch again."""
        order = i.argsort(stable=True)
        i, j, x = i[order], j[order], x[order]
        (I, row), (J, column) = (torch.unique(k, return_inverse=True) for k in (i, j))
        rows, columns = Side.of(I, row, column, len(J)), Side.of(J, column, row, len(I))
        f = weight(x, settings.x_max, settings.alpha)
        return cls(rows.matrix(x.log()), f, rows, columns)

    @property
    def i(self) -> torch.Tensor:
        """Rows of X (B,), rising."""
        return self.rows.words[self.rows.at]

    @property
    def j(self) -> torch.Tensor:
        """Columns of X (B,)."""
        return self.columns.words[self.columns.at]


def batches(
    X, settings: Settings, *, generator: torch.Generator, device="cpu", dtype=torch.float32
) -> list[Batch]:
    """All pairs in random order, cut into batches that every epoch takes in this order."""
    i, j, x = pairs(X, dtype=dtype)
    order = torch.randperm(len(x), generator=generator)
    return [
        Batch.of(i[p].to(device), j[p].to(device), x[p].to(device), settings)
        for p in order.split(settings.batch)
    ]


@torch.no_grad()
def fast_step(model: Glove, batch: Batch, settings: Settings) -> torch.Tensor:
    r"""What `glove.adagrad_step` does, to rounding, with sparse matrices.

    .. math:: E = W \tilde W^\top + b \mathbf 1^\top + \mathbf 1 \tilde b^\top - \ln X
              \text{ in the cells of the batch}, \quad G = \eta f(X) \odot E, \quad
              W \leftarrow W - H^{-1/2} G \tilde W

    on copies of the rows that the batch uses. Returns the sum of f diff^2 / 2 as a tensor,
    so that a GPU need not wait.
    """
    rows, columns = batch.rows, batch.columns
    w, w_tilde, b, b_tilde = (
        getattr(model, name).index_select(0, side.words)
        for name, side in zip(NAMES, (rows, columns) * 2)
    )  # (U, D), (U', D), (U,), (U',)
    products = torch.sparse.sampled_addmm(batch.log_x, w, w_tilde.t(), beta=-1)
    bias = b.index_select(0, rows.at) + b_tilde.index_select(0, columns.at)
    diff = products.values() + bias  # (B,)
    g = settings.eta * batch.f * diff
    for name, side, mine, far, other in (
        ("w", rows, w, columns, w_tilde), ("w_tilde", columns, w_tilde, rows, w)
    ):
        _move_vectors(model, name, (side, mine), (far, other), g)
    _move_biases(model, "b", rows, b, g)
    _move_biases(model, "b_tilde", columns, b_tilde, g)
    return (batch.f * diff * diff).sum() / 2


def _move_vectors(model: Glove, name: str, near, far, g: torch.Tensor) -> None:
    """Move one side's vectors (U, D) by the pairs' g (B,), then add to its squares."""
    (side, mine), (far_side, other) = near, far
    h = model.squares[name].index_select(0, side.words)
    if h.ndim == 1:  # one sum a row, of the mean square
        by_pair = -g * h.rsqrt().index_select(0, side.at)
        moved = torch.addmm(mine, side.matrix(by_pair), other)
        mean = torch.linalg.vector_norm(other, dim=1).square_() / other.shape[1]
        h.index_add_(0, side.at, g * g * mean.index_select(0, far_side.at))
    else:
        moved = mine - (side.matrix(g) @ other).div_(h.sqrt())
        h += side.matrix(g * g) @ (other * other)
    getattr(model, name).index_copy_(0, side.words, moved)
    model.squares[name].index_copy_(0, side.words, h)


def _move_biases(model: Glove, name: str, side: Side, mine, g: torch.Tensor) -> None:
    """The same for biases (U,); a bias keeps its own sum."""
    h = model.squares[name].index_select(0, side.words)
    total, square = (torch.zeros_like(h).index_add_(0, side.at, v) for v in (g, g * g))
    getattr(model, name).index_copy_(0, side.words, mine - total / h.sqrt())
    model.squares[name].index_copy_(0, side.words, h + square)


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


def _fits(model: Glove, n_vocab: int, settings: Settings) -> None:
    expected = (n_vocab, settings.dimension)
    by_row = model.squares["w"].ndim == 1
    if tuple(model.w.shape) != expected or by_row != (settings.accumulator == "row"):
        raise ValueError(
            f"model: expected vectors {expected} and sums of squares by "
            f"{settings.accumulator}, got {tuple(model.w.shape)} by "
            f"{'row' if by_row else 'element'}. Go on with the settings of the checkpoint."
        )
