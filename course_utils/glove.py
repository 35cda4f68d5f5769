"""GloVe: word vectors fitted to the logarithms of co-occurrence counts.

Introduced in chapter 4. Adds to `cooccurrence`: the weighted least-squares loss of
Pennington, Socher and Manning (2014), its gradient, and AdaGrad as in their C program.
`glove_training` takes many of these steps fast.

Letters: N vocabulary, D dimensions, P non-zero counts (pairs), B pairs of a batch.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

NAMES = ("w", "w_tilde", "b", "b_tilde")
ACCUMULATORS = ("row", "element")


@dataclass(frozen=True)
class Settings:
    """How to train; the defaults are those of Stanford's program, but for `batch`."""

    dimension: int = 50  # D
    x_max: float = 100.0  # counts from here on have weight 1
    alpha: float = 0.75  # exponent of the weight below x_max
    eta: float = 0.05  # learning rate before AdaGrad's division
    epochs: int = 25  # passes over the non-zero counts
    batch: int = 8192  # pairs a step
    accumulator: str = "row"  # AdaGrad's sum of squares: one a "row", or one an "element"

    def __post_init__(self) -> None:
        for name in ("dimension", "x_max", "eta", "batch"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}: expected above 0, got {getattr(self, name)!r}.")
        if not (self.epochs >= 0 and self.alpha >= 0):
            raise ValueError(
                f"expected epochs and alpha of at least 0, got {self.epochs}, {self.alpha}."
            )
        if self.accumulator not in ACCUMULATORS:
            raise ValueError(
                f"accumulator: expected one of {ACCUMULATORS}, got {self.accumulator!r}."
            )


def weight(x, x_max: float = 100.0, alpha: float = 0.75):
    r"""How much a count matters in the loss (Pennington et al., 2014, equation 9).

    .. math:: f(x) = (x / x_{\max})^\alpha \text{ if } x < x_{\max}, \quad 1
              \text{ otherwise}

    `x` is a tensor or an array of counts, none negative; f(0) = 0.

    >>> weight(np.array([0.0, 16.0, 81.0, 500.0]), x_max=81, alpha=0.25).round(4).tolist()
    [0.0, 0.6667, 1.0, 1.0]
    """
    share = x / x_max
    return (share.clip(max=1) if isinstance(x, np.ndarray) else share.clamp(max=1)) ** alpha


@dataclass
class Glove:
    """Vectors, biases, AdaGrad's sums of squares, and the loss of each epoch so far."""

    w: torch.Tensor  # (N, D) word vectors
    w_tilde: torch.Tensor  # (N, D) context vectors
    b: torch.Tensor  # (N,)
    b_tilde: torch.Tensor  # (N,)
    squares: dict[str, torch.Tensor]  # one for each of NAMES; (N,) or (N, D)
    losses: list[float] = field(default_factory=list)  # mean of f diff^2 / 2 over pairs

    def vectors(self) -> np.ndarray:
        """Word plus context vectors (N, D), as Stanford's program writes them."""
        return (self.w + self.w_tilde).cpu().numpy()

    def save(self, path) -> None:
        """Write a checkpoint: everything `train` needs to go on."""
        path = Path(path)
        half = path.with_name(path.name + ".part")
        torch.save(asdict(self), half)
        half.replace(path)

    @classmethod
    def load(cls, path, device="cpu") -> Glove:
        """Read a checkpoint; nothing in it is executed."""
        return cls(**torch.load(path, map_location=device, weights_only=True))


def initial(
    n_vocab: int, settings: Settings, *, generator: torch.Generator, device="cpu",
    dtype=torch.float32,
) -> Glove:
    """Uniform in (-1/2, 1/2) / D, and sums of squares that start at 1, as Stanford's."""
    D = settings.dimension

    def draw(*shape):
        numbers = torch.rand(*shape, generator=generator, dtype=dtype)
        return ((numbers - 0.5) / D).to(device)

    shapes = (n_vocab, D), (n_vocab, D), (n_vocab,), (n_vocab,)
    parameters = [draw(*shape) for shape in shapes]
    by_row = settings.accumulator == "row"
    squares = {
        name: torch.ones_like(p[:, 0] if by_row and p.ndim == 2 else p)
        for name, p in zip(NAMES, parameters)
    }
    return Glove(*parameters, squares)


