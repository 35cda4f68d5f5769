"""Sentence models: padding, shifts, losses against their definitions."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from course_utils import sentences
from course_utils.text import Vocabulary

N, D, H = 11, 3, 6


@pytest.fixture
def text():
    vocabulary = Vocabulary(sentences.SPECIALS + tuple("abcdefg"), (0,) * N)
    documents = [[list("abc"), list("de"), list("fgabc")], [list("g"), list("ab")]]
    return sentences.running_text(documents, vocabulary, T=5)


@pytest.fixture
def table():
    return torch.randn(N, D, generator=torch.Generator().manual_seed(1))


def test_no_pair_leaves_its_document(text):
    assert text.firsts.tolist() == [0, 1, 3]
    ids, lengths, after, after_lengths = text.pair(torch.tensor([1, 3]))
    assert ids.tolist() == [[7, 8], [10, 0]] and lengths.tolist() == [2, 1]
    assert after_lengths.tolist() == [5, 2]
    assert after.tolist() == [[9, 10, 4, 5, 6], [4, 5, 0, 0, 0]]


def test_padding_and_neighbours_in_the_batch_have_no_effect(text, table):
    torch.manual_seed(0)
    encoder = sentences.Encoder(table, H)
    together = encoder(*text.take(torch.arange(5)))
    alone = torch.cat([encoder(*text.take(torch.tensor([i]))) for i in range(5)])
    assert_allclose(together.detach(), alone.detach(), rtol=0, atol=1e-6)


def test_skip_thought_loss_is_the_mean_over_real_words_one_at_a_time(text, table):
    torch.manual_seed(2)
    model = sentences.SkipThought(table, H, start=2, stop=3)
    batch = text.pair(torch.tensor([0, 1]))
    total, count = 0.0, 0
    for b in range(2):
        u = model.encoder(batch[0][b : b + 1], batch[1][b : b + 1])  # (1, H)
        sentence = batch[2][b, : batch[3][b]].tolist()
        state, previous = None, 2
        for word in [*sentence, 3]:
            x = torch.cat([table[previous], u[0]]).view(1, 1, -1)
            h, state = model.decoder(x, state)
            total -= torch.log_softmax(model.top(h[0, 0]), 0)[word].item()
            count, previous = count + 1, word
    assert count == 3 + 6
    assert abs(model.loss(*batch).item() - total / count) < 1e-5


def test_skip_thought_does_not_see_the_word_that_it_is_to_write(text, table):
    """A change of the last word must not change the nats of the words before it."""
    torch.manual_seed(2)
    model = sentences.SkipThought(table, H, start=2, stop=3)
    u = torch.randn(1, H)
    short = model.nats(u, torch.tensor([[4, 5]]), torch.tensor([2]))
    x, y = (torch.tensor([[4, 5, w]]) for w in (6, 7))
    three = torch.tensor([3])
    inputs, targets, real = model.shifted(x, three)
    assert inputs.tolist() == [[2, 4, 5, 6]] and targets.tolist() == [[4, 5, 6, 3]]
    assert real.all()
    a, b = model.nats(u, x, three), model.nats(u, y, three)
    assert a.item() != b.item() and short.item() < a.item()


def test_contrastive_loss_by_hand():
    """u = e1, e2; v = e1, 2 e2: -1/2 [ln e/(e + 1) + ln e^2/(1 + e^2)]."""
    u = torch.eye(2, dtype=torch.float64)
    v = torch.tensor([[1.0, 0.0], [0.0, 2.0]]).double()
    e = np.e
    expected = -(np.log(e / (e + 1)) + np.log(e**2 / (e**2 + 1))) / 2
    assert abs(sentences.contrastive_loss(u, v).item() - expected) < 1e-12


def test_contrastive_loss_of_equal_vectors_is_log_batch():
    u = torch.ones(7, 5)
    assert abs(sentences.contrastive_loss(u, u).item() - np.log(7)) < 1e-6


@pytest.mark.parametrize("make", [
    lambda t: sentences.SkipThought(t, H, start=2, stop=3),
    lambda t: sentences.QuickThoughts(t, H),
])
def test_a_few_steps_lower_the_loss_and_leave_the_word_vectors(text, table, make):
    torch.manual_seed(3)
    model, before = make(table), table.clone()
    batch = text.pair(torch.tensor([0, 1, 3]))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    first = model.loss(*batch).item()
    for _ in range(30):
        optimiser.zero_grad()
        loss = model.loss(*batch)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.7 * first
    assert (table == before).all()
    assert sentences.encode_all(model, text, torch.arange(5)).shape == (5, H)


def test_encode_all_keeps_the_order_asked_for(text, table):
    model = sentences.BagOfVectors(table)
    at = torch.tensor([2, 0, 4, 1])
    rows = sentences.encode_all(model, text, at, batch=3)
    by_hand = [table[text.ids[i, : text.lengths[i]]].mean(0) for i in at]
    assert_allclose(rows, torch.stack(by_hand), rtol=0, atol=1e-6)


def test_ridge_meets_the_normal_equations():
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(13, 5)), rng.normal(size=(13, 3))
    A = sentences.ridge(X, Y, 0.1)
    assert_allclose(X.T @ (X @ A - Y) / 13 + 0.1 * A, 0, rtol=0, atol=1e-10)


def test_next_sentence_test_knows_a_linear_successor_and_chance():
    rng = np.random.default_rng(0)
    first, A = rng.normal(size=(400, 7)), rng.normal(size=(7, 7))
    hits = sentences.next_sentence_hits(
        first, first @ A, first[:100], first[:100] @ A, pool=20, decay=1e-6)
    assert hits.all() and len(hits) == 100
    noise = rng.normal(size=(400, 7))
    hits = sentences.next_sentence_hits(first, noise, first, rng.normal(size=(400, 7)),
                                        pool=20)
    assert hits.mean() < 0.12  # chance 0.05


def test_what_cannot_be_is_refused(table):
    with pytest.raises(ValueError, match="even"):
        sentences.QuickThoughts(table, 5)
    vocabulary = Vocabulary(sentences.SPECIALS, (0,) * 4)
    with pytest.raises(ValueError, match="at least one token"):
        sentences.running_text([[["a"], []]], vocabulary, 5)
    with pytest.raises(ValueError, match="at most 3"):
        sentences.next_sentence_hits(*[np.ones((3, 2))] * 4, pool=4)


def test_an_encoder_reads_words_of_another_table_and_the_original_does_not_change(table):
    torch.manual_seed(0)
    model = sentences.QuickThoughts(table, H)
    wider = torch.cat([table, torch.randn(2, D)])
    other = sentences.reading(model, wider)
    one = torch.tensor([2])
    known = torch.tensor([[4, 5]])
    assert_allclose(other.vectors(known, one).detach(), model.vectors(known, one).detach(),
                    rtol=0, atol=0)
    assert other.vectors(torch.tensor([[N, N + 1]]), one).shape == (1, H)
    assert len(model.f.table) == N
