"""What chapter 2 writes in its cells, against the library, on the same asymmetric inputs."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from teaching import taught

from course_utils import cooccurrence as co

COUNTS, SVD = "02_cooccurrence", "02b_svd"


@pytest.fixture
def sentences():
    rng = np.random.default_rng(7)
    return [rng.integers(0, 11, size=n).tolist() for n in (13, 0, 2, 7)]


@pytest.mark.parametrize("window", [1, 3, 17])
@pytest.mark.parametrize("weighting", co.WEIGHTINGS)
@pytest.mark.parametrize("symmetric", [True, False])
def test_the_loops_of_the_cell_are_the_oracle_of_the_library(
        sentences, window, weighting, symmetric):
    ask = {"window": window, "weighting": weighting, "symmetric": symmetric}
    cell = taught(COUNTS, "cooccurrence_by_pairs")
    assert np.array_equal(cell(sentences, 11, **ask),
                          co.cooccurrence_by_pairs(sentences, 11, **ask))


@pytest.mark.parametrize("window", [1, 3])
def test_the_product_of_the_cells_equals_the_library(sentences, window):
    one_hot_rows, band = taught(COUNTS, "one_hot_rows", "band")
    ids, offsets = co.join_sentences(sentences)
    T = one_hot_rows(ids, 11)
    B = band(np.repeat(np.arange(4), np.diff(offsets)), window)
    found = co.cooccurrence(ids, 11, offsets=offsets, window=window, symmetric=False)
    assert np.array_equal((T.T @ B @ T).toarray(), found.toarray())


def test_a_band_with_the_centre_in_it_is_caught(sentences):
    """Planted mistake: adding the identity to B puts each word into its own context."""
    one_hot_rows, band = taught(COUNTS, "one_hot_rows", "band")
    ids, offsets = co.join_sentences(sentences)
    T = one_hot_rows(ids, 11)
    B = band(np.repeat(np.arange(4), np.diff(offsets)), 2)
    B = B + csr_array(np.eye(len(ids)))
    found = co.cooccurrence(ids, 11, offsets=offsets, window=2, symmetric=False)
    assert not np.array_equal((T.T @ B @ T).toarray(), found.toarray())


def test_ppmi_of_the_cell_equals_the_library():
    X = np.random.default_rng(0).poisson(1.5, size=(7, 5)) + 0.0
    assert np.abs(taught(SVD, "ppmi_dense")(X) - co.ppmi(X).toarray()).max() < 1e-12


def test_the_randomised_svd_of_the_cell_finds_what_numpy_finds():
    """A spectrum that halves: four power iterations leave nothing above rounding."""
    rng = np.random.default_rng(3)
    P, Q = (np.linalg.qr(rng.normal(size=(n, 19)))[0] for n in (41, 29))
    A = P * 2.0 ** -np.arange(19) @ Q.T
    U, S, V = taught(SVD, "randomised_svd")(A, 5)
    assert U.shape == (41, 5) and V.shape == (29, 5)
    assert np.abs(S - 2.0 ** -np.arange(5)).max() < 1e-12
    assert abs(np.linalg.norm(A - U * S @ V.T, 2) - 2.0**-5) < 1e-12
    ours = co.truncated_svd(csr_array(A), 5, dtype=np.float64)
    assert np.abs(ours[1] - S).max() < 1e-12


def test_the_truncation_of_the_cell_meets_the_bound():
    A = np.random.default_rng(1).normal(size=(7, 5))
    sigma = np.linalg.svd(A, compute_uv=False)
    cut = taught(SVD, "truncated")(A, 2)
    assert np.linalg.matrix_rank(cut) == 2
    assert np.linalg.norm(A - cut, 2) == pytest.approx(sigma[2], abs=1e-12)
