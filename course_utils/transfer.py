"""Word vectors at work: classifiers on the mean of a text's vectors, and their baseline.

Introduced in chapter 3. Adds to `few_labels`, whose names it passes on, three models for
its curves: a bag of words, the mean of fixed vectors, the mean of vectors that are trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array

from . import bag
from .few_labels import (
    Classifier, Curve, few_label_curve, labelled_order, on_features, tuned,
)
from .text import Vocabulary, ngrams, words

__all__ = [
    "Classifier", "Curve", "few_label_curve", "labelled_order", "tuned",  # few_labels
    "Training", "bag_naive_bayes", "frozen_average", "lower_words", "mean_matrix",
    "trained_average", "with_bigrams",
]


@lru_cache(maxsize=50_000)
def lower_words(text: str) -> tuple[str, ...]:
    """Lower-cased word tokens, the tokens of the classifiers below (kept: they recur)."""
    return tuple(words(text.lower()))


def bag_naive_bayes(texts, labels, test_texts, seed, alphas) -> list[np.ndarray]:
    """Naive Bayes on TF-IDF of words and word bigrams, for each alpha: a `fit` for `tuned`.

    The best bag of words that chapter 1's tools give on short opinions. `seed` is not
    used: nothing is drawn.
    """
    documents, others = ([_numbers(t) for t in part] for part in (texts, test_texts))
    known = np.unique(np.concatenate(documents))
    X = _counts(documents, known)
    idf = bag.idf_weights(X)
    A, n_classes = bag.tfidf(X, idf), int(labels.max()) + 1
    test = bag.tfidf(_counts(others, known), idf)
    return [bag.predict(test, *bag.naive_bayes(A, labels, n_classes, alpha))
            for alpha in alphas]


_number: dict[str, int] = {}  # of each word and pair, in the order of their first use


@lru_cache(maxsize=50_000)
def _numbers(text: str) -> np.ndarray:
    """The numbers of a text's words and pairs; the same texts come again and again."""
    return np.array([_number.setdefault(t, len(_number)) for t in with_bigrams(text)], int)


def _counts(documents: Sequence[np.ndarray], known: np.ndarray) -> csr_array:
    """`bag.count_matrix` for numbers: one column for each of the sorted `known`, (M, N)."""
    flat = np.concatenate(documents)
    row = np.repeat(np.arange(len(documents)), [len(d) for d in documents])
    column = np.minimum(np.searchsorted(known, flat), len(known) - 1)
    kept = known[column] == flat
    return csr_array((np.ones(kept.sum()), (row[kept], column[kept])),
                     shape=(len(documents), len(known)))


def mean_matrix(documents: Sequence[Sequence[str]], vocabulary: Vocabulary) -> csr_array:
    """Bags of words whose rows sum to 1: sparse, (M, N); an empty row stays zero.

    ``mean_matrix(documents, vocabulary) @ E`` is the mean vector of each document's known
    words, (M, D).

    >>> rows = mean_matrix([["a", "b", "a"], ["?"]], Vocabulary(("a", "b"), (2, 1)))
    >>> rows.toarray().round(2).tolist()
    [[0.67, 0.33], [0.0, 0.0]]
    """
    X = bag.count_matrix(documents, vocabulary)
    X.data = X.data / np.repeat(X.sum(axis=1), np.diff(X.indptr))
    return X


def frozen_average(vectors: dict[str, np.ndarray]) -> Callable:
    """Softmax regression on the mean of fixed word vectors, as a `fit` for `tuned`.

    Parameters
    ----------
    vectors : dict of str to ndarray (D,)
        Words without a vector are skipped.

    The settings are decays, see `few_labels.on_features`.
    """
    table = np.stack(list(vectors.values())).astype(np.float64)  # (N, D)
    vocabulary = Vocabulary(tuple(vectors), (0,) * len(vectors))

    def features(texts):
        return mean_matrix([lower_words(t) for t in texts], vocabulary) @ table

    return on_features(features)


@dataclass(frozen=True)
class Training:
    """How `trained_average` is trained."""

    rate: float = 0.01  # of Adam, for the vectors
    top_rate: float = 0.01  # of Adam, for the layer above
    batch: int = 64  # texts
    epochs: int = 5  # at most
    updates: int = 30  # least of an epoch: small sets are read several times
    dim: int = 50  # of the vectors, where none are given


def trained_average(vectors: dict[str, np.ndarray] | None, plan: Training) -> Callable:
    """A softmax layer on the mean of word vectors that are trained with it.

    Parameters
    ----------
    vectors : dict of str to ndarray (D,), optional
        Where the vectors start. Words of the training texts that it lacks, or all if it
        is None, start at random with the same root mean square.

    Returns
    -------
    Classifier
        Chooses the number of epochs on a held-out fifth (at least 8 texts), then trains on
        everything for that many; an epoch reads the texts equally often in both, several
        times if they are few (`Training.updates`). Words that the training texts do not have are not moved:
        they keep their vector, and random ones are skipped.
    """

    def classify(texts, labels, test_texts, seed):
        held = np.arange(len(texts)) % 5 == 4 if len(texts) >= 40 else (
            np.arange(len(texts)) % 4 == 3)
        kept, out = np.flatnonzero(~held), np.flatnonzero(held)
        trial, rounds = [texts[m] for m in out], _rounds(len(texts), plan)
        scores = [
            (predict() == labels[out]).mean()
            for predict in _epochs([texts[m] for m in kept], labels[kept], trial, seed,
                                   vectors, plan, plan.epochs, rounds)
        ]
        best = int(np.argmax(scores)) + 1
        *_, predict = _epochs(texts, labels, test_texts, seed, vectors, plan, best, rounds)
        return predict()

    return classify


