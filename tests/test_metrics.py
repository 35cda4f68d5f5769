"""Figures and intervals: hand-derived numbers and twins in scipy."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from course_utils import metrics


def test_accuracy_by_hand():
    assert metrics.accuracy([1, 1, 0, 2, 2], [1, 0, 0, 2, 1]) == 3 / 5


@pytest.mark.parametrize("predicted, truth", [([], []), ([1], [1, 2])])
def test_accuracy_refuses_empty_and_unequal(predicted, truth):
    with pytest.raises(ValueError, match="one shape"):
        metrics.accuracy(predicted, truth)


@pytest.mark.parametrize("hits, n", [(0, 7), (3, 7), (7, 7), (6411, 7528)])
def test_wilson_equals_scipy(hits, n):
    ours = metrics.wilson_interval(hits, n)
    theirs = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_covers_as_often_as_it_says():
    """Coverage of the true share over 4,000 draws of 60 trials is near 95 %."""
    rng = np.random.default_rng(0)
    hits = rng.binomial(60, 0.2, size=4000)
    covered = [low <= 0.2 <= high for low, high in
               (metrics.wilson_interval(int(h), 60) for h in hits)]
    assert 0.93 < np.mean(covered) < 0.975


def test_wilson_refuses_more_hits_than_trials():
    with pytest.raises(ValueError, match="hits <= n"):
        metrics.wilson_interval(8, 7)


def test_mean_interval_by_hand():
    """1, 2, 3: mean 2, s = 1, standard error 1/sqrt(3), t(2 degrees, 97.5 %) = 4.30265."""
    mean, low, high = metrics.mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert high - mean == pytest.approx(4.30265 / math.sqrt(3), rel=1e-5)
    assert mean - low == pytest.approx(high - mean)


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan]])
def test_mean_interval_refuses_one_value_and_nan(values):
    with pytest.raises(ValueError, match="at least two finite"):
        metrics.mean_interval(values)


def test_bootstrap_agrees_with_the_normal_interval_of_a_mean():
    sample = np.random.default_rng(1).normal(3.0, 2.0, size=500)
    low, high = metrics.bootstrap_interval(sample, rng=np.random.default_rng(2))
    half = norm.ppf(0.975) * sample.std() / math.sqrt(500)
    assert low == pytest.approx(sample.mean() - half, abs=0.03)
    assert high == pytest.approx(sample.mean() + half, abs=0.03)


def test_perplexity_of_a_uniform_guess_is_the_number_of_types():
    assert metrics.perplexity(11 * math.log(7), 11) == pytest.approx(7)
    with pytest.raises(ValueError, match="at least 1"):
        metrics.perplexity(1.0, 0)


def test_one_nat_is_1_4427_bits():
    assert metrics.bits(1.0) == pytest.approx(1.4426950408889634)


def test_confusion_has_truth_in_rows():
    table = metrics.confusion([1, 1, 0], [0, 1, 0], 2)
    assert table.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize("predicted, truth", [([-1], [0]), ([0], [2])])
def test_confusion_refuses_labels_out_of_range(predicted, truth):
    with pytest.raises(ValueError, match="expected labels 0 to 1"):
        metrics.confusion(predicted, truth, 2)
