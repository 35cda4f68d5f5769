"""Few labels: curves of accuracy against labels used, and averaged word vectors.

Introduced in chapter 3 for word vectors and used again in chapter 5 for whole encoders.
Adds to `bag` a comparison that is the same for every model: a model is any function

    classify(texts, labels, test_texts, seed) -> predictions

and every model sees the same nested, balanced subsets of the training part and the same
test part. Settings are chosen inside the labels given (`tuned`), never outside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_array

from . import bag
from .metrics import mean_interval
from .text import Vocabulary, ngrams, words

Classifier = Callable[[Sequence[str], np.ndarray, Sequence[str], int], np.ndarray]


def labelled_order(labels: np.ndarray, seed: int) -> np.ndarray:
    """An order of the examples in which every prefix has the classes' own shares.

    The rows of class k are shuffled and get the keys (r + 1/2) / M_k, r = 0, 1, ...; all
    examples are sorted by key. So subsets of different sizes are nested, and each holds
    within one example its share of every class.

    >>> labels = np.array([0, 0, 0, 0, 1, 1])
    >>> order = labelled_order(labels, seed=3)
    >>> labels[order[:3]].tolist()
    [0, 1, 0]
    """
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    key = np.empty(len(labels))
    for k in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == k))
        key[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    return np.argsort(key, kind="stable")


@dataclass(frozen=True)
class Curve:
    """What one model got right, label by label."""

    sizes: tuple[int, ...]  # labels used
    correct: np.ndarray  # (seeds, sizes, test texts) bool
    seconds: np.ndarray  # (seeds, sizes) of training, choosing and predicting

    @property
    def accuracy(self) -> np.ndarray:
        """Share right, (seeds, sizes)."""
        return self.correct.mean(axis=2)

    def interval(self, size: int) -> tuple[float, float, float]:
        """Mean and Student interval over seeds at one size.

        Each seed draws other labels, so this covers the drawing of labels and the
        training; the test texts are the same throughout.
        """
        return mean_interval(self.accuracy[:, self.sizes.index(size)])

    def lead(self, other: Curve, size: int) -> tuple[float, float, float]:
        """Mean and interval of this accuracy minus the other's, seed by seed."""
        i, j = self.sizes.index(size), other.sizes.index(size)
        return mean_interval(self.accuracy[:, i] - other.accuracy[:, j])


def few_label_curve(
    classify: Classifier, task, *, sizes: Sequence[int], seeds: Sequence[int]
) -> Curve:
    """Train `classify` on nested subsets of ``task.train``, judge it on ``task.test``.

    Parameters
    ----------
    classify : Classifier
        Gets the chosen texts and labels, all test texts, and the seed.
    task : LabelledTexts
        For instance ``data.critics()``.
    sizes : sequence of int
        Numbers of labels, each at most ``len(task.train)``.
    seeds : sequence of int
        Each seed draws its own subsets; two models with the same seeds have the same.
    """
    if not sizes or max(sizes) > len(task.train) or min(sizes) < 2:
        raise ValueError(
            f"sizes: expected numbers from 2 to {len(task.train)}, got {tuple(sizes)}."
        )
    correct = np.empty((len(seeds), len(sizes), len(task.test)), dtype=bool)
    seconds = np.empty((len(seeds), len(sizes)))
    for s, seed in enumerate(seeds):
        order = labelled_order(task.train.labels, seed)
        for i, size in enumerate(sizes):
            texts = [task.train.texts[m] for m in order[:size]]
            start = time.perf_counter()
            guess = classify(texts, task.train.labels[order[:size]], task.test.texts, seed)
            seconds[s, i] = time.perf_counter() - start
            correct[s, i] = _expect_guesses(guess, len(task.test)) == task.test.labels
    return Curve(tuple(sizes), correct, seconds)


def tuned(fit: Callable, settings: Sequence, *, folds: int = 4, enough: int = 250):
    """A classifier that chooses its setting from the labels it is given.

    Each fold in turn is held out and judged by a model of the others, until `enough`
    texts have been judged (small sets need all folds, large ones a single one). The
    setting with most right wins, ties go to the first; then all labels are used.

    Parameters
    ----------
    fit : callable
        ``fit(texts, labels, test_texts, seed, settings)``: a list with the predictions
        under each setting, so that what the settings share is computed once.
    settings : sequence
        Candidates, the most cautious first.
    """

    def classify(texts, labels, test_texts, seed):
        right, judged = np.zeros(len(settings)), 0
        part = np.arange(len(texts)) % folds  # texts come in labelled_order
        for k in range(folds):
            kept, held = np.flatnonzero(part != k), np.flatnonzero(part == k)
            here, there = [texts[m] for m in kept], [texts[m] for m in held]
            guesses = fit(here, labels[kept], there, seed, settings)
            right += [(guess == labels[held]).sum() for guess in guesses]
            judged += len(held)
            if judged >= enough:
                break
        best = settings[int(np.argmax(right))]
        return fit(texts, labels, test_texts, seed, [best])[0]

    return classify


@lru_cache(maxsize=50_000)
def lower_words(text: str) -> tuple[str, ...]:
    """Lower-cased word tokens, the tokens of the classifiers below (kept: they recur)."""
    return tuple(words(text.lower()))


