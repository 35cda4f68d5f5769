r"""FastText's linear text classifier: words, hashed bigrams, averaged embeddings.

Introduced in chapter 4. Adds to `bag` a factor: the weights of a linear classifier are a
product of two thin matrices, learned together (Joulin et al., 2017). The features of a
document are its words and its pairs of neighbouring words; pairs share a fixed number of
rows by hashing.

Letters: M documents, N vocabulary, Q buckets, D dimensions, K classes, B documents a step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch.nn.functional import embedding_bag

from . import runtime
from .subwords import fnv1a
from .text import Vocabulary, expect_tokens, words

MULTIPLIER = np.uint64(116049371)


def bigram_buckets(hashes: np.ndarray, n_buckets: int) -> np.ndarray:
    r"""Buckets of neighbouring pairs of words, as FastText computes them.

    .. math:: q_t = (h_t \cdot 116049371 + h_{t+1}) \bmod 2^{64} \bmod Q

    Parameters
    ----------
    hashes : ndarray of uint64, shape (T,)
        From `word_hashes`.

    Returns
    -------
    ndarray of int64, shape (T - 1,)
    """
    if n_buckets < 1:
        raise ValueError(f"n_buckets: expected at least 1, got {n_buckets}.")
    mixed = hashes[:-1] * MULTIPLIER + hashes[1:]  # wraps at 2^64
    return (mixed % np.uint64(n_buckets)).astype(np.int64)


def word_hashes(types: Sequence[str]) -> np.ndarray:
    """FNV-1a of each type, its 32 bits read as signed: uint64, shape (len(types),)."""
    hashes = np.array([fnv1a(word) for word in types], dtype=np.uint32)
    return hashes.astype(np.int32).astype(np.int64).astype(np.uint64)


def features(
    documents: Sequence[Sequence[str]], vocabulary: Vocabulary, n_buckets: int = 0
) -> csr_array:
    """Shares of words (N columns) and of hashed bigrams (Q columns) in each document.

    Tokens outside the vocabulary are left out first. A row adds up to 1, so that the row
    times the embeddings is their mean; a document without known words has an empty row.

    >>> vocabulary = Vocabulary(("a", "b"), (2, 1))
    >>> features([["a", "b", "x", "a", "a"]], vocabulary).toarray().tolist()
    [[0.75, 0.25]]
    """
    hashes, N = word_hashes(vocabulary.types), len(vocabulary)
    indices, indptr = [], [0]
    for tokens in documents:
        expect_tokens(tokens)
        ids = np.array(vocabulary.encode(tokens, skip=True), dtype=np.int64)
        indices.append(ids)
        if n_buckets and len(ids) > 1:
            indices.append(N + bigram_buckets(hashes[ids], n_buckets))
        length = len(ids) + max(0, len(ids) - 1) * bool(n_buckets)
        indptr.append(indptr[-1] + length)
    indices = np.concatenate(indices) if indices else np.empty(0, dtype=np.int64)
    lengths = np.diff(indptr)
    share = np.repeat(1 / np.maximum(lengths, 1), lengths).astype(np.float32)
    X = csr_array((share, indices, indptr), shape=(len(lengths), N + n_buckets))
    X.sum_duplicates()
    return X


@dataclass(frozen=True)
class Settings:
    """How to train; the rate falls linearly to 0."""

    dimension: int = 20  # D
    epochs: int = 10
    rate: float = 1.0  # of SGD, summed over the documents of a step
    batch: int = 32  # B
    seed: int = 0


@dataclass(frozen=True)
class Classifier:
    """Scores X A C: embeddings A (N + Q, D) of the features, C (D, K) of the classes."""

    A: np.ndarray
    C: np.ndarray
    losses: tuple[float, ...]  # mean cross-entropy of each epoch, in nats

    def predict(self, X: csr_array) -> np.ndarray:
        """The class with the largest score, shape (M,)."""
        return (X @ self.A @ self.C).argmax(axis=1)

    @property
    def parameters(self) -> int:
        """Number of learned numbers."""
        return self.A.size + self.C.size


def loss_and_gradients(A, C, rows, share, starts, y):
    r"""Cross-entropy of a batch, summed, and its gradients by hand.

    .. math:: h = \sum_j x_j A_j, \quad p = \mathrm{softmax}(h C), \quad
              G = p - r(y), \quad \delta C = h^\top G, \quad \delta h = G C^\top

    Row j of A receives :math:`x_j \, \delta h` of every document that has feature j.

    Parameters
    ----------
    rows, share : Tensor, shape (R,)
        Features of all documents of the batch, end to end, and their x.
    starts : Tensor, shape (B,)
    y : Tensor, shape (B,)

    Returns
    -------
    loss, dC (D, K), dh (B, D)
    """
    h = embedding_bag(rows, A, starts, mode="sum", per_sample_weights=share)  # (B, D)
    log_p = torch.log_softmax(h @ C, dim=1)  # (B, K)
    here = torch.arange(len(y), device=y.device)
    G = log_p.exp()
    G[here, y] -= 1
    return -log_p[here, y].sum(), h.T @ G, G @ C.T


@torch.no_grad()
def train(
    X: csr_array, y: np.ndarray, n_classes: int, settings: Settings = Settings(), *,
    device="cpu",
) -> Classifier:
    """Fit the classifier by SGD over shuffled documents.

    Raises
    ------
    ValueError
        If there is no document, a label is out of range, or the loss is not finite.
    """
    y = _labels(y, X.shape[0], n_classes)
    rng = runtime.generator(settings.seed)
    D = settings.dimension
    A = (2 * torch.rand(X.shape[1], D, generator=rng) - 1).div_(D).to(device)
    C, losses = torch.zeros(D, n_classes, device=device), []
    done, total = 0, settings.epochs * len(y)
    for _ in runtime.progress(range(settings.epochs), "classifier"):
        loss = 0.0
        for batch in torch.randperm(len(y), generator=rng).split(settings.batch):
            rate = settings.rate * (1 - done / total)
            loss += _step(A, C, X[batch.numpy()], y[batch].to(device), rate)
            done += len(batch)
        losses.append(float(loss) / len(y))
        if not np.isfinite(losses[-1]):
            raise ValueError(f"training diverged: use a lower rate than {settings.rate}.")
    return Classifier(A.cpu().numpy(), C.cpu().numpy(), tuple(losses))


def _step(A, C, X: csr_array, y, rate: float) -> torch.Tensor:
    rows = torch.from_numpy(X.indices.astype(np.int64)).to(A.device)
    share = torch.from_numpy(X.data.astype(np.float32)).to(A.device)
    ends = torch.from_numpy(X.indptr.astype(np.int64)).to(A.device)
    loss, dC, dh = loss_and_gradients(A, C, rows, share, ends[:-1], y)
    each = dh.mul_(-rate).repeat_interleave(ends.diff(), dim=0).mul_(share[:, None])  # (R, D)
    A.scatter_add_(0, rows[:, None].expand_as(each), each)
    C.sub_(dC, alpha=rate)
    return loss


def _labels(y, n_documents: int, n_classes: int) -> torch.Tensor:
    y = np.asarray(y)
    if y.shape != (n_documents,) or n_documents == 0:
        raise ValueError(f"y: expected {n_documents} labels, one a document, got {y.shape}.")
    if y.min() < 0 or y.max() >= n_classes:
        raise ValueError(f"y: expected 0 to {n_classes - 1}, got {y.min()} to {y.max()}.")
    return torch.from_numpy(y.astype(np.int64))


def fit_texts(texts, labels, test_texts, seed, epochs, *, n_buckets=50_000) -> list[np.ndarray]:
    """Classes of test texts for each number of epochs: a `fit` for `few_labels.tuned`.

    Lower-cased words and pairs of the training texts. Sets of fewer than 512 texts are read
    512 / M times in each epoch, so that few labels do not mean few updates.
    """
    documents, others = ([words(t.lower()) for t in part] for part in (texts, test_texts))
    vocabulary = Vocabulary.from_tokens(w for d in documents for w in d)
    X, X_test = (features(part, vocabulary, n_buckets) for part in (documents, others))
    more = max(1, 512 // len(texts))
    plans = [Settings(epochs=more * e, rate=0.5, seed=seed) for e in epochs]
    return [train(X, labels, int(labels.max()) + 1, plan).predict(X_test) for plan in plans]
