"""Decoding: a hand-made distribution, exhaustive search, and the errors' texts."""

import itertools
import math
from collections import namedtuple

import pytest
import torch

from course_utils import decoding

# Tokens: 0 start, 1 "a", 2 "b", 3 end. From the start a (0.6) beats b (0.4); after a the
# mass is spread (0.4, 0.3, 0.3), after b it is not: end comes with 0.9.
#   greedy  a a ...        first two tokens 0.6 * 0.4 = 0.24
#   best    b end          0.4 * 0.9 = 0.36
TABLE = torch.tensor([
    [0.0, 0.6, 0.4, 0.0],
    [0.0, 0.4, 0.3, 0.3],
    [0.0, 0.05, 0.05, 0.9],
    [0.25, 0.25, 0.25, 0.25],
])
END = 3


def chain(table=TABLE):
    """A first-order model: the next token depends on the last one only."""
    return lambda tokens, state: (table.log()[tokens], state)


def memory(N, seed, scale=2.0):
    """A model whose state is the whole history: no first-order shortcut is right."""
    g = torch.Generator().manual_seed(seed)
    W = scale * torch.randn(N, 7, N, generator=g)

    def step(tokens, state):
        code, t = state
        code = (3 * code + tokens + 1) % 7
        return torch.log_softmax(W[tokens, code] + 0.1 * t, -1), (code, t + 1)

    return step, (torch.zeros(1, dtype=torch.int64), torch.zeros(1, 1))


START = torch.tensor([0])


def test_greedy_follows_the_table():
    """0.6 then 0.4, 0.4, ...: a a a, log probability by hand."""
    found = decoding.greedy(chain(), START, None, length=3, end=END)
    assert found.tokens.tolist() == [[1, 1, 1]]
    assert found.log_prob.item() == pytest.approx(math.log(0.6 * 0.4 * 0.4), abs=1e-6)


def test_beam_of_two_finds_what_greedy_misses():
    (found,) = decoding.beam(chain(), START, None, width=2, length=3, end=END)
    assert found[0].tokens == (2, 3)
    assert found[0].log_prob == pytest.approx(math.log(0.36), abs=1e-6)
    greedy = decoding.greedy(chain(), START, None, length=3, end=END)
    assert found[0].log_prob > greedy.log_prob.item() + 0.5


def test_width_one_is_greedy():
    for seed in range(5):
        step, state = memory(5, seed)
        (found,) = decoding.beam(step, START, state, width=1, length=6, end=END)
        other = decoding.greedy(step, START, state, length=6, end=END)
        n = len(found[0].tokens)
        assert found[0].tokens == tuple(other.tokens[0, :n].tolist())
        assert found[0].log_prob == pytest.approx(other.log_prob.item(), abs=1e-5)


def all_sequences(step, state, N, length, end):
    """Every sequence up to its end token, by plain recursion: (tokens, log_prob)."""
    if length == 0:
        yield (), 0.0
        return
    last, state = state
    log_probs, state = step(last, state)
    for token, nats in enumerate(log_probs[0].tolist()):
        if token == end:
            yield (token,), nats
            continue
        rest = all_sequences(step, (torch.tensor([token]), state), N, length - 1, end)
        for tokens, more in rest:
            yield (token, *tokens), nats + more


@pytest.mark.parametrize("end", [None, 3])
@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0])
def test_wide_beam_is_exhaustive_search(end, alpha):
    for seed, (N, length) in itertools.product(range(3), [(5, 3), (4, 4)]):
        step, state = memory(N, seed)
        wanted = list(all_sequences(step, (START, state), N, length, end))
        wanted.sort(key=lambda pair: -pair[1] / len(pair[0]) ** alpha)
        found = decoding.exhaustive(
            step, START, state, length=length, end=end, alpha=alpha
        )
        assert len(found) == len(wanted)
        for hypothesis, (tokens, nats) in zip(found[:20], wanted):
            assert hypothesis.score == pytest.approx(nats / len(tokens) ** alpha, abs=1e-4)
        assert found[0].tokens == wanted[0][0]
        assert sum(math.exp(h.log_prob) for h in found) == pytest.approx(1.0, abs=1e-4)
        if alpha == 0 or end is None:  # then no prefix outgrows what pruned it
            (beam,) = decoding.beam(
                step, START, state, width=N ** (length - 1), length=length, end=end,
                alpha=alpha,
            )
            assert beam[0].tokens == found[0].tokens


