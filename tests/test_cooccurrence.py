"""Counts against the slide's table and the pair-by-pair oracle; PPMI and SVD by hand."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.sparse import csr_array

from course_utils import cooccurrence as co
from course_utils.text import Vocabulary

TYPES = "I like enjoy deep learning NLP flying .".split()
SENTENCES = ["I like deep learning .", "I like NLP .", "I enjoy flying ."]
SLIDE = [  # the table of the lecture, row by row
    [0, 2, 1, 0, 0, 0, 0, 0],
    [2, 0, 0, 1, 0, 1, 0, 0],
    [1, 0, 0, 0, 0, 0, 1, 0],
    [0, 1, 0, 0, 1, 0, 0, 0],
    [0, 0, 0, 1, 0, 0, 0, 1],
    [0, 1, 0, 0, 0, 0, 0, 1],
    [0, 0, 1, 0, 0, 0, 0, 1],
    [0, 0, 0, 0, 1, 1, 1, 0],
]


@pytest.fixture
def slide():
    vocabulary = Vocabulary(tuple(TYPES), (0,) * 8)
    return co.join_sentences([vocabulary.encode(s.split()) for s in SENTENCES])


@pytest.fixture
def sentences():
    """Five sentences over 7 types: empty, shorter and longer than the windows."""
    rng = np.random.default_rng(3)
    return [rng.integers(0, 7, size=n).tolist() for n in (5, 1, 0, 13, 3)]


def test_the_table_of_the_slide(slide):
    ids, offsets = slide
    X = co.cooccurrence(ids, 8, offsets=offsets, window=1)
    assert X.toarray().tolist() == SLIDE


def test_windows_across_sentences_change_one_symmetric_entry(slide):
    """(., I) twice: after the first and after the second sentence."""
    ids, _ = slide
    difference = co.cooccurrence(ids, 8, window=1).toarray() - SLIDE
    assert {(i, j): difference[i, j] for i, j in np.argwhere(difference)} == {
        (0, 7): 2, (7, 0): 2}


@pytest.mark.parametrize("window", [1, 2, 3, 11, 17])
@pytest.mark.parametrize("weighting", co.WEIGHTINGS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("block, workers", [(1, 1), (3, 2), (1000, 3)])
def test_fast_counts_equal_pairs(sentences, window, weighting, symmetric, block, workers):
    ids, offsets = co.join_sentences(sentences)
    ask = {"window": window, "weighting": weighting, "symmetric": symmetric}
    X = co.cooccurrence(ids, 7, offsets=offsets, block=block, workers=workers, **ask)
    assert np.abs(X.toarray() - co.cooccurrence_by_pairs(sentences, 7, **ask)).max() < 1e-12
    assert X.has_canonical_format and X.dtype == np.float64 and (X.data > 0).all()


def test_distance_weights_are_exact(sentences):
    """Sums of 1/d with whole-number arithmetic: the nearest float64 to the fraction."""
    exact = {}
    for row in sentences:
        for t, i in enumerate(row):
            for d, j in enumerate(row[t + 1 : t + 11], start=1):
                exact[i, j] = exact.get((i, j), 0) + Fraction(1, d)
    ids, offsets = co.join_sentences(sentences)
    for block in (2, 100):
        X = co.cooccurrence(ids, 7, offsets=offsets, window=10, weighting="distance",
                            symmetric=False, block=block).toarray()
        assert {(i, j): X[i, j] for i, j in np.argwhere(X)} == {
            pair: float(value) for pair, value in exact.items()}


def test_too_long_a_window_for_whole_numbers_still_counts(sentences):
    ids, offsets = co.join_sentences(sentences)
    ask = {"window": 60, "weighting": "distance"}
    X = co.cooccurrence(ids, 7, offsets=offsets, **ask).toarray()
    assert np.abs(X - co.cooccurrence_by_pairs(sentences, 7, **ask)).max() < 1e-12


def test_the_centre_is_not_its_own_context():
    """Planted mistake: a window that includes distance 0 gives X[0, 0] = 3 here."""
    assert co.cooccurrence([0, 1, 0], 2, window=1).toarray().tolist() == [[0, 2], [2, 0]]


def test_each_side_is_seen_once_by_each_word():
    """Symmetric counts sum to twice the pairs: T - 1 pairs for window 1."""
    ids = np.random.default_rng(0).integers(0, 11, size=101)
    assert co.cooccurrence(ids, 11, window=1).sum() == 200
    assert co.cooccurrence(ids, 11, window=1, symmetric=False).sum() == 100


@pytest.mark.parametrize("call, error, words", [
    (lambda: co.cooccurrence([], 3), (TypeError, ValueError), "expected"),
    (lambda: co.cooccurrence(np.empty(0, int), 3), ValueError, "empty corpus"),
    (lambda: co.cooccurrence([0, 1], 2, window=0), ValueError, "at least 1"),
    (lambda: co.cooccurrence([0, 1], 2, window=1.5), ValueError, "whole number"),
    (lambda: co.cooccurrence([0, 2], 2), ValueError, "0 to 1"),
    (lambda: co.cooccurrence([0, -1], 2), ValueError, "0 to 1"),
    (lambda: co.cooccurrence("the dog", 2), TypeError, "Split it"),
    (lambda: co.cooccurrence(["the", "dog"], 2), TypeError, "Encode"),
    (lambda: co.cooccurrence([0.5], 2), TypeError, "whole numbers"),
    (lambda: co.cooccurrence([0, 1], 2, offsets=[0, 1]), ValueError, "offsets"),
    (lambda: co.cooccurrence([0, 1], 2, weighting="linear"), ValueError, "flat"),
    (lambda: co.join_sentences("the dog"), TypeError, "string"),
    (lambda: co.join_sentences([["the"]]), TypeError, "Encode"),
    (lambda: co.ppmi(np.array([[np.nan, 1]])), ValueError, "finite"),
    (lambda: co.ppmi(np.array([[-1.0, 1]])), ValueError, "counts"),
    (lambda: co.truncated_svd(np.eye(3), 4), ValueError, "1 to 3"),
])
def test_bad_input_says_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_ppmi_by_hand():
    """X = [[1, 3], [4, 0]]: PMI = ln(8 * 1 / (4 * 5)), ln(8 * 3 / (4 * 3)), ln(8 * 4 / (4 * 5))."""
    M = co.ppmi(np.array([[1, 3], [4, 0]]))
    assert np.abs(M.toarray() - [[0, np.log(2)], [np.log(1.6), 0]]).max() < 1e-15
    assert M.nnz == 2


def test_ppmi_equals_its_definition_with_shift_and_power():
    rng = np.random.default_rng(1)
    X = rng.poisson(0.8, size=(5, 7)).astype(float)
    X[2], X[:, 3] = 0, 0
    p_c = X.sum(0) ** 0.75 / (X.sum(0) ** 0.75).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        pmi = np.log(X / X.sum() / (X.sum(1, keepdims=True) / X.sum() * p_c))
    expected = np.maximum(np.nan_to_num(pmi, nan=0, neginf=0) - np.log(1.3), 0)
    found = co.ppmi(csr_array(X), shift=np.log(1.3), power=0.75)
    assert np.abs(found.toarray() - expected).max() < 1e-14
    assert not found.toarray()[2].any() and np.isfinite(found.data).all()


def test_ppmi_leaves_its_argument_alone_and_takes_no_counts_at_all():
    X = csr_array(np.array([[1.0, 3], [4, 0]]))
    co.ppmi(X)
    assert X.toarray().tolist() == [[1, 3], [4, 0]]
    assert co.ppmi(np.zeros((2, 3))).nnz == 0


def test_truncated_svd_equals_numpy_on_a_falling_spectrum():
    rng = np.random.default_rng(5)
    P, Q = (np.linalg.qr(rng.normal(size=(n, 11)))[0] for n in (31, 23))
    X = P * 2.0 ** -np.arange(11) @ Q.T
    U, S, V = co.truncated_svd(csr_array(X), 3, dtype=np.float64)
    assert U.shape == (31, 3) and V.shape == (23, 3)
    assert np.abs(S - [1, 0.5, 0.25]).max() < 1e-9
    assert np.linalg.norm(X - U * S @ V.T, 2) == pytest.approx(0.125, abs=1e-6)
    half = co.svd_vectors(csr_array(X), 3, exponent=0.5, dtype=np.float64)
    assert np.abs(half - U * S**0.5).max() < 1e-12
    single = co.truncated_svd(csr_array(X), 3)
    assert single[1].dtype == np.float32 and np.abs(single[1] - S).max() < 1e-5
