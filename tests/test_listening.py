"""Chapter 10, listening: the pyramid by hand, padding without influence, attention marked."""

import doctest

import numpy as np
import pytest
import torch

from course_utils import decoding, listening, metrics, seq2seq, spectra
from course_utils.listening import Pyramid, Speller, batch, diagonal, halve, silenced, word_places
from teaching import taught


@pytest.fixture(autouse=True)
def double():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def rows(*lengths, M=5):
    g = np.random.default_rng(1)
    return [g.normal(size=(n, M)) for n in lengths]


def test_doctests():
    torch.set_default_dtype(torch.float32)
    assert doctest.testmod(listening).failed == 0


def test_halve_joins_2i_and_2i_plus_1_and_ignores_padding():
    """Rows of 5 and 2 frames: the third pair of the first row is its last frame and zeros."""
    x = torch.arange(1.0, 21).reshape(2, 5, 2)
    h, lengths = halve(x, torch.tensor([5, 2]))
    assert h.shape == (2, 3, 4) and lengths.tolist() == [3, 1]
    assert h[0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 0, 0]]
    assert h[1].tolist() == [[11, 12, 13, 14], [0] * 4, [0] * 4]


@pytest.mark.parametrize("n", range(1, 18))
def test_three_layers_leave_an_eighth_rounded_up(n):
    h, lengths = Pyramid(5, 3)(*batch(rows(n)))
    assert h.shape == (1, -(-n // 8), 6) and lengths.tolist() == [-(-n // 8)]


def test_one_layer_equals_the_gates_written_out():
    """Equation 5 with torch's gates i, f, g, o, forward and backward, on 5 frames: 3 steps."""
    model = Pyramid(5, 2, layers=1)
    x = batch(rows(5))
    joined = torch.cat([x.x[0], torch.zeros(1, 5)]).reshape(3, 10)

    def one_way(layer, inputs):
        h, c, states = torch.zeros(2), torch.zeros(2), []
        for pair in inputs:
            a = (layer.weight_ih_l0 @ pair + layer.bias_ih_l0
                 + layer.weight_hh_l0 @ h + layer.bias_hh_l0)
            i, f, g, o = a.chunk(4)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states)

    passes = model.layers[0]
    there = one_way(passes.forwards[0], joined)
    back = one_way(passes.backwards[0], joined.flip(0)).flip(0)
    assert (model(*x)[0][0] - torch.cat([there, back], 1)).abs().max() < 1e-12


def test_layers_are_torchs_bidirectional_lstm_on_joined_states():
    model = Pyramid(5, 3, layers=2)
    twin = [torch.nn.LSTM(n, 3, batch_first=True, bidirectional=True) for n in (10, 12)]
    for lstm, layer in zip(twin, model.layers):
        for name, p in layer.forwards[0].state_dict().items():
            getattr(lstm, name).data.copy_(p)
        for name, p in layer.backwards[0].state_dict().items():
            getattr(lstm, f"{name}_reverse").data.copy_(p)
    x = batch(rows(8)).x
    h = twin[1](twin[0](x.reshape(1, 4, 10))[0].reshape(1, 2, 12))[0]
    assert (model(x, torch.tensor([8]))[0] - h).abs().max() < 1e-12


def test_nothing_prefers_forwards():
    """Directions exchanged and joined blocks mirrored: the same states for the sound reversed."""
    M, H, T = 5, 3, 16
    model, mirror = Pyramid(M, H), Pyramid(M, H)
    for j, (one, other) in enumerate(zip(model.layers, mirror.layers)):
        block = M if j == 0 else H
        columns = torch.arange(2 * M if j == 0 else 4 * H).reshape(-1, block).flip(0).flatten()
        for a, b in ((one.forwards[0], other.backwards[0]), (one.backwards[0], other.forwards[0])):
            weights = a.state_dict()
            weights["weight_ih_l0"] = weights["weight_ih_l0"][:, columns]
            b.load_state_dict(weights)
    x, lengths = torch.randn(2, T, M), torch.tensor([T, T])
    there = model(x, lengths)[0]
    back = mirror(x.flip(1), lengths)[0].flip(1)
    assert (torch.cat([back[..., H:], back[..., :H]], -1) - there).abs().max() < 1e-12
    assert (model(x.flip(1), lengths)[0].flip(1) - there).abs().max() > 1e-3


@pytest.mark.parametrize("looks_back", [True, False])
def test_company_and_padding_change_nothing(looks_back):
    """Odd and even lengths, alone, together, and with values on the padding."""
    model = Speller(5, 11, D=3, H=7, looks_back=looks_back).eval()
    one, two, three = rows(13, 6, 29)
    y = seq2seq.pad([[5, 6, 7], [8], [9, 10]], end=True)
    together = batch([one, two, three])
    scores, weights = model(together, seq2seq.shifted(y))
    for k, row in enumerate((one, two, three)):
        alone = model(batch([row]), seq2seq.shifted(y[k : k + 1]))[0]
        assert (alone[0] - scores[k]).abs().max() < 1e-12
    dirty = together.x.clone()
    dirty[1, 6:] = 99.0
    assert torch.equal(model(together._replace(x=dirty), seq2seq.shifted(y))[0], scores)
    if looks_back:
        assert not weights[1, :, 1:].any()


def test_gradients_reach_every_weight_and_agree_with_differences():
    model = Speller(5, 11, D=3, H=2)
    x, y = batch(rows(9, 5)), seq2seq.pad([[5, 6], [7]], end=True)

    def loss():
        return seq2seq.loss(model(x, seq2seq.shifted(y))[0], y)

    loss().backward()
    g = torch.Generator().manual_seed(0)
    for name, p in model.named_parameters():
        assert p.grad is not None and p.grad.any(), name
        k = int(torch.randint(p.numel(), (), generator=g))
        values, eps = [], 1e-5
        for sign in (1, -1):
            with torch.no_grad():
                p.view(-1)[k] += sign * eps
                values.append(loss().item())
                p.view(-1)[k] -= sign * eps
        assert abs((values[0] - values[1]) / (2 * eps) - p.grad.view(-1)[k]) < 1e-7, name


def test_a_model_that_does_not_hear_gives_the_same_for_every_sound():
    model = Speller(5, 11, D=3, H=7, hears=False)
    y = seq2seq.pad([[5, 6], [5, 6]], end=True)
    scores = model(batch(rows(9, 30)), seq2seq.shifted(y))[0]
    assert torch.equal(scores[0], scores[1])
    hearing = Speller(5, 11, D=3, H=7)(batch(rows(9, 30)), seq2seq.shifted(y))[0]
    assert not torch.equal(hearing[0], hearing[1])


def test_greedy_and_beam_of_one_agree_and_wider_beams_are_not_less_likely():
    model = Speller(5, 11, D=3, H=7).eval()
    x = batch(rows(9, 30, 4))
    said, _ = seq2seq.greedy(model, x, 6)
    first = torch.full((3,), seq2seq.BOS)
    with torch.no_grad():
        state = model.encode(x)
        found = {w: decoding.beam(listening.step(model), first, state, width=w, length=6,
                                  end=seq2seq.EOS) for w in (1, 8)}
    assert [seq2seq.cut(list(row[0].tokens)) for row in found[1]] == said
    assert all(b[0].log_prob >= a[0].log_prob - 1e-9 for a, b in zip(found[1], found[8]))


def test_batches_hold_each_row_once_an_epoch_and_similar_lengths():
    lengths = np.random.default_rng(0).integers(10, 200, size=128)
    stream = listening.batches(lengths, 16, np.random.default_rng(0))
    epochs = [[next(stream) for _ in range(8)] for _ in range(2)]
    for epoch in epochs:
        assert sorted(np.concatenate(epoch)) == list(range(128))
        assert np.mean([np.ptp(lengths[rows]) for rows in epoch]) < 0.25 * np.ptp(lengths)
    assert [r.tolist() for r in epochs[0]] != [r.tolist() for r in epochs[1]]


def test_word_places_by_hand():
    """Frames of 4 samples every 2, two a state: middles at 3, 7, 11. Words 0 to 7, 7 to 12."""
    places = word_places("a bc", np.array([[0, 7], [7, 12]]), 3, hop=2, size=4, joined=2)
    assert places.astype(int).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 1], [0, 1, 1]]
    with pytest.raises(ValueError, match="expected 2 pairs, got 1"):
        word_places("a bc", np.array([[0, 7]]), 3, hop=2, size=4, joined=2)