def _epochs(texts, labels, test_texts, seed, vectors, plan, epochs, rounds):
    """After each epoch of training on `texts`, a function that judges `test_texts`."""
    g = torch.Generator().manual_seed(seed)
    documents, others = ([lower_words(t) for t in part] for part in (texts, test_texts))
    vocabulary, E = _starting_table(documents, others, vectors, plan.dim, g)
    bags, test = _bags(documents, vocabulary), _joined(_bags(others, vocabulary))
    n_classes, D = int(labels.max()) + 1, E.shape[1]
    V = torch.zeros(n_classes, D, requires_grad=True)
    b = torch.zeros(n_classes, requires_grad=True)
    bottom, top = RowAdam(E, plan.rate), torch.optim.Adam(
        [V, b], lr=plan.top_rate, fused=True)
    y = torch.as_tensor(labels)

    @torch.no_grad()
    def predict():
        return _logits(*test, E, V, b).argmax(1).numpy()

    for _ in range(epochs):
        for pick in _picks(len(y), plan.batch, rounds, g):
            ids, offsets = _joined([bags[m] for m in pick.tolist()])
            rows, place = ids.unique(return_inverse=True)
            e = E[rows].requires_grad_()  # (rows, D)
            top.zero_grad()
            F.cross_entropy(_logits(place, offsets, e, V, b), y[pick]).backward()
            top.step()
            bottom.step(rows, e.grad)
        yield predict


class RowAdam:
    """Adam for the rows of a table E (N, D) that a batch uses; all others rest.

    The same steps as ``torch.optim.SparseAdam``, moments of resting rows included, at a
    third of its time on our batches.
    """

    def __init__(self, E: torch.Tensor, rate: float, betas=(0.9, 0.999), eps: float = 1e-8):
        self.E, self.rate, self.betas, self.eps, self.t = E, rate, betas, eps, 0
        self.moments = E.new_zeros(len(E), 2, *E.shape[1:])  # mean, mean square

    def step(self, rows: torch.Tensor, grad: torch.Tensor) -> None:
        """One step with gradients (R, D) of the rows (R,), each once."""
        self.t += 1
        (beta, gamma), t = self.betas, self.t
        moments = self.moments.index_select(0, rows)
        mean, square = moments.unbind(1)
        mean.lerp_(grad, 1 - beta)
        square.lerp_(grad * grad, 1 - gamma)
        self.moments.index_copy_(0, rows, moments)
        rate = self.rate * (1 - gamma**t) ** 0.5 / (1 - beta**t)
        self.E.index_add_(0, rows, mean / square.sqrt().add_(self.eps), alpha=-rate)


def _rounds(n, plan):
    """How often an epoch reads n texts, so that it has at least plan.updates batches."""
    return -(-plan.updates // -(-n // plan.batch))


def _picks(n, batch, rounds, g):
    """The batches of one epoch: `rounds` orders of n texts, one after the other."""
    return [pick for _ in range(rounds)
            for pick in torch.randperm(n, generator=g).split(batch)]


def _joined(bags):
    """Bags of integers end to end, and where each begins."""
    lengths = torch.tensor([len(bag) for bag in bags])
    return torch.cat(bags), lengths.cumsum(0) - lengths


def _logits(ids, offsets, E, V, b):
    """Class scores of bags that lie end to end, (B, K)."""
    return F.embedding_bag(ids, E, offsets, mode="mean") @ V.T + b


def _bags(documents, vocabulary):
    """Numbers of the known words of each document."""
    bags = [vocabulary.encode(d, skip=True) for d in documents]
    flat = torch.tensor([n for bag in bags for n in bag], dtype=torch.int64)
    return flat.split([len(bag) for bag in bags])


def _starting_table(documents, others, vectors, D, g):
    """The types that have a vector, and the vectors at the start."""
    seen = Vocabulary.from_tokens(w for d in documents for w in d)
    given = vectors or {}
    extra = sorted({w for d in others for w in d if w in given and w not in seen})
    types = seen.types + tuple(extra)
    if given:
        some = next(iter(given.values()))
        D = len(some)
    E = torch.randn(len(types), D, generator=g)
    if given:
        rows = [i for i, w in enumerate(types) if w in given]
        known = torch.from_numpy(np.stack([given[types[i]] for i in rows]))
        E *= known.square().mean().sqrt()
        E[rows] = known.to(E.dtype)
    else:
        E *= 0.1
    return Vocabulary(types, (0,) * len(types)), E


@lru_cache(maxsize=50_000)
def with_bigrams(text: str) -> tuple[str, ...]:
    """Word tokens, and behind them the pairs of neighbours, joined by a space."""
    tokens = lower_words(text)
    return tokens + tuple(" ".join(pair) for pair in ngrams(tokens, 2))
