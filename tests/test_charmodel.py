"""The character model: the stream, the cut, the measure, and the usual mistakes."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from course_utils import charmodel as cm
from course_utils import decoding

SMALL = dict(hidden=7, embedding=5)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return cm.CharRNN(11, **SMALL).eval()


def drawn(*shape, n=11, seed=0):
    return torch.randint(n, shape, generator=torch.Generator().manual_seed(seed))


def test_vocabulary_is_that_of_training_and_unknown_keeps_its_place():
    vocabulary = cm.vocabulary_of("banana")
    assert vocabulary.types == (cm.UNKNOWN, "a", "n", "b")
    assert cm.encode("baxa", vocabulary).tolist() == [3, 1, 0, 1]


def test_each_chunk_goes_on_where_the_last_one_stopped():
    """Rows of 3 x 5 x 7: the inputs, put together again, are the text; y is x moved on."""
    ids = torch.arange(3 * 5 * 7 + 4)
    parts = list(cm.chunks(ids, 3, 7))
    x, y = (torch.cat(side, 1) for side in zip(*parts))
    assert len(parts) == 5 and x.shape == (3, 35)
    assert torch.equal(x.flatten(), ids[:105]) and torch.equal(y, x + 1)
    with pytest.raises(ValueError, match="expected more than 21 characters"):
        next(cm.chunks(ids[:21], 3, 7))


def test_state_goes_in_and_comes_out(model):
    x = drawn(2, 13)
    whole, end = model(x)
    first, middle = model(x[:, :5])
    second, last = model(x[:, 5:], middle)
    assert torch.allclose(torch.cat([first, second], 1), whole, rtol=0, atol=1e-6)
    assert torch.allclose(last[1], end[1], rtol=0, atol=1e-6)


def test_step_is_the_model_one_character_at_a_time(model):
    x = drawn(3, 7)
    wanted = torch.log_softmax(model(x)[0], -1)
    state = None
    for t, token in enumerate(x.unbind(1)):
        log_probs, state = model.step(token, state)
        assert torch.allclose(log_probs, wanted[:, t], rtol=0, atol=1e-5)
    rows = torch.tensor([2, 0])
    picked = decoding.take_rows(state, rows)
    alone = model.step(x[rows, 0], picked)[0]
    assert torch.allclose(alone, model.step(x[:, 0], state)[0][rows], rtol=0, atol=1e-6)


def test_forget_bias_is_one_and_counted_once(model):
    b = model.lstm.bias_ih_l0 + model.lstm.bias_hh_l0
    assert torch.equal(b[7:14], torch.ones(7))


def test_an_update_cuts_history_and_clips():
    """The state has no graph; a step of SGD has at most length rate x limit."""
    model = cm.CharRNN(11, **SMALL)
    before = [p.detach().clone() for p in model.parameters()]
    optimiser = torch.optim.SGD(model.parameters(), lr=0.5)
    loss, state = cm.update(model, optimiser, drawn(2, 3), drawn(2, 3, seed=1), None, 0.01)
    moved = sum((p - q).square().sum() for p, q in zip(model.parameters(), before)).sqrt()
    assert moved.item() == pytest.approx(0.5 * 0.01, rel=1e-3)
    assert not any(part.requires_grad for part in state)
    assert loss == pytest.approx(math.log(11), abs=0.5)


def test_the_gradient_is_that_of_the_chunk_alone():
    """Truncated: as if the carried state were a constant (chapter 7), in float64."""
    torch.manual_seed(1)
    model = cm.CharRNN(11, **SMALL).double()
    x, y = drawn(2, 8), drawn(2, 8, seed=1)
    _, state = model(x[:, :5])
    constant = tuple(part.detach() for part in state)
    scores, _ = model(x[:, 5:], constant)
    loss = F.cross_entropy(scores.flatten(0, 1), y[:, 5:].flatten())
    wanted = torch.autograd.grad(loss, list(model.parameters()))
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    cm.update(model, optimiser, x[:, 5:], y[:, 5:], constant, limit=1e9)
    for p, g in zip(model.parameters(), wanted):
        assert torch.allclose(p.grad, g, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_every_character_is_counted_once(model, rows):
    """A model that ignores its state: rows and warm-up change nothing, order is kept."""
    def memoryless(x, state):
        return model.out(torch.tanh(model.embedding(x) @ torch.ones(5, 7))), None

    ids = drawn(101)
    scores, _ = memoryless(ids[None, :-1], None)
    wanted = F.cross_entropy(scores[0], ids[1:], reduction="none")[9:]
    got = cm.nats_of(memoryless, ids, warm=10, rows=rows)
    assert torch.allclose(got, wanted, rtol=0, atol=1e-6)


def test_rows_of_the_measure_read_before_they_count(model):
    ids = drawn(301)
    exact = cm.nats_of(model, ids, warm=40, rows=1)
    scores, _ = model(ids[None, :-1])
    by_hand = F.cross_entropy(scores[0], ids[1:], reduction="none")[39:]
    assert torch.allclose(exact, by_hand, rtol=0, atol=1e-5)
    assert torch.allclose(cm.nats_of(model, ids, warm=40, rows=4), exact, rtol=0, atol=1e-3)
    cold = cm.nats_of(model, ids, warm=1, rows=4)[39:]
    assert (cold - exact).abs().max() > 0.01  # the mistake: a row that starts from nothing


def test_it_learns_what_can_be_learned():
    """Period 5: next to no bits. Coin flips: one bit, not less. Same seed, same model."""
    settings = cm.Settings(hidden=16, embedding=8, rows=4, steps=16, updates=120)
    text = torch.arange(4000) % 5
    model, training = cm.train(text, 5, settings)
    assert cm.bits_per_character(model, text[:600], warm=20) < 0.05
    assert training.losses[0] > 2 and training.cpu_seconds > 0
    coin = drawn(4000, n=2)
    model, _ = cm.train(coin, 2, settings)
    fresh = drawn(4000, n=2, seed=9)
    assert 0.98 < cm.bits_per_character(model, fresh) < 1.15
    again, _ = cm.train(coin, 2, settings)
    assert torch.equal(model.out.weight, again.out.weight)


def test_write_goes_on_from_its_prompt():
    settings = cm.Settings(hidden=16, embedding=8, rows=4, steps=16, updates=120)
    vocabulary = cm.vocabulary_of("abcde" * 700)
    model, _ = cm.train(cm.encode("abcde" * 700, vocabulary), len(vocabulary), settings)
    options = dict(generator=torch.Generator().manual_seed(0), temperature=0.2)
    assert cm.write(model, vocabulary, "cdeabc", 7, copies=2, **options) == ["deabcde"] * 2
    with pytest.raises(ValueError, match="prompt: expected at least one"):
        cm.write(model, vocabulary, "", 7, **options)


def test_errors():
    with pytest.raises(ValueError, match="updates: expected a whole number from 1"):
        cm.Settings(updates=0)
    with pytest.raises(ValueError, match="rate: expected between 0 and 1"):
        cm.Settings(rate=2.0)
    with pytest.raises(ValueError, match="more than warm . rows"):
        cm.nats_of(None, drawn(100), warm=100)


def test_threads_are_given_back_and_change_nothing_else():
    ids, plan = drawn(1, 600)[0], cm.Settings(**SMALL, rows=2, steps=7, updates=9)
    before = torch.get_num_threads()
    one, other = (cm.train(ids, 11, plan, threads=n)[1].losses for n in (None, before + 1))
    assert torch.allclose(one, other, rtol=0, atol=1e-5)
    assert torch.get_num_threads() == before


def test_sixteen_bits_are_near_and_not_equal():
    """The same batches in bfloat16: losses within a few hundredths, weights in float32."""
    ids, plan = drawn(1, 600)[0], cm.Settings(**SMALL, rows=2, steps=7, updates=9)
    model, exact = cm.train(ids, 11, plan)
    short, rough = cm.train(ids, 11, replace(plan, precision="bfloat16"))
    assert 0 < (exact.losses - rough.losses).abs().max() < 0.05
    assert all(p.dtype == torch.float32 for p in short.parameters())
    with pytest.raises(ValueError, match="precision: expected float32 or bfloat16"):
        cm.train(ids, 11, replace(plan, precision="half"))