def difference(model: Glove, i, j, log_x) -> torch.Tensor:
    r"""Error of the log-bilinear model, :math:`w_i \cdot \tilde w_j + b_i + \tilde b_j -
    \ln X_{ij}`, for pairs i, j (B,). Shape (B,)."""
    product = (model.w[i] * model.w_tilde[j]).sum(dim=-1)
    return product + model.b[i] + model.b_tilde[j] - log_x


def loss(model: Glove, i, j, x, settings: Settings) -> torch.Tensor:
    r"""Weighted least squares (Pennington et al., 2014, equation 8), a sum over pairs.

    .. math:: J = \sum_{i, j: X_{ij} > 0} f(X_{ij})
              (w_i \cdot \tilde w_j + b_i + \tilde b_j - \ln X_{ij})^2

    The pairs i, j and counts x (P,) are those above zero: see `pairs`.
    """
    diff = difference(model, i, j, x.log())
    return (weight(x, settings.x_max, settings.alpha) * diff**2).sum()


def gradients(model: Glove, i, j, x, settings: Settings) -> tuple[torch.Tensor, ...]:
    r"""Gradient of J / 2 by hand, in the order of `NAMES`.

    With :math:`g = f(x) \, \mathrm{diff}`: :math:`\sum_j g \tilde w_j` for row i of w,
    :math:`\sum_i g w_i` for row j of w_tilde, and :math:`\sum g` for the biases. The half
    absorbs the factor 2 of the square, as in Stanford's program.
    """
    f = weight(x, settings.x_max, settings.alpha)
    g = f * difference(model, i, j, x.log())  # (B,)
    each = g[:, None] * model.w_tilde[j], g[:, None] * model.w[i], g, g
    return tuple(
        torch.zeros_like(getattr(model, name)).index_add_(0, at, rows)
        for name, at, rows in zip(NAMES, (i, j, i, j), each)
    )


@torch.no_grad()
def adagrad_step(model: Glove, i, j, x, settings: Settings) -> float:
    """One step on a batch of pairs, in place: update, then accumulate.

    Every pair uses the vectors and sums of squares from before the step; pairs that share
    a word add up (`index_add_`). The squares hold (eta g)^2, as in Stanford's program. With
    accumulator "row" a vector keeps one sum, of its gradients' mean square.

    Returns
    -------
    float
        Sum over the batch of f diff^2 / 2, before the update.
    """
    diff = difference(model, i, j, x.log())
    f = weight(x, settings.x_max, settings.alpha)
    g = settings.eta * f * diff  # (B,)
    each = g[:, None] * model.w_tilde[j], g[:, None] * model.w[i], g, g
    for name, at, rows in zip(NAMES, (i, j, i, j), each):
        h = model.squares[name]
        root = h[at].sqrt().reshape(len(at), *[1] * (rows.ndim - h.ndim), *h.shape[1:])
        squares = (rows**2).mean(dim=1) if rows.ndim > h.ndim else rows**2
        getattr(model, name).index_add_(0, at, -rows / root)
        h.index_add_(0, at, squares)
    return float((f * diff**2).sum() / 2)


def pairs(X, *, dtype=torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The non-zero counts of X (N, N): rows i, columns j (int64) and counts x, each (P,).

    Raises
    ------
    ValueError
        If X is not square, holds a negative or non-finite count, or nothing but zeros.
    """
    from scipy.sparse import coo_array

    X = coo_array(X)
    if X.ndim != 2 or X.shape[0] != X.shape[1]:
        raise ValueError(f"X: expected a square matrix of counts, got shape {X.shape}.")
    if not np.isfinite(X.data).all() or (X.data < 0).any():
        raise ValueError(
            "X: expected finite counts of at least 0, got a negative or non-finite one. "
            "Pass the counts themselves, not their logarithms."
        )
    kept = X.data > 0
    if not kept.any():
        raise ValueError("X: expected at least one count above 0. Is the corpus empty?")
    i, j = (torch.from_numpy(ids[kept].astype(np.int64)) for ids in (X.row, X.col))
    return i, j, torch.from_numpy(X.data[kept]).to(dtype)
