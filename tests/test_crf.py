"""The linear chain against enumeration of every tag sequence (float64, 1e-10)."""

import math

import pytest
import torch

from course_utils import crf
from course_utils.crf import Chain

EXACT = {"rtol": 0, "atol": 1e-10}
LENGTHS = (5, 3, 1, 2)


@pytest.fixture
def ragged():
    g = torch.Generator().manual_seed(6)

    def draw(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    chain = Chain(draw(3), 2 * draw(3, 3), 2 * draw(3))
    E = 2 * draw(len(LENGTHS), max(LENGTHS), 3)  # (B, T, K)
    mask = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    return E, chain, mask


def everything(E, chain, n):
    paths = crf.enumerate_one(E[:n], chain)
    scores = torch.stack(list(paths.values()))
    return list(paths), scores


def test_log_partition_of_two_equal_tags_by_hand():
    """All scores 0, K = 2, T = 3: Z counts the 2^3 sequences, log Z = 3 log 2."""
    zero = Chain(torch.zeros(2), torch.zeros(2, 2), torch.zeros(2))
    got = crf.log_partition(torch.zeros(1, 3, 2), zero)
    assert got.item() == pytest.approx(3 * math.log(2), abs=1e-6)


def test_log_partition_equals_enumeration(ragged):
    E, chain, mask = ragged
    got = crf.log_partition(E, chain, mask)
    for b, n in enumerate(LENGTHS):
        _, scores = everything(E[b], chain, n)
        torch.testing.assert_close(got[b], scores.logsumexp(0), **EXACT)
        torch.testing.assert_close(crf.log_partition_one(E[b, :n], chain), got[b], **EXACT)


def test_score_and_nll_equal_enumeration(ragged):
    E, chain, mask = ragged
    y = torch.randint(3, mask.shape, generator=torch.Generator().manual_seed(0))
    got = crf.nll(E, y, chain, mask)
    for b, n in enumerate(LENGTHS):
        paths, scores = everything(E[b], chain, n)
        wanted = scores.logsumexp(0) - scores[paths.index(tuple(y[b, :n].tolist()))]
        torch.testing.assert_close(got[b], wanted, **EXACT)


def test_marginals_equal_enumeration(ragged):
    E, chain, mask = ragged
    unary, pair = crf.marginals(E, chain, mask)
    for b, n in enumerate(LENGTHS):
        paths, scores = everything(E[b], chain, n)
        wanted = torch.zeros_like(unary[b])
        wanted_pair = torch.zeros_like(pair[b])
        for y, p in zip(paths, scores.softmax(0)):
            for t in range(n):
                wanted[t, y[t]] += p
                if t:
                    wanted_pair[t - 1, y[t - 1], y[t]] += p
        torch.testing.assert_close(unary[b], wanted, **EXACT)
        torch.testing.assert_close(pair[b], wanted_pair, **EXACT)


def test_viterbi_equals_enumeration(ragged):
    E, chain, mask = ragged
    path, value = crf.viterbi(E, chain, mask)
    for b, n in enumerate(LENGTHS):
        paths, scores = everything(E[b], chain, n)
        assert tuple(path[b, :n].tolist()) == paths[int(scores.argmax())]
        assert crf.viterbi_one(E[b, :n], chain) == path[b, :n].tolist()
        torch.testing.assert_close(value[b], scores.max(), **EXACT)
        assert not path[b, n:].any()


def test_the_end_scores_decide():
    """Planted mistake: Viterbi without the end transition would answer tag 0."""
    chain = Chain(torch.zeros(2), torch.zeros(2, 2), torch.tensor([0.0, 5.0]))
    E = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    assert crf.viterbi(E, chain)[0].tolist() == [[0, 1]]


def test_gradient_is_expected_minus_observed(ragged):
    E, chain, mask = ragged
    chain = Chain(*(c.clone().requires_grad_() for c in chain))
    E = E.clone().requires_grad_()
    y = torch.randint(3, mask.shape, generator=torch.Generator().manual_seed(0))
    crf.nll(E, y, chain, mask).sum().backward()
    with torch.no_grad():
        unary, pair = crf.marginals(E, chain, mask)
        one = torch.nn.functional.one_hot(y, 3) * mask[:, :, None]
        seen = one[:, :-1, :, None] * one[:, 1:, None, :]
        torch.testing.assert_close(E.grad, unary - one, **EXACT)
        torch.testing.assert_close(chain.transition.grad, (pair - seen).sum((0, 1)), **EXACT)
        torch.testing.assert_close(chain.start.grad, (unary - one)[:, 0].sum(0), **EXACT)
        ends = torch.stack([(unary - one)[b, n - 1] for b, n in enumerate(LENGTHS)])
        torch.testing.assert_close(chain.end.grad, ends.sum(0), **EXACT)


def test_gradcheck(ragged):
    E, chain, mask = ragged
    y = torch.zeros(mask.shape, dtype=torch.long)
    inputs = [t.clone().requires_grad_() for t in (E, *chain)]
    assert torch.autograd.gradcheck(
        lambda E, *chain: crf.nll(E, y, Chain(*chain), mask), inputs
    )


def test_padding_cannot_be_seen(ragged):
    E, chain, mask = ragged
    other = torch.where(mask[:, :, None], E, torch.full_like(E, 1e6))
    for got, wanted in zip(crf.marginals(other, chain, mask), crf.marginals(E, chain, mask)):
        torch.testing.assert_close(got, wanted)
    assert torch.equal(crf.viterbi(other, chain, mask)[0], crf.viterbi(E, chain, mask)[0])
    torch.testing.assert_close(
        crf.log_partition(other, chain, mask), crf.log_partition(E, chain, mask)
    )


def test_large_scores_do_not_overflow():
    """Planted mistake: log-sum-exp without the shift gives inf at a score of 1000."""
    zero = Chain(torch.zeros(2), torch.zeros(2, 2), torch.zeros(2))
    got = crf.log_partition(torch.full((1, 3, 2), 1000.0), zero)
    assert got.item() == pytest.approx(3000 + 3 * math.log(2), rel=1e-6)
    one = crf.log_partition_one(torch.full((3, 2), 1000.0), zero)
    assert one.item() == pytest.approx(3000 + 3 * math.log(2), rel=1e-6)


def test_large_scores_do_not_spoil_the_marginals():
    """The same mistake on the way back: every tag has probability 1/2, every pair 1/4."""
    zero = Chain(torch.zeros(2), torch.zeros(2, 2), torch.zeros(2))
    unary, pair = crf.marginals(torch.full((1, 3, 2), 1000.0), zero)
    torch.testing.assert_close(unary, torch.full((1, 3, 2), 0.5), rtol=0, atol=1e-3)
    torch.testing.assert_close(pair, torch.full((1, 2, 2, 2), 0.25), rtol=0, atol=1e-3)


def test_module_starts_uniform_and_decodes():
    net = crf.CRF(5)
    E, y = torch.zeros(2, 3, 5), torch.zeros(2, 3, dtype=torch.long)
    assert net(E, y).item() == pytest.approx(3 * math.log(5), rel=1e-6)
    assert net.decode(E).shape == (2, 3)


def test_masks_with_holes_are_refused():
    zero = Chain(torch.zeros(2), torch.zeros(2, 2), torch.zeros(2))
    E = torch.zeros(1, 3, 2)
    for mask in ([[True, False, True]], [[False, True, True]], [[False] * 3]):
        with pytest.raises(ValueError, match="pad lines on the right"):
            crf.log_partition(E, zero, torch.tensor(mask))
    with pytest.raises(ValueError, match="expected bool"):
        crf.log_partition(E, zero, torch.ones(1, 3))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_gpu_equals_cpu(ragged):
    E, chain, mask = ragged
    there = E.cuda(), Chain(*(c.cuda() for c in chain)), mask.cuda()
    torch.testing.assert_close(
        crf.log_partition(*there).cpu(), crf.log_partition(E, chain, mask), **EXACT
    )
    for got, wanted in zip(crf.marginals(*there), crf.marginals(E, chain, mask)):
        torch.testing.assert_close(got.cpu(), wanted, **EXACT)
    assert torch.equal(crf.viterbi(*there)[0].cpu(), crf.viterbi(E, chain, mask)[0])
