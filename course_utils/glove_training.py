"""GloVe, trained on all counts of a corpus: the steps of `glove`, fast.

Introduced in chapter 4. Adds to `glove`: batches in the form of sparse matrices, so that
inner products are taken only where there is a count, gradients are summed by word instead
of scattered pair by pair, and the loop over epochs, with checkpoints.

Letters: N vocabulary, D dimensions, B pairs of a batch, U distinct words of a batch.
"""

from __future__ import annotations

import math
import warnings
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

    def add(self, table: torch.Tensor, rows: torch.Tensor) -> None:
        """Add one row a word (U, D) to the table (N, D)."""
        table.scatter_add_(0, self.words[:, None].expand_as(rows), rows)


@dataclass(frozen=True)
class Batch:
    """Pairs, sorted by their row: the stored cells of a sparse matrix (N, N)."""

    i: torch.Tensor  # (B,) rows of X, rising
    j: torch.Tensor  # (B,) columns
    log_x: torch.Tensor  # sparse (N, N), B cells: ln X where the batch has a pair
    f: torch.Tensor  # (B,) weights
    rows: Side
    columns: Side

    @classmethod
    def of(cls, i, j, x, settings: Settings, n_vocab: int) -> Batch:
        """Sort and mark the pairs once; every epoch uses the batch again."""
        order = i.argsort(stable=True)
        i, j, x = i[order], j[order], x[order]
        ends = torch.bincount(i, minlength=n_vocab).cumsum(0)
        starts = torch.cat([ends.new_zeros(1), ends])
        log_x = _sparse(starts.int(), j.int(), x.log())
        f = weight(x, settings.x_max, settings.alpha)
        return cls(i, j, log_x, f, Side.of(i, j), Side.of(j, i))

    def matrix(self, values: torch.Tensor) -> torch.Tensor:
        """Values (B,) in the cells of the batch: sparse (N, N)."""
        return _sparse(self.log_x.crow_indices(), self.log_x.col_indices(), values)


def batches(
    X, settings: Settings, *, generator: torch.Generator, device="cpu", dtype=torch.float32
) -> list[Batch]:
    """All pairs in random order, cut into batches that every epoch takes in this order."""
    i, j, x = pairs(X, dtype=dtype)
    order = torch.randperm(len(x), generator=generator)
    return [
        Batch.of(i[p].to(device), j[p].to(device), x[p].to(device), settings, X.shape[0])
        for p in order.split(settings.batch)
    ]


@torch.no_grad()
def fast_step(model: Glove, batch: Batch, settings: Settings) -> torch.Tensor:
    r"""What `glove.adagrad_step` does, to rounding, with sparse matrices.

    .. math:: E = W \tilde W^\top + b \mathbf 1^\top + \mathbf 1 \tilde b^\top - \ln X
              \text{ in the cells of the batch}, \quad G = \eta f(X) \odot E, \quad
              W \leftarrow W - H^{-1/2} G \tilde W

    Returns the sum of f diff^2 / 2 as a tensor, so that a GPU need not wait.
    """
    products = torch.sparse.sampled_addmm(batch.log_x, model.w, model.w_tilde.t(), beta=-1)
    b = model.b.index_select(0, batch.i) + model.b_tilde.index_select(0, batch.j)
    diff = products.values() + b  # (B,)
    g = -settings.eta * batch.f * diff
    move = _by_row if settings.accumulator == "row" else _by_element
    move(model, batch, g)
    for name, at in (("b", batch.i), ("b_tilde", batch.j)):
        h = model.squares[name]
        getattr(model, name).index_add_(0, at, g * h.rsqrt().index_select(0, at))
        h.index_add_(0, at, g * g)
    return (batch.f * diff * diff).sum() / 2


def _by_row(model: Glove, batch: Batch, g: torch.Tensor) -> None:
    """Move the vectors by g (B,); each keeps one sum, of its gradients' mean square."""
    w, w_tilde, h = model.w, model.w_tilde, model.squares
    mean = [torch.linalg.vector_norm(v, dim=1).square_() / v.shape[1] for v in (w, w_tilde)]
    by_row, by_column = (
        g * h[name].rsqrt().index_select(0, at)
        for name, at in (("w", batch.i), ("w_tilde", batch.j))
    )
    change = batch.columns.sums(by_column, w)  # (U, D), before w moves
    w.addmm_(batch.matrix(by_row), w_tilde)
    batch.columns.add(w_tilde, change)
    for name, at, other, squares in (
        ("w", batch.i, batch.j, mean[1]), ("w_tilde", batch.j, batch.i, mean[0])
    ):
        h[name].index_add_(0, at, g * g * squares.index_select(0, other))


def _by_element(model: Glove, batch: Batch, g: torch.Tensor) -> None:
    """Move the vectors by g (B,); every element keeps a sum of its own."""
    sides = ("w", batch.rows, model.w_tilde), ("w_tilde", batch.columns, model.w)
    found = [
        (name, side, side.sums(g, v), side.sums(g * g, v * v)) for name, side, v in sides
    ]  # all from before the step
    for name, side, total, square in found:
        h = model.squares[name]
        side.add(getattr(model, name), total.div_(h.index_select(0, side.words).sqrt_()))
        side.add(h, square)


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


def _sparse(starts, columns, values) -> torch.Tensor:
    """A square matrix of compressed rows; torch says once that this form is young."""
    shape = (len(starts) - 1,) * 2
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse")
        return torch.sparse_csr_tensor(starts, columns, values, shape, check_invariants=False)


def _fits(model: Glove, n_vocab: int, settings: Settings) -> None:
    expected = (n_vocab, settings.dimension)
    by_row = model.squares["w"].ndim == 1
    if tuple(model.w.shape) != expected or by_row != (settings.accumulator == "row"):
        raise ValueError(
            f"model: expected vectors {expected} and sums of squares by "
            f"{settings.accumulator}, got {tuple(model.w.shape)} by "
            f"{'row' if by_row else 'element'}. Go on with the settings of the checkpoint."
        )
