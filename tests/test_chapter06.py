"""What the cells of chapter 6 define equals the library, on sizes that cannot hide a slip."""

import numpy as np
import pytest
import torch
from teaching import taught

from course_utils import crf, elman, markov, tagger, tagging
from course_utils import stackmachine as sm


def draw(seed, *shapes):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(*s, generator=g, dtype=torch.float64) for s in shapes]


def test_elman_step_and_unroll():
    step, unroll = taught("06c_elman", "step", "unroll")
    x, h_0, U, W, b_h = draw(0, (2, 7, 3), (2, 5), (5, 3), (5, 5), (5,))
    torch.testing.assert_close(
        step(x[:, 0], h_0, U, W, b_h), elman.step(x[:, 0], h_0, U, W, b_h)
    )
    for f in (torch.tanh, torch.relu):
        torch.testing.assert_close(
            unroll(x, h_0, U, W, b_h, f=f), elman.unroll(x, h_0, U, W, b_h, f=f),
            rtol=0, atol=1e-12,
        )


def test_log_partition_of_one_line():
    log_partition_one = taught("06b_chains", "log_partition_one")
    E, a, A, b = draw(1, (7, 3), (3,), (3, 3), (3,))
    chain = crf.Chain(a, A, b)
    torch.testing.assert_close(log_partition_one(E, chain), crf.log_partition_one(E, chain))
    torch.testing.assert_close(
        log_partition_one(E, chain), crf.log_partition(E[None], chain)[0]
    )


def test_forward_of_the_hidden_markov_model():
    forward, plain = taught("06b_chains", "forward", "plain_forward")
    rng = np.random.default_rng(2)
    rows = rng.dirichlet(np.ones(4), size=3)
    hmm = markov.HMM(
        rng.dirichlet(np.ones(3)), rows[:, :3], rows[:, 3], rng.dirichlet(np.ones(5), size=3)
    )
    x = rng.integers(5, size=11)
    for mine, theirs in zip(forward(x, hmm), markov.forward(x, hmm)):
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-14)
    assert np.log(plain(x, hmm)) == pytest.approx(markov.log_likelihood(x, hmm), abs=1e-10)


def test_step_of_the_stack_machine():
    step = taught("06d_power", "step")
    p = sm.weights()
    mine = theirs = sm.initial()
    for symbol in "([()[]])](":
        mine, theirs = step(mine, symbol, p), sm.step(theirs, symbol, p)
        assert mine == theirs


def test_one_hot_letters():
    one_hot = taught("06_windows", "one_hot", D=27)
    x = torch.tensor([[3, 26, 1, 0, 0]])
    assert torch.equal(one_hot(x), tagger.one_hot(x, torch.zeros(1)))


def test_delayed_tagger_reads_d_letters_ahead_and_no_more():
    """Planted mistake: a leak by one position. Letter 7 of 9 may move tags 5 ... 9 only."""
    Delayed = taught("06c_elman", "Delayed", D=tagging.N_LETTERS, K=len(tagging.TAGS))
    net, mask = Delayed(2, 11, 0), torch.ones(3, 9, dtype=torch.bool)
    x = torch.randint(1, 27, (3, 9), generator=torch.Generator().manual_seed(1))
    other = x.clone()
    other[:, 6] = x[:, 6] % 26 + 1
    moved = (net(other, mask) - net(x, mask)).abs().amax((0, 2)) > 0
    assert moved.tolist() == [False] * 4 + [True] * 5
