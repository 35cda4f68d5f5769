"""The instruments of the page on three roles: one attention, permutations, distances."""

from collections import namedtuple

import numpy as np
import pytest
import torch

from course_utils import captioning, dates, runtime, scenes, seq2seq, vqa
from teaching import taught

PAGE = "10j_three_roles"
Look = namedtuple("Look", "attend u a real truth finish")


def places(B=3, n=7, D=5, H=2):
    g = runtime.generator(0)
    a, u = torch.randn(B, n, D, generator=g), torch.randn(B, H, generator=g)
    real = torch.arange(n) < torch.tensor([[7], [4], [1]])
    return a.double(), u.double(), real


def test_weigh_is_the_attention_of_the_library_and_ignores_padding():
    weigh = taught(PAGE, "weigh")
    runtime.seed_everything(0)
    attend = seq2seq.AdditiveAttention(2, 3, D=5).double()
    a, u, real = places()
    alpha, z = weigh(attend, u, a, real)
    c, weights = attend(u, seq2seq.Memory(a, attend.U_a(a), real, a[:, 0]))
    torch.testing.assert_close(alpha, weights, rtol=0, atol=1e-12)
    torch.testing.assert_close(z, c, rtol=0, atol=1e-12)
    assert not alpha[~real].any()
    changed = torch.where(real[..., None], a, 9.0)
    torch.testing.assert_close(weigh(attend, u, changed, real)[1], z, rtol=0, atol=1e-12)


def test_permuted_keeps_the_numbers_and_the_padding():
    permuted = taught(PAGE, "permuted")

    class look:
        real = places()[2]

    alpha = torch.rand(3, 7, generator=runtime.generator(1)) * look.real
    g, firsts = runtime.generator(2), set()
    for _ in range(40):
        mixed = permuted(look, alpha, g)
        assert not mixed[~look.real].any()
        torch.testing.assert_close(mixed.sort(-1)[0], alpha.sort(-1)[0])
        firsts.add(round(mixed[1, 0].item(), 6))
    assert firsts == {round(v, 6) for v in alpha[1, :4].tolist()}  # all places are reached


def test_total_variation_by_hand():
    """(0.5 + 0.25 + 0.25) / 2; equal is 0, disjoint is 1."""
    tv = taught(PAGE, "tv")
    p, q = torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.0, 0.75, 0.25])
    assert tv(p, q).item() == pytest.approx(0.5) and tv(p, p) == 0
    assert tv(torch.tensor([1.0, 0]), torch.tensor([0, 1.0])) == 1


def test_erased_by_hand():
    """Weights 3/4, 1/4 on the places 1, 0, and p = (z, 1 - z).

    Without the first place z = 0, 3/4 away; without the second z = 1, 1/4 away. Padding
    moves nothing.
    """
    erased = taught(PAGE, "erased", "output", "tv")[0]

    class look:
        a = torch.tensor([[[1.0], [0.0], [9.0]]])

        @staticmethod
        def finish(z):
            return torch.cat([z, 1 - z], -1)

    moves = erased(look, torch.tensor([[0.75, 0.25, 0.0]]))
    torch.testing.assert_close(moves, torch.tensor([[0.75, 0.25, 0.0]]), rtol=0, atol=1e-6)


def test_a_look_is_the_models_own_step():
    """Planted mistake: the state after the step asks, or the truth is of another row."""
    runtime.seed_everything(0)
    weigh = taught(PAGE, "weigh")
    letters = [*seq2seq.SPECIALS, *dates.ALPHABET]
    code = {c: k for k, c in enumerate(letters)}
    written = taught(PAGE, "written", code=code)
    looks = taught(PAGE, "translation_look", "caption_look", "question_look",
                   Look=Look, weigh=weigh, written=written)
    days = dates.draw(9, np.random.default_rng(0))
    some = scenes.draw(np.random.default_rng(0), 9)
    rows, g = torch.arange(9), np.random.default_rng(5)
    translator = seq2seq.Translator(len(code), len(code), D=3, H=4).eval()
    captioner = captioning.Captioner(captioning.Regions(8), H=6).eval()
    answerer = vqa.Answerer(captioning.Regions(8), H=6).eval()
    with torch.no_grad():
        x, y = written(days)
        at = g.choice([0, 1, 2, 3, 5, 6, 8, 9], 9)
        wanted = [(*translator(x, seq2seq.shifted(y)), at)]
        g = np.random.default_rng(5)
        images, y, facts = captioning.batch(some, g)
        first = g.random(9) < 0.5
        at2 = [1 if one else len(captioning.about(f)) - 2 for one, f in zip(first, facts)]
        wanted.append((*captioner(images, seq2seq.shifted(y)), np.array(at2)))
        few, asked = vqa.batch(some, np.random.default_rng(5), ["colour", "shape"])
        scores, weights = answerer(few.images, vqa.integers(asked)[0])
        n = len(asked)
        wanted.append((scores[:, None], weights[:, :1], np.zeros(n, int)))
        for maker, model, data, (scores, weights, at_) in zip(
                looks, (translator, captioner, answerer), (days, some, some), wanted):
            look, rows = maker(model, data, np.random.default_rng(5)), torch.arange(len(at_))
            alpha, z = weigh(*look[:4])
            torch.testing.assert_close(alpha, weights[rows, at_], rtol=0, atol=1e-5)
            torch.testing.assert_close(
                look.finish(z), scores[rows, at_].softmax(-1), rtol=0, atol=1e-5)
    for b, date in enumerate(days):
        truth = looks[0](translator, days, np.random.default_rng(5)).truth
        assert np.array_equal(truth[b, : len(date.source)], date.truth[at[b]])
