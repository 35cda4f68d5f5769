"""Chapter 9, bidirectional layers: hand-made numbers, torch as twin, ragged batches."""

import doctest
import math

import pytest
import torch
from torch import nn

from course_utils import bidirectional
from course_utils.bidirectional import (
    TwoPasses, birnn, deep_birnn, directions, influence, last_states, packed, recur,
    reverse, token_mask,
)
from teaching import taught

KINDS = [nn.RNN, nn.LSTM, nn.GRU]
B, T, D, H = 5, 7, 3, 2


def made(kind=nn.RNN, layers=1, seed=0, **more):
    torch.manual_seed(seed)
    module = kind(D, H, layers, batch_first=True, bidirectional=True, **more)
    return module.double()


def ragged(seed, sentences=B, n_steps=T):
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, n_steps + 1, (sentences,), generator=g)
    lengths[seed % sentences] = n_steps
    x = torch.randn(sentences, n_steps, D, generator=g, dtype=torch.float64)
    return x, lengths


def test_doctests():
    assert doctest.testmod(bidirectional).failed == 0


def test_three_tokens_by_hand():
    """W = V = 1, b = 0, f = identity: forward states are sums from the left.

    x = 1, 2, 4: forward 1, 3, 7; backward 7, 6, 4.
    """
    one = (torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1))
    x = torch.tensor([[[1.0], [2.0], [4.0]]])
    h = birnn(x, torch.tensor([3]), one, one, f=lambda a: a)
    assert h.tolist() == [[[1, 7], [3, 6], [7, 4]]]


def test_short_sentence_by_hand():
    """Same sums; the second sentence has two tokens, 5 and 3, and padding worth 100."""
    one = (torch.ones(1, 1), torch.ones(1, 1), torch.zeros(1))
    x = torch.tensor([[[1.0], [2.0], [4.0]], [[5.0], [3.0], [100.0]]])
    h = birnn(x, torch.tensor([3, 2]), one, one, f=lambda a: a)
    assert h[1].tolist() == [[5, 8], [8, 3], [0, 0]]


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("f, name", [(torch.tanh, "tanh"), (torch.relu, "relu")])
def test_slide_equations_equal_torch(layers, f, name):
    module = made(layers=layers, nonlinearity=name)
    x, lengths = ragged(1)
    expected = packed(module, x, lengths)
    got = deep_birnn(x, lengths, directions(module), f)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("full", [True, False])
def test_two_passes_equal_torch_forward_and_all_gradients(kind, layers, full):
    module = made(kind, layers)
    twin = TwoPasses(module)
    x, lengths = ragged(2)
    if full:
        lengths = torch.full((B,), T)
    weight = torch.randn(B, T, 2 * H, dtype=torch.float64)
    grads = []
    for net in (lambda x: packed(module, x, lengths), lambda x: twin(x, lengths)):
        inputs = x.clone().requires_grad_()
        h = net(inputs)
        (h * weight).sum().backward()
        grads.append((h, inputs.grad))
    torch.testing.assert_close(grads[0], grads[1], rtol=0, atol=1e-12)
    for i in range(layers):
        for side, parts in (("", twin.forwards), ("_reverse", twin.backwards)):
            for name, parameter in parts[i].named_parameters():
                there = name.removesuffix("_l0") + f"_l{i}{side}"
                expected = dict(module.named_parameters())[there].grad
                torch.testing.assert_close(parameter.grad, expected, rtol=0, atol=1e-12)


def test_padded_torch_equals_two_passes_when_nothing_is_padded():
    module = made(nn.GRU, 2)
    x, _ = ragged(3)
    h, _ = module(x)
    torch.testing.assert_close(
        TwoPasses(module)(x, torch.full((B,), T)), h, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(30))
def test_results_do_not_depend_on_padding_or_batch_mates(seed):
    """Each sentence alone, with no padding, gives the rows it has in the batch."""
    module = made(KINDS[seed % 3], 1 + seed % 2, seed)
    x, lengths = ragged(seed, sentences=2 + seed % 4)
    x_other = torch.where(token_mask(lengths, T)[..., None], x, x + 1e3)
    for run in (lambda x, n: packed(module, x, n), TwoPasses(module)):
        together, other = run(x, lengths), run(x_other, lengths)
        assert torch.equal(together, other)
        for i, n in enumerate(lengths.tolist()):
            alone = run(x[i : i + 1, :n], lengths[i : i + 1])
            torch.testing.assert_close(together[i, :n], alone[0], rtol=0, atol=1e-12)
            assert together[i, n:].abs().sum() == 0


def test_planted_backward_direction_run_over_padding_is_caught():
    """flip(1) in place of reverse: the forward half agrees, the backward half must not."""
    module = made()
    x, lengths = ragged(4)
    (forward, backward), = directions(module)
    wrong = recur(x.flip(1), backward).flip(1)
    right = packed(module, x, lengths)[..., H:]
    short = lengths < T
    assert short.any()
    n = token_mask(lengths, T)
    gap = ((wrong - right).abs().amax(-1) * n).amax(1)
    assert (gap[short] > 1e-3).all() and (gap[~short] < 1e-12).all()


