"""Few labels: accuracy against labels used, the same comparison for every model.

Introduced in chapter 3 for word vectors and used again in chapter 5 for whole encoders.
Adds to `metrics` splits, settings and seeds. A model is any function

    classify(texts, labels, test_texts, seed) -> predictions

and every model sees the same nested, stratified subsets of the training part and the same
test part. Settings are chosen inside the labels given (`tuned`), never outside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from . import bag
from .metrics import mean_interval

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


def on_features(features: Callable[[Sequence[str]], np.ndarray]) -> Callable:
    """Softmax regression on fixed features of texts, as a `fit` for `tuned`.

    Parameters
    ----------
    features : callable
        Texts to an array (M, D); it does not look at labels.

    The settings are decays of `bag.softmax_regression`. Features are centred and divided
    by one number, the root mean square of the training ones, so that decay means the same
    for all features.
    """

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


def _expect_guesses(guess, n: int) -> np.ndarray:
    guess = np.asarray(guess)
    if guess.shape != (n,):
        raise ValueError(
            f"classify: expected one prediction for each of the {n} test texts, got an "
            f"array of shape {guess.shape}."
        )
    return guess
