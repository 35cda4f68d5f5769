"""The hidden Markov model against enumeration of every state sequence (1e-10)."""

from itertools import product

import numpy as np
import pytest
import torch

from course_utils import crf, markov

K, N = 3, 5


@pytest.fixture
def hmm():
    rng = np.random.default_rng(3)
    rows = rng.dirichlet(np.ones(K + 1), size=K)  # (K, K+1): transitions and stop
    return markov.HMM(
        rng.dirichlet(np.ones(K)), rows[:, :K], rows[:, K], rng.dirichlet(np.ones(N), size=K)
    )


LINES = ([4, 0, 2, 2, 1], [3], [1, 1])


def brute(x, hmm):
    paths = list(product(range(K), repeat=len(x)))
    return paths, np.exp([markov.log_joint(x, y, hmm) for y in paths])


@pytest.mark.parametrize("x", LINES)
def test_forward_backward_and_viterbi_equal_enumeration(x, hmm):
    paths, joint = brute(x, hmm)
    assert markov.log_likelihood(x, hmm) == pytest.approx(np.log(joint.sum()), abs=1e-10)
    gamma = np.zeros((len(x), K))
    for y, p in zip(paths, joint):
        gamma[np.arange(len(x)), y] += p
    np.testing.assert_allclose(markov.posterior(x, hmm), gamma / joint.sum(), atol=1e-10)
    best, value = markov.viterbi(x, hmm)
    assert tuple(best) == paths[joint.argmax()]
    assert value == pytest.approx(np.log(joint.max()), abs=1e-10)


def test_two_coins_by_hand():
    """pi = (1, 0), A = [[.5, .25], [0, .5]], e = (.25, .5), B = [[1, 0], [.5, .5]].

    x = 0 1: the second symbol needs state 1, so only y = 0 1 is possible:
    1 * 1 * 0.25 * 0.5 * 0.5 = 1/16.
    """
    hmm = markov.HMM(
        np.array([1.0, 0.0]), np.array([[0.5, 0.25], [0.0, 0.5]]),
        np.array([0.25, 0.5]), np.array([[1.0, 0.0], [0.5, 0.5]]),
    )
    assert np.exp(markov.log_likelihood([0, 1], hmm)) == pytest.approx(1 / 16)
    assert markov.viterbi([0, 1], hmm)[0] == [0, 1]


def test_filter_equals_smoother_at_the_last_step_only(hmm):
    """alpha knows the past only; it meets the posterior where nothing follows."""
    flat = hmm._replace(e=np.full(K, 0.5), A=hmm.A / hmm.A.sum(1, keepdims=True) / 2)
    alpha, _ = markov.forward(LINES[0], flat)
    gamma = markov.posterior(LINES[0], flat)
    np.testing.assert_allclose(alpha[-1], gamma[-1], atol=1e-12)
    assert np.abs(alpha[0] - gamma[0]).max() > 1e-3


def test_logarithms_give_the_same_chain(hmm):
    """An HMM is a linear-chain CRF whose scores are log-probabilities."""
    chain = crf.Chain(*(torch.tensor(np.log(p)) for p in (hmm.pi, hmm.A, hmm.e)))
    x = LINES[0]
    E = torch.tensor(np.log(hmm.B[:, x].T))[None]  # (1, T, K)
    assert crf.log_partition(E, chain).item() == pytest.approx(
        markov.log_likelihood(x, hmm), abs=1e-10
    )
    unary, _ = crf.marginals(E, chain)
    np.testing.assert_allclose(unary[0].numpy(), markov.posterior(x, hmm), atol=1e-10)


def test_long_lines_do_not_underflow(hmm):
    x = np.random.default_rng(0).integers(N, size=5000)
    assert np.isfinite(markov.log_likelihood(x, hmm))


def test_counts_recover_the_model_that_made_the_lines(hmm):
    rng = np.random.default_rng(1)
    lines = [markov.sample(hmm, rng) for _ in range(4000)]
    got = markov.fit([x for x, _ in lines], [y for _, y in lines], K=K, N=N, add=0)
    for mine, true in zip(got, hmm):
        np.testing.assert_allclose(mine, true, atol=0.04)
    np.testing.assert_allclose(got.A.sum(1) + got.e, 1)


def test_errors():
    with pytest.raises(ValueError, match="one state for each symbol"):
        markov.fit([[0, 1]], [[0]], K=1, N=2)
    with pytest.raises(ValueError, match="never seen"):
        markov.fit([[0, 1]], [[0, 0]], K=2, N=2)