def test_last_states_are_torchs_final_states():
    module = made(nn.GRU)
    x, lengths = ragged(5)
    pack = nn.utils.rnn.pack_padded_sequence(
        x, lengths, batch_first=True, enforce_sorted=False
    )
    _, h_n = module(pack)
    got = last_states(packed(module, x, lengths), lengths)
    torch.testing.assert_close(got, torch.cat([h_n[0], h_n[1]], -1), rtol=0, atol=1e-12)


def test_last_row_of_padded_output_is_not_the_last_state():
    module = made()
    x, lengths = ragged(6)
    h = packed(module, x, lengths)
    gap = (h[:, -1] - last_states(h, lengths)).abs()
    assert (gap[:, :H].amax(1)[lengths < T] > 0).all()
    assert (gap[:, H:].amax(1) > 0).all()


def embedding_and(module, n_types=11, shift=0, seed=0):
    torch.manual_seed(seed)
    table = nn.Embedding(n_types, D).double()

    def outputs(tokens):
        h, _ = module(table(tokens))
        if not shift:
            return h
        first, second = h[..., :H], h[..., H:]
        zero = first.new_zeros(len(h), 1, H)
        return torch.cat([torch.cat([zero, first[:, :-1]], 1),
                          torch.cat([second[:, 1:], zero], 1)], -1)

    return outputs


def test_influence_of_a_causal_layer_is_lower_triangular():
    torch.manual_seed(0)
    module = nn.GRU(D, H, batch_first=True).double()
    moved = influence(embedding_and(module), torch.arange(T), 11)
    assert (moved.triu(1) == 0).all() and (moved.tril() > 0).sum() == T * (T + 1) // 2


def test_influence_of_a_bidirectional_layer_is_full():
    assert (influence(embedding_and(made(nn.GRU)), torch.arange(T), 11) > 0).all()


def test_shifted_states_hide_exactly_the_token_itself_in_one_layer():
    moved = influence(embedding_and(made(nn.GRU), shift=1), torch.arange(T), 11)
    assert (moved.diagonal() == 0).all()
    assert (moved + torch.eye(T) > 0).all()


def test_shifted_states_leak_the_token_in_two_layers():
    moved = influence(embedding_and(made(nn.GRU, 2), shift=1), torch.arange(T), 11)
    assert (moved.diagonal() > 0).all()


def test_planted_future_leak_by_one_is_caught():
    """A causal layer whose output is taken one step late reads exactly one token ahead."""
    torch.manual_seed(0)
    outputs = embedding_and(nn.GRU(D, H, batch_first=True).double())

    def late(tokens):
        h = outputs(tokens)
        return torch.cat([h[:, 1:], h[:, -1:]], 1)

    moved = influence(late, torch.arange(T), 11)
    assert (moved.diagonal(1) > 0).all() and (moved.triu(2) == 0).all()


def test_causal_ceiling_of_the_comparison_task():
    """P(sign right | past) averaged = 1/2 + arctan(sqrt(m / n)) / pi: half-half is 3/4."""
    g = torch.Generator().manual_seed(0)
    past, future = torch.randn(2, 200_000, generator=g)
    share = ((past > 0) == (past > future)).double().mean().item()
    assert abs(share - (0.5 + math.atan(1) / math.pi)) < 5 * math.sqrt(0.25 / 200_000)


@pytest.mark.parametrize("lengths", [[0, 3], [3, 8], [1.0, 2.0]])
def test_wrong_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="lengths: expected integers between 1 and 7"):
        reverse(torch.zeros(2, 7, 3), torch.tensor(lengths))


def test_one_direction_is_refused():
    with pytest.raises(ValueError, match="bidirectional=True"):
        TwoPasses(nn.GRU(3, 2, batch_first=True))
    with pytest.raises(ValueError, match="bidirectional=True"):
        directions(nn.RNN(3, 2))
    with pytest.raises(ValueError, match="one sentence"):
        influence(lambda x: x, torch.zeros(2, 3), 5)


def test_one_token():
    module = made(nn.LSTM)
    h = packed(module, torch.randn(1, 1, D, dtype=torch.float64), torch.tensor([1]))
    assert h.shape == (1, 1, 2 * H)


def test_teaching_cells_equal_the_library():
    """The chapter's own recur, reverse, birnn and deep_birnn, on ragged prime sizes."""
    names = ("recur", "reverse", "birnn", "deep_birnn")
    cells = dict(zip(names, taught("09_bidirectional", *names)))
    x, lengths = ragged(7)
    layers = directions(made(layers=3))
    (forward, backward), *_ = layers
    pairs = [
        (cells["recur"](x, forward), recur(x, forward)),
        (cells["reverse"](x, lengths), reverse(x, lengths)),
        (cells["birnn"](x, lengths, forward, backward),
         birnn(x, lengths, forward, backward)),
        (cells["deep_birnn"](x, lengths, layers), deep_birnn(x, lengths, layers)),
    ]
    for got, expected in pairs:
        torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