def bag_naive_bayes(texts, labels, test_texts, seed, alphas) -> list[np.ndarray]:
    """Naive Bayes on TF-IDF of words and word bigrams, for each alpha: a `fit` for `tuned`.

    The best bag of words that chapter 1's tools give on short opinions. `seed` is not
    used: nothing is drawn.
    """
    documents, others = ([with_bigrams(t) for t in part] for part in (texts, test_texts))
    vocabulary = Vocabulary.from_tokens(w for d in documents for w in d)
    X = bag.count_matrix(documents, vocabulary)
    idf = bag.idf_weights(X)
    A, n_classes = bag.tfidf(X, idf), int(labels.max()) + 1
    test = bag.tfidf(bag.count_matrix(others, vocabulary), idf)
    return [bag.predict(test, *bag.naive_bayes(A, labels, n_classes, alpha))
            for alpha in alphas]


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

    The settings are decays of `bag.softmax_regression`. Features are divided by the
    root mean square of the training ones, so that decay means the same for all vectors.
    """
    table = np.stack(list(vectors.values())).astype(np.float64)  # (N, D)
    vocabulary = Vocabulary(tuple(vectors), (0,) * len(vectors))

    def features(texts):
        return mean_matrix([lower_words(t) for t in texts], vocabulary) @ table

    def fit(texts, labels, test_texts, seed, decays):
        Z, Z_test = features(texts), features(test_texts)  # (M, D)
        centre = Z.mean(axis=0)
        scale = np.sqrt(((Z - centre) ** 2).mean()) + 1e-12
        Z, Z_test = (Z - centre) / scale, (Z_test - centre) / scale
        n_classes = int(labels.max()) + 1
        models = [bag.softmax_regression(Z, labels, n_classes, decay=decay)
                  for decay in decays]
        return [bag.predict(Z_test, W, b) for W, b in models]

    return fit


@dataclass(frozen=True)
class Training:
    """How `trained_average` is trained."""

    rate: float = 0.01  # of Adam, for the vectors
    top_rate: float = 0.01  # of Adam, for the layer above
    batch: int = 64  # texts
    epochs: int = 5  # at most
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
        everything for that many. Words that the training texts do not have are not moved:
        they keep their vector, and random ones are skipped.
    """

    def classify(texts, labels, test_texts, seed):
        held = np.arange(len(texts)) % 5 == 4 if len(texts) >= 40 else (
            np.arange(len(texts)) % 4 == 3)
        kept, out = np.flatnonzero(~held), np.flatnonzero(held)
        trial = [texts[m] for m in out]
        scores = [
            (guess == labels[out]).mean()
            for guess in _epochs([texts[m] for m in kept], labels[kept], trial, seed,
                                 vectors, plan, plan.epochs)
        ]
        best = int(np.argmax(scores)) + 1
        *_, guess = _epochs(texts, labels, test_texts, seed, vectors, plan, best)
        return guess

    return classify


def _epochs(texts, labels, test_texts, seed, vectors, plan, epochs):
    """Predictions for `test_texts` after each epoch of training on `texts`."""
    g = torch.Generator().manual_seed(seed)
    documents, others = ([lower_words(t) for t in part] for part in (texts, test_texts))
    vocabulary, E = _starting_table(documents, others, vectors, plan.dim, g)
    ids, test_ids = (_bags(part, vocabulary) for part in (documents, others))
    E = E.requires_grad_()  # (N, D)
    n_classes, D = int(labels.max()) + 1, E.shape[1]
    V = torch.zeros(n_classes, D, requires_grad=True)
    b = torch.zeros(n_classes, requires_grad=True)
    optimisers = (torch.optim.SparseAdam([E], lr=plan.rate),
                  torch.optim.Adam([V, b], lr=plan.top_rate))
    y = torch.as_tensor(labels)
    for _ in range(epochs):
        for pick in torch.randperm(len(y), generator=g).split(plan.batch):
            loss = F.cross_entropy(_logits(ids, pick.tolist(), E, V, b), y[pick])
            for optimiser in optimisers:
                optimiser.zero_grad()
            loss.backward()
            for optimiser in optimisers:
                optimiser.step()
        with torch.no_grad():
            logits = _logits(test_ids, range(len(test_ids)), E, V, b)
        yield logits.argmax(1).numpy()


def _logits(bags, rows, E, V, b):
    """Class scores of the chosen bags of integers, (B, K)."""
    chosen = [bags[m] for m in rows]
    offsets = torch.tensor([0] + [len(c) for c in chosen[:-1]]).cumsum(0)
    z = F.embedding_bag(torch.cat(chosen), E, offsets, mode="mean", sparse=True)
    return z @ V.T + b


def _bags(documents, vocabulary):
    return [torch.tensor(vocabulary.encode(d, skip=True), dtype=torch.int64)
            for d in documents]


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


def _expect_guesses(guess, n: int) -> np.ndarray:
    guess = np.asarray(guess)
    if guess.shape != (n,):
        raise ValueError(
            f"classify: expected one prediction for each of the {n} test texts, got an "
            f"array of shape {guess.shape}."
        )
    return guess