def test_diagonal_rows_sum_to_one_and_move_on():
    A = diagonal(7, 13)
    assert np.allclose(A.sum(1), 1) and (np.diff(A @ np.arange(13)) > 0).all()


def test_silenced_touches_exactly_the_frames_that_contain_the_samples():
    """Frame k holds samples 2k to 2k + 3; samples 5 to 7 lie in frames 1, 2, 3."""
    x = np.ones((6, 2))
    wanted = [1, 0, 0, 0, 1, 1]
    brute = [0 if set(range(2 * k, 2 * k + 4)) & {5, 6, 7} else 1 for k in range(6)]
    found = silenced(x, 5, 8, hop=2, size=4, level=0.0)
    assert found[:, 0].tolist() == wanted == brute and x.all()


@pytest.mark.parametrize("bad", [[], [np.ones((0, 3))]])
def test_empty_sounds(bad):
    with pytest.raises(ValueError, match="at least one utterance"):
        batch(bad)


def test_edit_distance_small_cases_and_a_brute_twin():
    """Against the definition by recursion on all pairs of strings up to 4 letters of two."""
    from functools import lru_cache
    from itertools import product

    @lru_cache(None)
    def slow(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    words = ["".join(p) for n in range(5) for p in product("xy", repeat=n)]
    d = metrics.edit_distance
    for a in words:
        for b in words:
            assert d(a, b) == slow(a, b) == d(b, a)
            assert (d(a, b) == 0) == (a == b) and abs(len(a) - len(b)) <= d(a, b)
    rng = np.random.default_rng(0)
    for a, b, c in rng.choice(words, size=(300, 3)):
        assert d(a, c) <= d(a, b) + d(b, c)
    assert d("two one".split(), "one two one".split()) == 1


def test_error_rate_weighs_by_length_and_exceeds_one():
    """1 edit of 2 letters and 0 of 8: 0.1, and not the mean of shares 0.25."""
    assert metrics.error_rate(["ax", "abcdefgh"], ["ab", "abcdefgh"]) == pytest.approx(0.1)
    assert metrics.error_rate(["hello hello"], ["no"]) > 1
    with pytest.raises(ValueError, match="at least one character"):
        metrics.error_rate([""], [""])


def test_cells_of_the_page_equal_the_library():
    """`power`, `mel_filters`, `halve` and `edit_distance` of the page, on unequal sizes."""
    power, mel, hertz = taught("10i_speech", "power", "mel", "hertz")
    filters, join, distance = taught(
        "10i_speech", "mel_filters", "halve", "edit_distance", mel=mel, hertz=hertz
    )
    wave = np.random.default_rng(0).normal(size=401)
    assert np.abs(power(wave, 64, 41) - spectra.power(wave, 64, 41)).max() < 1e-10
    s = spectra.Settings(rate=16_000, size=256, filters=23)
    assert np.abs(filters(s) - spectra.mel_filters(s)).max() < 1e-12
    for T in (6, 7):
        x, lengths = torch.randn(3, T, 5), torch.tensor([T, 2, 3])
        for ours, theirs in zip(join(x, lengths), halve(x, lengths)):
            assert torch.equal(ours, theirs)
    for a, b in (("nein", "nine"), ("", "abc"), ("no", "one"), ("aab", "baa")):
        assert distance(a, b) == metrics.edit_distance(a, b)


def test_the_pages_wrong_join_is_wrong():
    """Planted mistake: first half beside second half has the right shape."""
    wrong = taught("10i_speech", "halve_wrong")
    x = torch.randn(2, 8, 5)
    right = halve(x, torch.tensor([8, 8]))[0]
    assert wrong(x).shape == right.shape and not torch.equal(wrong(x), right)
