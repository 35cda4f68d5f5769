"""Figures with their intervals.

Introduced in chapter 1 (accuracy, Wilson interval) and used wherever a claim is tested.
Losses are summed in nats, divided once by the number of tokens, exponentiated once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np


def accuracy(predicted, truth) -> float:
    """Share of equal entries of two sequences of the same length (n,).

    >>> accuracy([1, 2, 3, 4], [1, 2, 3, 0])
    0.75
    """
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    if predicted.shape != truth.shape or predicted.size == 0:
        raise ValueError(
            f"expected two non-empty arrays of one shape, got {predicted.shape} "
            f"and {truth.shape}."
        )
    return float(np.mean(predicted == truth))


def wilson_interval(hits: int, n: int, level: float = 0.95) -> tuple[float, float]:
    r"""Interval for a share, from `hits` successes in `n` independent trials.

    .. math:: \frac{p + z^2/2n \pm z\sqrt{p(1-p)/n + z^2/4n^2}}{1 + z^2/n}

    with :math:`p` = hits / n (Wilson, 1927). Unlike :math:`p \pm z\sqrt{p(1-p)/n}` it
    stays inside [0, 1] and works for 0 or n hits.

    >>> low, high = wilson_interval(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    if not 0 <= hits <= n or n == 0:
        raise ValueError(f"expected 0 <= hits <= n and n > 0, got hits={hits}, n={n}.")
    z = _normal_quantile(0.5 + level / 2)
    p = hits / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def mean_interval(
    values: Sequence[float], level: float = 0.95
) -> tuple[float, float, float]:
    """Mean of a few runs (seeds) with Student's t interval: (mean, low, high).

    Needs at least two values; five seeds give a factor t = 2.78 on the standard error.
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        raise ValueError(f"expected at least two finite numbers, got {values!r}.")
    mean = float(values.mean())
    error = float(values.std(ddof=1)) / math.sqrt(len(values))
    half = float(t.ppf(0.5 + level / 2, len(values) - 1)) * error
    return mean, mean - half, mean + half


def bootstrap_interval(
    sample: Sequence[float],
    statistic: Callable[[np.ndarray], float] = np.mean,
    *,
    rng: np.random.Generator,
    draws: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic of independent items (n,).

    Pass paired differences to compare two models on the same test items.
    """
    sample = np.asarray(sample)
    if len(sample) < 2:
        raise ValueError(f"expected at least two items, got {len(sample)}.")
    n = len(sample)
    values = [statistic(sample[rng.integers(n, size=n)]) for _ in range(draws)]
    tail = (1 - level) / 2
    return float(np.quantile(values, tail)), float(np.quantile(values, 1 - tail))


def perplexity(total_nats: float, tokens: int) -> float:
    """exp(total negative log-likelihood / number of tokens predicted).

    A uniform guess over N types has perplexity N; a perfect model has 1.
    """
    if tokens < 1:
        raise ValueError(f"tokens: expected at least 1, got {tokens}.")
    return math.exp(total_nats / tokens)


def bits(nats: float) -> float:
    """Nats to bits: divide by ln 2."""
    return nats / math.log(2)


def edit_distance(said: Sequence, wanted: Sequence) -> int:
    r"""Fewest insertions, deletions and substitutions that make `wanted` of `said`.

    .. math::
        d_{ij} = \min\big(d_{i-1,j} + 1,\; d_{i,j-1} + 1,\;
                 d_{i-1,j-1} + [a_i \ne b_j]\big), \qquad d_{i0} = i, \; d_{0j} = j

    (Levenshtein, 1966; Wagner and Fischer, 1974). Works on strings and on lists of tokens;
    cost len(said) * len(wanted).

    >>> edit_distance("sitting", "kitten")
    3
    """
    row = list(range(len(wanted) + 1))
    for i, a in enumerate(said, 1):
        before, row = row, [i]
        for j, b in enumerate(wanted, 1):
            row.append(min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b)))
    return row[-1]


def error_rate(said: Sequence[Sequence], wanted: Sequence[Sequence]) -> float:
    """Edits over all pairs, divided by the length of what was wanted: CER, or WER on words.

    Not a share: it exceeds 1 where more is said than was wanted.

    >>> error_rate(["abab"], ["ab"]), error_rate(["xxxxx"], ["ab"])
    (1.0, 2.5)
    """
    total = sum(map(len, wanted))
    if total == 0:
        raise ValueError("wanted: expected at least one character to be said.")
    return sum(edit_distance(a, b) for a, b in zip(said, wanted, strict=True)) / total


def confusion(predicted, truth, n_classes: int) -> np.ndarray:
    """Counts (n_classes, n_classes): rows are the truth, columns the prediction."""
    predicted, truth = np.asarray(predicted), np.asarray(truth)
    for name, labels in (("predicted", predicted), ("truth", truth)):
        if labels.size and not 0 <= labels.min() <= labels.max() < n_classes:
            raise ValueError(
                f"{name}: expected labels 0 to {n_classes - 1}, got {labels.min()} "
                f"to {labels.max()}."
            )
    table = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(table, (truth, predicted), 1)
    return table


def _normal_quantile(p: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(p)
