"""Counting rivals: Kneser-Ney by hand and against dictionaries, compressors, copies."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest
import torch

from course_utils import decoding, ngrams


def test_bigrams_by_hand():
    """Text a a b a, N = 2, order 2.

    Bigrams aa, ab, ba, once each: d_2 = 0.5 (nothing twice). Left neighbours: a has {a, b},
    b has {a}: continuation counts 2, 1, so n_1 = n_2 = 1, d_1 = 1/3, total 3, both types.
      p_1(a) = (2 - 1/3)/3 + (1/3)(2)/3 * 1/2 = 5/9 + 1/9 = 2/3, p_1(b) = 1/3
      p_2(a|a) = (1 - .5)/2 + .5 * 2/2 * 2/3 = 1/4 + 1/3 = 7/12, p_2(b|a) = 5/12
      p_2(a|b) = .5/1 + .5 * 1/1 * 2/3 = 5/6,                    p_2(b|b) = 1/6
    """
    model = ngrams.NGram(torch.tensor([0, 0, 1, 0]), 2, 2)
    every = np.array([[0, 1], [0, 1]])
    p = model.probabilities(np.array([[0], [1]]), every)
    assert np.allclose(p, [[7 / 12, 5 / 12], [5 / 6, 1 / 6]], rtol=0, atol=1e-12)


def slow(ids, N, order, history, token):
    """The same by dictionaries and recursion, straight from the formula."""
    grams = [tuple(ids[i : i + order]) for i in range(len(ids) - order + 1)]
    counts = {order: Counter(grams)}
    for k in range(order - 1, 0, -1):
        counts[k] = Counter(g[1:] for g in counts[k + 1])

    def p(k, h):
        if k == 0:
            return 1 / N
        rows = {g: n for g, n in counts[k].items() if g[:-1] == h}
        if not rows:
            return p(k - 1, h[1:])
        of = Counter(counts[k].values())
        d = of[1] / (of[1] + 2 * of[2]) if of[1] and of[2] else 0.5
        own = max(rows.get((*h, token), 0) - d, 0)
        return (own + d * len(rows) * p(k - 1, h[1:])) / sum(rows.values())

    return p(order, tuple(history))


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_equals_dictionaries_and_adds_up(order):
    g = torch.Generator().manual_seed(order)
    ids, N = torch.randint(0, 5, (211,), generator=g).square() % 7, 7
    model = ngrams.NGram(ids, N, order)
    history = torch.randint(0, N, (13, order - 1), generator=g).numpy()
    every = np.broadcast_to(np.arange(N), (13, N))
    p = model.probabilities(history, every)
    assert np.allclose(p.sum(1), 1, rtol=0, atol=1e-12)
    assert np.allclose(p, model.all_probabilities(history), rtol=0, atol=1e-14)
    for row, h in zip(p, history):
        wanted = [slow(ids.tolist(), N, order, h.tolist(), c) for c in range(N)]
        assert np.allclose(row, wanted, rtol=0, atol=1e-12)


def test_cost_of_a_text_is_that_of_its_characters():
    ids = torch.randint(0, 5, (97,), generator=torch.Generator().manual_seed(0))
    model = ngrams.NGram(ids, 6, 3)
    text = torch.tensor([1, 4, 5, 0, 3])
    nats = model.nats_of(text, warm=2)
    wanted = [-math.log(slow(ids.tolist(), 6, 3, text[t - 2 : t].tolist(), text[t].item()))
              for t in range(2, 5)]
    assert torch.allclose(nats, torch.tensor(wanted, dtype=nats.dtype), rtol=0, atol=1e-10)


def test_the_decoder_sees_the_same_probabilities():
    ids = torch.randint(0, 5, (97,), generator=torch.Generator().manual_seed(1))
    model = ngrams.NGram(ids, 5, 3)
    text = torch.tensor([[2, 4, 1, 1, 0, 3]])
    _, state = model.step(text[:, 0])
    nats = decoding.sequence_log_prob(model.step, text[:, 1], state, text[:, 2:])
    wanted = model.nats_of(text[0], warm=2).sum().item()
    assert -nats.item() == pytest.approx(wanted, abs=1e-4)


def test_unseen_contexts_fall_back():
    """After c, never seen, the order below decides."""
    one, two = (ngrams.NGram(torch.tensor([0, 0, 1, 0]), 3, k) for k in (1, 2))
    unseen = two.probabilities(np.array([[2]]), np.array([[0, 1, 2]]))
    table = two.orders[0]
    assert table.counts.tolist() == [2, 1]  # left neighbours, not the 3 and 1 occurrences
    assert one.orders[0].counts.tolist() == [3, 1]
    assert unseen.sum() == pytest.approx(1) and unseen[0, 2] > 0


def test_compressors_on_known_text():
    """Random bytes from 64 symbols cost about 6 bits; a text seen before, nearly nothing."""
    g = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"))
    given, text = ("".join(g.choice(letters, size=8000)) for _ in range(2))
    for method in ("gzip", "xz"):
        assert 5.9 < ngrams.compressed_bits(text, given, method) < 6.6
        assert ngrams.compressed_bits(given[:4000], given, method) < 0.2


def copies_slowly(text, source, least):
    out = []
    for i in range(len(text)):
        n = 0
        while i + n < len(text) and text[i : i + n + 1] in source:
            n += 1
        out.append(n if n >= least else 0)
    return out


def test_copies_equal_plain_search():
    g = np.random.default_rng(3)
    source = "".join(g.choice(list("abcé "), size=700))
    text = source[100:140] + "".join(g.choice(list("abcé "), size=60)) + source[-9:]
    for least in (1, 5, 8):
        got = ngrams.Copies(source, least=least).longest(text)
        assert got.tolist() == copies_slowly(text, source, least)
    assert ngrams.Copies(source).longest(text).max() >= 40
    assert ngrams.Copies(source).longest("ZZZ" + source[:20]).tolist()[:4] == [0, 0, 0, 20]
    assert ngrams.Copies(source).longest("ab").tolist() == [0, 0]


def test_errors():
    ids = torch.zeros(50, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"order: expected at least 1"):
        ngrams.NGram(ids, 90, 0)
    with pytest.raises(ValueError, match=r"2 \*\* 62"):
        ngrams.NGram(ids, 90, 12)
    with pytest.raises(ValueError, match="warm: expected at least 3"):
        ngrams.NGram(ids, 2, 4).nats_of(ids, warm=2)
    with pytest.raises(ValueError, match="method: expected one of"):
        ngrams.compressed_bits("a", "b", "zip")
