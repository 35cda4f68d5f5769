"""Chapter 10, sequence to sequence: hand-made attention, twins, padding, planted mistakes."""

import doctest
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import seq2seq
from course_utils.seq2seq import (
    BOS, EOS, PAD, AdditiveAttention, Memory, Training, Translator, fit, forced, greedy,
    loss, pad, shifted,
)
from teaching import taught


def model(looks_back=True, seed=0, maxout=None):
    torch.manual_seed(seed)
    made = Translator(13, 11, D=3, H=5, looks_back=looks_back, maxout=maxout).double()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.6)
    return made.eval()


def sources(seed=1, sizes=(7, 2, 4)):
    g = torch.Generator().manual_seed(seed)
    return pad([torch.randint(4, 13, (n,), generator=g).tolist() for n in sizes])


def memory_of(h, sizes, attend):
    real = torch.arange(h.shape[1]) < torch.tensor(sizes)[:, None]
    return Memory(h, attend.U_a(h), real, h[:, 0])


def test_doctests():
    assert doctest.testmod(seq2seq).failed == 0


def test_attention_on_paper():
    """H = A = 1, v = ln 2 / tanh 1, scores are v tanh(s + (1, 0) h_j).

    s = 0 and h_j = (1, 6), (0, 0): e = (ln 2, 0), weights 2/3 and 1/3,
    c = 2/3 (1, 6) = (2/3, 4). With s = -1 the scores are (0, -ln 2): the same weights.
    """
    attend = AdditiveAttention(1, 1).double()
    with torch.no_grad():
        attend.W_a.weight.fill_(1)
        attend.U_a.weight.copy_(torch.tensor([[1.0, 0.0]]))
        attend.v_a.fill_(math.log(2) / math.tanh(1))
    h = torch.tensor([[[1.0, 6.0], [0.0, 0.0]]] * 2).double()
    s = torch.tensor([[0.0], [-1.0]]).double()
    c, alpha = attend(s, memory_of(h, [2, 2], attend))
    expected = torch.tensor([[2 / 3, 1 / 3]] * 2, dtype=torch.double)
    torch.testing.assert_close(alpha, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(c[0], torch.tensor([2 / 3, 4.0], dtype=torch.double), rtol=0, atol=1e-12)


def test_attention_equals_loops_over_random_states():
    """The equations of Bahdanau et al., appendix A.1.2, term by term; unequal sizes."""
    torch.manual_seed(3)
    attend = AdditiveAttention(5, 3).double()
    h, s, sizes = torch.randn(2, 7, 10).double(), torch.randn(2, 5).double(), [7, 4]
    c, alpha = attend(s, memory_of(h, sizes, attend))
    W, U, v = attend.W_a.weight, attend.U_a.weight, attend.v_a
    for b, n in enumerate(sizes):
        e = torch.stack([v @ torch.tanh(W @ s[b] + U @ h[b, j]) for j in range(n)])
        p = e.exp() / e.exp().sum()
        torch.testing.assert_close(alpha[b, :n], p, rtol=0, atol=1e-12)
        assert (alpha[b, n:] == 0).all()
        torch.testing.assert_close(c[b], p @ h[b, :n], rtol=0, atol=1e-12)


def test_without_tanh_the_decoder_would_have_no_say():
    """Planted mistake: e = v (W s + U h_j) shifts all scores alike; softmax ignores it."""
    attend = AdditiveAttention(5, 3).double()
    h = torch.randn(1, 7, 10).double()
    memory = memory_of(h, [7], attend)
    one, two = (attend(s, memory)[1] for s in torch.randn(2, 1, 5).double())
    assert (one - two).abs().max() > 1e-3
    linear = [((attend.W_a(s)[:, None] + memory.keys) @ attend.v_a).softmax(-1)
              for s in torch.randn(2, 1, 5).double()]
    assert (linear[0] - linear[1]).abs().max() < 1e-12


def test_encoder_equals_torch_sentence_by_sentence():
    net, x = model(), sources()
    s_0, memory = net.encode(x)
    twin = nn.GRU(3, 5, batch_first=True, bidirectional=True).double()
    for end, half in (("", net.states.forwards[0]), ("_reverse", net.states.backwards[0])):
        for name, value in half.state_dict().items():
            twin.state_dict()[name + end].copy_(value)
    for b, n in enumerate((7, 2, 4)):
        h, last = twin(net.source(x[b : b + 1, :n]))
        torch.testing.assert_close(memory.h[b, :n], h[0], rtol=0, atol=1e-12)
        whole = torch.cat([last[0, 0], last[1, 0]])
        torch.testing.assert_close(memory.whole[b], whole, rtol=0, atol=1e-12)
        torch.testing.assert_close(s_0[b], net.start(whole).tanh(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("looks_back, maxout", [(True, None), (False, None), (True, 7)])
def test_forward_is_a_chain_of_steps(looks_back, maxout):
    net, x = model(looks_back, maxout=maxout), sources()
    y = pad([[5, 6, 7], [8], [9, 10]], end=True)
    scores, weights = net(x, shifted(y))
    s, memory = net.encode(x)
    for t, y_prev in enumerate(shifted(y).unbind(1)):
        one, s, alpha = net.step(y_prev, s, memory)
        torch.testing.assert_close(scores[:, t], one, rtol=0, atol=1e-12)
        torch.testing.assert_close(
            weights[:, t], alpha, rtol=0, atol=1e-12, equal_nan=not looks_back
        )


def test_the_first_step_attends_with_the_state_before_it():
    """Planted mistake: with the state *after* the step the weights would differ."""
    net, x = model(), sources()
    s_0, memory = net.encode(x)
    _, s_1, alpha = net.step(torch.full((3,), BOS), s_0, memory)
    torch.testing.assert_close(alpha, net.attend(s_0, memory)[1], rtol=0, atol=0)
    assert (alpha - net.attend(s_1, memory)[1]).abs().max() > 1e-3


@pytest.mark.parametrize("looks_back", [True, False])
@pytest.mark.parametrize("more", [1, 6])
def test_padding_changes_nothing(looks_back, more):
    """Scores, weights and gradients of a sentence alone and in a padded batch."""
    net, x = model(looks_back), sources()
    y = pad([[5, 6, 7], [8], [9, 10]], end=True)
    wide = F.pad(x, (0, more))
    longer = F.pad(y, (0, more))
    scores, weights = net(x, shifted(y))
    other, wider = net(wide, shifted(longer))
    torch.testing.assert_close(scores, other[:, :4], rtol=0, atol=1e-12)
    if looks_back:
        torch.testing.assert_close(weights, wider[:, :4, :7], rtol=0, atol=1e-12)
        assert (wider[..., 7:] == 0).all()
    for b, n in enumerate((7, 2, 4)):
        alone, _ = net(x[b : b + 1, :n], shifted(y[b : b + 1]))
        torch.testing.assert_close(scores[b], alone[0], rtol=0, atol=1e-12)
    first = torch.autograd.grad(loss(scores, y), list(net.parameters()), allow_unused=True)
    again = torch.autograd.grad(loss(other, longer), list(net.parameters()), allow_unused=True)
    for a, b in zip(first, again):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_garbage_states_on_padding_cannot_be_seen():
    net, x = model(), sources()
    s, memory = net.encode(x)
    dirty = memory._replace(
        h=memory.h + 7 * ~memory.real[..., None], keys=memory.keys + 7 * ~memory.real[..., None]
    )
    for a, b in zip(net.attend(s, memory), net.attend(s, dirty)):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_padding_on_the_left_is_refused():
    with pytest.raises(ValueError, match="on the right only"):
        model().encode(torch.tensor([[0, 5, 6]]))


def test_loss_counts_tokens_not_sentences_and_no_padding():
    """p(y) = 1/2 once and 1/4 twice: (ln 2 + 2 ln 4) / 3 = 5/3 ln 2."""
    scores = torch.zeros(2, 3, 4)
    scores[0, 0, 3] = math.log(3)
    y = torch.tensor([[3, 2, PAD], [2, PAD, PAD]])
    assert loss(scores, y).item() == pytest.approx(5 / 3 * math.log(2), abs=1e-6)


def test_the_decoder_never_sees_the_token_it_predicts():
    """Planted mistake: inputs equal to targets. Scores at t must not move with y_t."""
    net, x = model(), sources()
    y = pad([[5, 6, 7], [8, 9, 10], [9, 10, 4]], end=True)
    other = y.clone()
    other[:, 1] = 4
    a, b = net(x, shifted(y))[0], net(x, shifted(other))[0]
    assert torch.equal(a[:, :2], b[:, :2])
    assert (a[:, 2] - b[:, 2]).abs().max() > 1e-3


def test_greedy_is_the_chain_of_best_tokens_and_ends():
    net, x = model(seed=4), sources()
    rows, weights = greedy(net, x, 9)
    for b, n in enumerate((7, 2, 4)):
        s, memory = net.encode(x[b : b + 1, :n])
        y, said = torch.tensor([BOS]), []
        for t in range(9):
            scores, s, alpha = net.step(y, s, memory)
            torch.testing.assert_close(weights[b, t, :n], alpha[0], rtol=0, atol=1e-12)
            y = scores.argmax(-1)
            if y.item() == EOS:
                break
            said.append(y.item())
        assert rows[b] == said and EOS not in said


def test_forced_rows_equal_greedy_on_its_own_output():
    """If the true history is what greedy says, both agree (a fixed point)."""
    net, x = model(seed=6), sources()
    with torch.no_grad():
        net.out.bias[EOS] = -99.0
    rows, _ = greedy(net, x, 4)
    told, _ = forced(net, x, pad(rows, end=True))
    assert told == rows


def test_dropout_is_off_when_decoding_and_training_goes_on():
    net = Translator(13, 11, D=3, H=5, dropout=0.5).train()
    x = sources()
    assert greedy(net, x, 5)[0] == greedy(net, x, 5)[0]
    assert net.training


def test_fit_learns_to_reverse():
    """Four symbols in reverse order: attention solves it, guessing one token is 1/4."""
    torch.manual_seed(0)
    g = torch.Generator().manual_seed(0)

    def batch(B=32):
        x = torch.randint(4, 8, (B, 5), generator=g)
        return x, pad(x.flip(1).tolist(), end=True)

    net = Translator(8, 8, D=8, H=24)
    losses = fit(net, batch, Training(150, rate=1e-2))
    x, y = batch(100)
    rows, weights = greedy(net, x, 6)
    right = np.mean([a == b[:5] for a, b in zip(rows, y.tolist())])
    assert right > 0.9 and losses[-1] < 0.3 * losses[0]
    assert weights.shape[2] == 5


def test_maxout_by_hand():
    """Unit k is the larger of rows 2k and 2k + 1: max(1, -3) and max(2, 5)."""
    layer = seq2seq.Maxout(1, 2)
    with torch.no_grad():
        layer.pairs.weight.copy_(torch.tensor([[1.0], [-3.0], [2.0], [5.0]]))
        layer.pairs.bias.zero_()
    assert layer(torch.ones(1, 1)).tolist() == [[1.0, 5.0]]


def test_empty_sentences_are_refused():
    with pytest.raises(ValueError, match="none of them empty"):
        pad([[5], []])


def test_alignment_picture_refuses_a_wrong_shape():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    with pytest.raises(ValueError, match="expected shape"):
        seq2seq.draw_alignment(ax, np.zeros((2, 3)), ["a"], ["b", "c", "d"])
    truth = np.array([[True, False, False], [False, False, True]])
    seq2seq.draw_alignment(ax, np.eye(2, 3), list("ab"), list("cde"), truth=truth)
    assert len(ax.patches) == 2
    plt.close(fig)


def test_teaching_cells_equal_the_library():
    """`additive` and `step` of the page on dates, on the same random states."""
    additive, step = taught("10d_dates", "additive", "step")
    net, x = model(), sources()
    s, memory = net.encode(x)
    att = net.attend
    c, alpha = additive(s, memory.h, memory.real, att.W_a.weight, att.U_a.weight, att.v_a)
    for ours, theirs in zip((c, alpha), att(s, memory)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    y_prev = torch.tensor([BOS, 7, 9])
    for ours, theirs in zip(step(net, y_prev, s, memory), net.step(y_prev, s, memory)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_taught_loop_is_the_library_loop():
    """`train` of the page on dates and `fit`: the same weights after three updates."""
    batches_ = [(sources(k), pad([[5, 6, 7], [8], [9, 10]], end=True)) for k in range(3)]

    class Stub:
        @staticmethod
        def draw(n, rng, held_out):
            return next(rng)

    train = taught("10d_dates", "train")
    train.__globals__.update(dates=Stub, tensors=lambda pair: pair)
    one, other = (model().train() for i in range(2))
    train(one, iter(batches_), updates=3)
    stream = iter(batches_)
    fit(other, lambda: next(stream), Training(3, rate=8e-3))
    for a, b in zip(one.parameters(), other.parameters()):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