def test_searches_run_together_as_they_run_alone():
    """Three starts in one batch, with states of their own: rows must not mix."""
    step, (code, t) = memory(5, 4)
    first = torch.tensor([0, 2, 4])
    codes, times = torch.tensor([0, 3, 5]), torch.zeros(3, 1)
    together = decoding.beam(step, first, (codes, times), width=3, length=5, end=END)
    for k in range(3):
        one = slice(k, k + 1)
        (alone,) = decoding.beam(
            step, first[one], (codes[one], times[one]), width=3, length=5, end=END
        )
        assert [h.tokens for h in together[k]] == [h.tokens for h in alone]


def test_beam_reports_the_probability_of_what_it_returns():
    """The reordering of states: a hypothesis costs what the model says, fed anew."""
    step, state = memory(5, 1)
    (found,) = decoding.beam(step, START, state, width=4, length=6, end=None)
    for hypothesis in found:
        given = torch.tensor([hypothesis.tokens])
        nats = decoding.sequence_log_prob(step, START, state, given)
        assert hypothesis.log_prob == pytest.approx(nats.item(), abs=1e-4)


def test_a_wider_beam_may_not_be_better_but_exhaustive_is_best():
    step, state = memory(4, 2)
    best = decoding.exhaustive(step, START, state, length=5)[0].log_prob
    for width in (1, 2, 3, 5, 8):
        (found,) = decoding.beam(step, START, state, width=width, length=5)
        assert found[0].log_prob <= best + 1e-5


def test_length_penalty_by_hand():
    """Two ways: "b end", 0.36, or the longer "a b end", 0.6 * 0.3 * 0.9 = 0.162.

    Plain: 0.36 wins. Mean per token: ln 0.36 / 2 = -0.511, ln 0.162 / 3 = -0.607: still
    the first. With alpha = 3: -1.0217 / 8 = -0.128, -1.8202 / 27 = -0.067: the second.
    """
    def score(tokens, alpha):
        found = decoding.exhaustive(chain(), START, None, length=3, end=END, alpha=alpha)
        return {h.tokens: h.score for h in found}[tokens]

    assert score((2, 3), 1.0) == pytest.approx(-0.5108, abs=1e-4)
    assert score((1, 2, 3), 1.0) == pytest.approx(-0.6067, abs=1e-4)
    assert score((1, 2, 3), 3.0) > score((2, 3), 3.0)


def test_rows_stop_at_their_end_token():
    """After the end token a row is filled with it, and costs nothing more."""
    table = torch.eye(4)[[3, 2, 2, 0]]  # 0 -> 3 (end); 1 -> 2, 2 -> 2 for ever
    found = decoding.greedy(chain(table), torch.tensor([0, 1]), None, length=4, end=END)
    assert found.tokens.tolist() == [[3, 3, 3, 3], [2, 2, 2, 2]]
    assert found.log_prob.tolist() == [0.0, 0.0]
    alone = decoding.greedy(chain(table), START, None, length=4, end=END)
    assert alone.tokens.tolist() == [[3]]


def test_temperature_by_hand():
    """p = (0.8, 0.2): squares 0.64 : 0.04 = 16 : 1; square roots 2 : 1."""
    p = torch.tensor([[0.8, 0.2]]).log()
    assert torch.allclose(
        decoding.tempered(p, 0.5).exp(), torch.tensor([[16 / 17, 1 / 17]]), atol=1e-6
    )
    assert torch.allclose(
        decoding.tempered(p, 2.0).exp(), torch.tensor([[2 / 3, 1 / 3]]), atol=1e-6
    )
    assert torch.allclose(decoding.tempered(p, 1.0), p, atol=1e-6)


def test_top_k_keeps_k_even_among_equals():
    p = torch.full((2, 5), 0.2).log()
    kept = decoding.top_k(p, 3).exp()
    assert ((kept > 0).sum(-1) == 3).all()
    assert torch.allclose(kept.sum(-1), torch.ones(2), atol=1e-6)
    assert torch.allclose(decoding.top_k(p, 9), p, atol=1e-6)


