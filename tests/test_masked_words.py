"""Guessing hidden words: the head by hand, sampled softmax, counts against brute force."""

from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_utils import bert as bt
from course_utils import masked_words as mw
from teaching import taught

TINY = bt.BertConfig(n_vocab=23, L=3, D=6, n_heads=3, D_ff=11, max_length=9, dropout=0.1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def a_head(D_in=5):
    g = generator(1)
    return mw.MaskedHead(torch.randn(11, 7, generator=g), range(11), D_in, g).eval()


def test_head_is_its_equation():
    head = a_head()
    head.centre += 0.5
    head.scale *= 2
    h = torch.randn(3, 5, generator=generator())
    x = F.layer_norm(
        F.gelu((h - 0.5) / 2 @ head.W.weight.T + head.W.bias), (7,), eps=1e-12
    )
    assert (head(h) - (x @ head.E.T + head.c)).abs().max() < 1e-5


def test_the_cell_of_the_chapter_is_the_head():
    masked_scores, head = taught("05e_minilm", "masked_scores"), a_head()
    h = torch.randn(3, 5, generator=generator())
    assert (masked_scores(h, head) - head(h)).abs().max() < 1e-5


def test_bias_starts_at_the_log_shares():
    """Counts 0, 1, 2 plus a half each: 1/9, 3/9, 5/9."""
    head = mw.MaskedHead(torch.zeros(3, 4), [0, 1, 2], 4, generator())
    assert torch.allclose(head.c.exp(), torch.tensor([1, 3, 5]) / 9, rtol=0, atol=1e-6)


def test_sampled_sum_estimates_the_whole_sum():
    """With many draws the sampled loss approaches the full cross-entropy."""
    head = a_head()
    h, y = torch.randn(4, 5, generator=generator(2)), torch.tensor([3, 0, 10, 7])
    q = head.c.detach().softmax(0)
    drawn = torch.multinomial(q, 200_000, replacement=True, generator=generator(3))
    sampled = mw.sampled_loss(head, h, y, drawn, q)
    assert abs(sampled - F.cross_entropy(head(h), y)).item() < 0.02


def test_training_learns_what_is_there():
    g, head = generator(4), a_head(D_in=11)
    y = torch.randint(11, (400,), generator=g)
    h = F.one_hot(y, 11).float()
    mw.train_head(head, h, y, epochs=15, rate=0.01, size=20, n_samples=50)
    with torch.no_grad():
        assert (head(h).argmax(1) == y).float().mean() > 0.95
    assert not head.training


def test_states_around_are_those_of_the_encoder():
    model = bt.Bert(TINY).initialise(generator())
    ids = torch.randint(23, (5, 7), generator=generator(5))
    at = torch.zeros(5, 7, dtype=torch.bool)
    at[0, 1] = at[3, 4] = at[3, 5] = True
    found = mw.states_around(model, ids, at, [0, 3], size=2)
    with torch.no_grad():
        last, first = model.eval()(ids), model.embed(ids)
    for n, (m, t) in enumerate([(0, 1), (3, 4), (3, 5)]):
        for k in range(3):
            assert (found[3][n, k] - last[m, t - 1 + k]).abs().max() < 1e-5
            assert (found[0][n, k] - first[m, t - 1 + k]).abs().max() < 1e-6
    with pytest.raises(ValueError, match="at an end"):
        mw.states_around(model, ids, torch.ones(5, 7, dtype=torch.bool), [0])


def test_posterior_is_that_of_whole_sequences():
    """All sequences of 4 over 3 types with a known first: sum over what is hidden."""
    bigrams = mw.Bigrams([[0, 1, 2, 0, 1], [1, 0, 2, 2]], 3, mu=0.7)
    step = bigrams.given_left([0, 1, 2])
    whole = {s: np.prod([step[p] for p in zip(s, s[1:])])
             for s in product(range(3), repeat=4) if s[0] == 1}
    joint = np.array([sum(p for s, p in whole.items() if s[1] == w and s[2] == 2)
                      for w in range(3)])
    found = bigrams.posterior([1], [2])[0]
    assert np.abs(found - joint / joint.sum()).max() < 1e-12
    last = np.array([sum(p for s, p in whole.items() if s[1] == w) for w in range(3)])
    assert np.abs(bigrams.posterior([1], [-1])[0] - last).max() < 1e-12


def test_counts_by_hand():
    """n(0) = 2 as a context, n(0, 1) = 1; P(1) = (1 + 1/2) / (4 + 1) with mu = 2."""
    bigrams = mw.Bigrams([[0, 0, 1, 0]], 2, mu=2.0)
    assert abs(bigrams.given_left([0])[0, 1] - (1 + 2 * 1.5 / 5) / 4) < 1e-12
    assert abs(bigrams.given_left([-1])[0, 1] - 0.3) < 1e-12
    assert np.abs(bigrams.given_left([0, 1, -1]).sum(1) - 1).max() < 1e-12
    assert (bigrams.of_right([-1]) == 1).all()


def test_rank_counts_ties_against_us():
    scores = torch.tensor([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0]])
    assert mw.rank_of_truth(scores, torch.tensor([0, -1])).tolist() == [1, 3]
