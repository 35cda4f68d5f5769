"""What word vectors are worth: neighbours, word similarity, analogies.

Introduced in chapter 2; chapters 3 and 4 score their vectors with the same functions, so
that the figures compare. Adds to `metrics`: words, through any mapping from word to row
(a `Vocabulary`, a dict).

Letters: N vocabulary, D dimensions, Q questions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .metrics import bootstrap_interval, wilson_interval

RULES = ("3cosadd", "3cosmul")
EPSILON = 0.001  # of 3CosMul, as in its paper; gensim has 1e-6


def unit_rows(E) -> np.ndarray:
    """Rows divided by their length; a row of zeros stays zero. Shape (N, D).

    >>> unit_rows([[3.0, 4.0], [0.0, 0.0]]).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    E = np.asarray(E)
    if E.ndim != 2 or not np.isfinite(E).all():
        raise ValueError(
            f"E: expected finite vectors (N, D), got shape {E.shape}"
            f"{' with NaN or infinity' if E.ndim == 2 else ''}. Did training diverge?"
        )
    E = E.astype(np.result_type(E.dtype, np.float32), copy=False)
    length = np.linalg.norm(E, axis=1, keepdims=True)
    return E / np.where(length > 0, length, 1)


def nearest(E, rows: Sequence[int], k: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows by cosine, nearest first.

    Returns
    -------
    neighbours (len(rows), k), cosines (len(rows), k)
    """
    E, rows = unit_rows(E), np.asarray(rows)
    if not 1 <= k < len(E):
        raise ValueError(f"k: expected 1 to {len(E) - 1}, got {k}.")
    cosines = E[rows] @ E.T  # (R, N)
    cosines[np.arange(len(rows)), rows] = -np.inf
    best = np.argpartition(-cosines, k - 1, axis=1)[:, :k]
    found = np.take_along_axis(cosines, best, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(best, order, 1), np.take_along_axis(found, order, 1)


def most_similar(E, vocabulary, word: str, k: int = 10) -> list[tuple[str, float]]:
    """The k nearest words and their cosines; KeyError if the word is unknown."""
    types = vocabulary.types if hasattr(vocabulary, "types") else list(vocabulary)
    neighbours, cosines = nearest(E, [_row(vocabulary, word)], k)
    return [(types[j], float(c)) for j, c in zip(neighbours[0], cosines[0])]


def neighbour_overlap(A, B, rows: Sequence[int], k: int = 10) -> np.ndarray:
    """Share of the k nearest neighbours that two sets of vectors (N, D) have in common.

    Same row, same word; dimensions may differ. One share for each of `rows`: give them to
    `metrics.bootstrap_interval` for an interval. Chance is about k / N.
    """
    if len(A) != len(B):
        raise ValueError(f"expected one vocabulary for both, got {len(A)} and {len(B)} rows.")
    ours, theirs = nearest(A, rows, k)[0], nearest(B, rows, k)[0]
    return np.array([len(np.intersect1d(a, b)) / k for a, b in zip(ours, theirs)])


@dataclass(frozen=True)
class Similarity:
    """Agreement with human ratings: Spearman's rank correlation on the covered pairs."""

    score: float  # -1 to 1
    low: float  # 95 % bootstrap over pairs
    high: float
    covered: int  # pairs of which both words have a vector
    pairs: int


def rated_cosines(E, vocabulary: Mapping, pairs, *, lower: bool = True):
    """Cosine and human rating of each covered pair: two arrays (P,)."""
    fold = str.lower if lower else str
    kept = [
        (vocabulary[fold(a)], vocabulary[fold(b)], rating)
        for a, b, rating in pairs
        if fold(a) in vocabulary and fold(b) in vocabulary
    ]
    if len(kept) < 3:
        raise ValueError(
            f"expected at least 3 pairs with both words in the vocabulary, got {len(kept)} "
            f"of {len(pairs)}. Is the case of the words the same?"
        )
    a, b, rating = (np.array(column) for column in zip(*kept))
    E = unit_rows(E)
    return (E[a] * E[b]).sum(axis=1), rating


def word_similarity(
    E, vocabulary: Mapping, pairs, *, lower: bool = True,
    rng: np.random.Generator | None = None, draws: int = 1000,
) -> Similarity:
    """Score vectors on rated pairs, for instance ``data.wordsim353()``.

    Parameters
    ----------
    E : array_like, shape (N, D)
    vocabulary : mapping from word to row
    pairs : sequence of (word, word, rating)
    lower : bool
        Lower-case the words of the pairs, for a vocabulary in lower case.
    rng : numpy.random.Generator, optional
        Draws the bootstrap samples of pairs; seed 0 by default, so that two models are
        compared on the same draws. An interval over seeds is `metrics.mean_interval`.
    """
    from scipy.stats import rankdata

    cosines, ratings = rated_cosines(E, vocabulary, pairs, lower=lower)
    both = np.column_stack([cosines, ratings])  # (P, 2)

    def spearman(sample: np.ndarray) -> float:
        x, y = rankdata(sample[:, 0]), rankdata(sample[:, 1])
        if x.std() == 0 or y.std() == 0:
            return 0.0
        return float(np.corrcoef(x, y)[0, 1])

    rng = np.random.default_rng(0) if rng is None else rng
    low, high = bootstrap_interval(both, spearman, rng=rng, draws=draws)
    return Similarity(spearman(both), low, high, len(both), len(pairs))


@dataclass(frozen=True)
class Analogies:
    """Right answers by category; the attributes add up over categories."""

    by_category: dict  # category -> (right, covered, asked)

    @property
    def right(self) -> int:
        """Questions answered with the expected word."""
        return sum(r for r, _, _ in self.by_category.values())

    @property
    def covered(self) -> int:
        """Questions of which all four words have a vector."""
        return sum(c for _, c, _ in self.by_category.values())

    @property
    def asked(self) -> int:
        """All questions."""
        return sum(a for _, _, a in self.by_category.values())

    @property
    def accuracy(self) -> float:
        """right / covered."""
        return self.right / self.covered if self.covered else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(self.right, self.covered)


def solve_analogies(
    E, questions, *, rule: str = "3cosadd", exclude: bool = True, batch: int = 256
) -> np.ndarray:
    r"""Answers to *a is to b as c is to ?*: the best row for each question.

    .. math:: \text{3CosAdd: } \arg\max_d \; \cos(d, b) - \cos(d, a) + \cos(d, c)
    .. math:: \text{3CosMul: } \arg\max_d \;
              \frac{s(d, b) \, s(d, c)}{s(d, a) + 0.001}, \quad s = (1 + \cos) / 2

    (Mikolov, Yih and Zweig, 2013; Levy and Goldberg, 2014.) Question words are unit
    vectors before they are added.

    Parameters
    ----------
    E : array_like, shape (N, D)
        The candidates are all N rows.
    questions : array_like of int, shape (Q, 3) or more columns
        Rows of a, b, c.
    exclude : bool
        Never answer a, b or c.

    Returns
    -------
    ndarray, shape (Q,)
    """
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {RULES}, got {rule!r}.")
    if len(questions) == 0:
        raise ValueError("questions: expected at least one.")
    E, questions = unit_rows(E), np.asarray(questions)[:, :3]
    answers = [
        _answers(E, questions[i : i + batch], rule, exclude)
        for i in range(0, len(questions), batch)
    ]
    return np.concatenate(answers)


def analogies(
    E, vocabulary: Mapping, questions: Mapping, *, rule: str = "3cosadd",
    exclude: bool = True, lower: bool = True, batch: int = 256,
) -> Analogies:
    """Score vectors on questions by category, for instance ``data.google_analogies()``.

    Parameters
    ----------
    E : array_like, shape (N, D)
        All rows are candidates: pass ``E[:30_000]`` to restrict them (by frequency).
        Questions with a word outside these rows are not covered.
    questions : mapping of category to sequence of (a, b, c, d)
    """
    fold, table = (str.lower if lower else str), {}
    for category, rows in questions.items():
        known = [[fold(word) for word in row] for row in rows]
        kept = [
            [vocabulary[w] for w in row] for row in known
            if all(w in vocabulary and vocabulary[w] < len(E) for w in row)
        ]
        table[category] = np.array(kept, dtype=np.int64).reshape(-1, 4), len(rows)
    every = np.concatenate([ids for ids, _ in table.values()])
    if not len(every):
        raise ValueError("questions: expected some with four known words, got none.")
    hits = solve_analogies(E, every, rule=rule, exclude=exclude, batch=batch) == every[:, 3]
    parts = np.split(hits, np.cumsum([len(ids) for ids, _ in table.values()])[:-1])
    return Analogies({
        category: (int(part.sum()), len(ids), asked)
        for part, (category, (ids, asked)) in zip(parts, table.items())
    })


def _answers(E: np.ndarray, q: np.ndarray, rule: str, exclude: bool) -> np.ndarray:
    a, b, c = q.T
    if rule == "3cosadd":
        scores = (E[b] - E[a] + E[c]) @ E.T  # (Q, N)
    else:
        s_a, s_b, s_c = ((1 + E[x] @ E.T) / 2 for x in (a, b, c))
        scores = s_b * s_c / (s_a + EPSILON)
    if exclude:
        np.put_along_axis(scores, q, -np.inf, axis=1)
    return scores.argmax(axis=1)


def _row(vocabulary, word: str) -> int:
    if word not in vocabulary:
        raise KeyError(
            f"{word!r} has no vector: it is not among the {len(vocabulary)} words. "
            "Vocabularies are often in lower case."
        )
    return vocabulary[word]