def test_nucleus_keeps_the_token_that_crosses():
    """(0.5, 0.3, 0.2): 0.5 reaches 0.5 alone; 0.51 needs two; 0.81 all three."""
    p = torch.tensor([[0.2, 0.5, 0.3]]).log()
    for mass, wanted in ((0.1, [1]), (0.5, [1]), (0.51, [1, 2]), (0.8, [1, 2]),
                         (0.81, [0, 1, 2]), (1.0, [0, 1, 2])):
        kept = decoding.nucleus(p, mass).exp()[0]
        assert kept.nonzero().flatten().tolist() == wanted, mass
        assert kept.sum().item() == pytest.approx(1.0, abs=1e-6)


def test_samples_have_the_right_frequencies():
    """6,000 draws of one token: within 4 standard errors of the table."""
    first = torch.ones(6000, dtype=torch.int64)
    drawn = decoding.sample(
        chain(), first, None, length=1, generator=torch.Generator().manual_seed(0)
    )
    share = torch.bincount(drawn.tokens[:, 0], minlength=4) / 6000
    assert (share - TABLE[1]).abs().max() < 4 * (0.25 / 6000) ** 0.5
    assert share[0] == 0


def test_sampling_rules_compose_in_the_stated_order():
    """Temperature first: 0.4, 0.3, 0.3 at tau 0.1 is nearly all on token 1."""
    first = torch.ones(500, dtype=torch.int64)
    options = dict(length=1, generator=torch.Generator().manual_seed(0))
    drawn = decoding.sample(chain(), first, None, temperature=0.02, p=0.9, **options)
    assert (drawn.tokens == 1).all()
    drawn = decoding.sample(chain(), first, None, k=1, **options)
    assert (drawn.tokens == 1).all()
    nats = torch.full((500,), math.log(0.4))  # the model's own, not the changed one
    assert torch.allclose(drawn.log_prob, nats, atol=1e-6)


def test_same_generator_same_text():
    step, state = memory(5, 3)
    runs = [
        decoding.sample(
            step, START, state, length=20, generator=torch.Generator().manual_seed(s)
        ).tokens.tolist()
        for s in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_take_rows_keeps_the_structure():
    pair = namedtuple("pair", "h c")
    state = {"a": [torch.arange(6).view(3, 2)], "b": pair(torch.arange(3), None)}
    got = decoding.take_rows(state, torch.tensor([2, 0]))
    assert got["a"][0].tolist() == [[4, 5], [0, 1]]
    assert isinstance(got["b"], pair) and got["b"].h.tolist() == [2, 0]
    layers = torch.arange(6).view(2, 3)
    picked = decoding.take_rows(layers, torch.tensor([2]), axis=1)
    assert picked.tolist() == [[2], [5]]
    with pytest.raises(TypeError, match="reorder"):
        decoding.take_rows(object(), torch.tensor([0]))


@pytest.mark.parametrize("call, text", [
    (lambda: decoding.tempered(TABLE, 0.0), "temperature: expected a finite number above 0"),
    (lambda: decoding.tempered(TABLE, math.nan), "temperature"),
    (lambda: decoding.top_k(TABLE, 0), "k: expected a whole number from 1, got 0"),
    (lambda: decoding.nucleus(TABLE, 0.0), r"p: expected a probability in \(0, 1\]"),
    (lambda: decoding.greedy(chain(), 0, None, length=3), r"first: expected int64 tokens"),
    (lambda: decoding.greedy(chain(), START.float(), None, length=3), "float32"),
    (lambda: decoding.greedy(chain(), START[:0], None, length=3), "B at least 1"),
    (lambda: decoding.greedy(chain(), START, None, length=0), "length: expected a whole"),
    (lambda: decoding.greedy(chain(), START, None, length=2, end=4), "end: expected 0 to 3"),
    (lambda: decoding.beam(chain(), START, None, width=0, length=2), "width: expected"),
    (lambda: decoding.exhaustive(chain(), START, None, length=30), "search with beam"),
    (lambda: decoding.greedy(lambda x, s: (TABLE[x], s), START, None, length=1),
     "Scores need log_softmax"),
    (lambda: decoding.greedy(lambda x, s: (TABLE[x] * math.nan, s), START, None, length=1),
     "diverged"),
    (lambda: decoding.greedy(lambda x, s: (TABLE.log(), s), START, None, length=1),
     r"expected log-probabilities of shape \(1, N\), got \(4, 4\)"),
])
def test_errors_say_what_to_do(call, text):
    with pytest.raises(ValueError, match=text):
        call()
