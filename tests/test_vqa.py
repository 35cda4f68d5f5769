"""Questions answered again by an independent reader, balanced answers, hops by hand."""

import collections
import doctest

import numpy as np
import pytest
import torch

from course_utils import captioning, runtime, scenes, seq2seq, vqa
from teaching import taught


@pytest.fixture(scope="module")
def asked():
    rng = np.random.default_rng(0)
    return vqa.batch(scenes.draw(rng, 1500), rng)


def test_examples_in_the_docstrings():
    assert doctest.testmod(vqa).failed == 0


def answer(scene, b, words):
    """An independent reader: from words and pixels to the answer."""
    objects = [(scenes.COLOURS[c], scenes.SHAPES[s], *[p.mean() for p in mask.nonzero()])
               for c, s, mask in zip(scene.colour[b], scene.shape[b], scene.masks[b])]
    if words[0] == "what":
        kind, other = (0, 1) if words[1] == "colour" else (1, 0)
        found = [o for o in objects if o[other] in words]
        assert len(found) == 1
        return found[0][kind]
    if words[0] == "how":
        wanted = {"squares": "square", "discs": "disc", "crosses": "cross"}.get(words[2], words[2])
        return str(sum(wanted in o[:2] for o in objects))
    if words[:2] == ["is", "there"]:
        return "yes" if tuple(words[-2:]) in [o[:2] for o in objects] else "no"
    one, other = (next(o for o in objects if list(o[:2]) == part)
                  for part in (words[2:4], words[-2:]))
    far = scenes.CELL / 2
    holds = {"left": other[3] - one[3] > far, "right": one[3] - other[3] > far,
             "above": other[2] - one[2] > far, "below": one[2] - other[2] > far}[words[4]]
    return "yes" if holds else "no"


def test_every_answer_is_right(asked):
    scene, questions = asked
    for b, question in enumerate(questions):
        assert answer(scene, b, question.words) == question.answer, question


def test_what_a_question_is_about(asked):
    scene, questions = asked
    for b, q in enumerate(questions):
        if q.kind in ("colour", "shape"):
            assert len(q.about) == 1
        elif q.kind == "count":
            assert len(q.about) == int(q.answer)
        elif q.kind == "existence":
            assert len(q.about) == (q.answer == "yes")
        else:
            assert [scenes.name(scene.colour[b, m], scene.shape[b, m]) for m in q.about] == [
                " ".join(q.words[2:4]), " ".join(q.words[-2:])]


def test_answers_are_balanced(asked):
    """Yes and no, 0 to 2: equally often, within 3.3 standard deviations of their number."""
    tables = collections.defaultdict(collections.Counter)
    for q in asked[1]:
        tables[q.kind][q.answer] += 1
    for kind, answers in (("count", "012"), ("existence", ("yes", "no")),
                          ("relation", ("yes", "no"))):
        n, p = sum(tables[kind].values()), 1 / len(answers)
        for each in answers:
            assert abs(tables[kind][each] - n * p) < 3.3 * (n * p * (1 - p)) ** 0.5
    assert set(tables["colour"]) == set(scenes.COLOURS)
    assert set(tables["shape"]) == set(scenes.SHAPES)


def test_no_question_names_a_pair_that_training_never_shows(asked):
    names = {scenes.name(*pair).split()[0] + " " + scenes.name(*pair).split()[1]
             for pair in scenes.NEW}
    assert not any(name in " ".join(q.words) for q in asked[1] for name in names)


def small(**options):
    runtime.seed_everything(0)
    return vqa.Answerer(captioning.Regions(8), H=10, **options).double().eval()


def some(asked, n=5):
    scene, questions = asked
    return scene.images[:n].double(), vqa.integers(questions[:n])


def test_two_hops_by_hand(asked):
    """Loops over regions; the second look is asked by q + P z_1, not by q."""
    model = small()
    images, (x, _) = some(asked)
    scores, weights = model(images, x)
    for b in range(5):
        words = x[b][x[b] != 0]
        _, (h, _) = model.read(model.word(words)[None])
        h, a = h[0, 0], model.regions(images[b : b + 1])[0]
        q = (h - h.mean()) / (h.var(correction=0) + 1e-5).sqrt()
        u, seen = q, [q]
        for i, (attend, back) in enumerate(zip(model.attend, model.back)):
            W, U, v = attend.W_a.weight, attend.U_a.weight, attend.v_a
            e = torch.stack([v @ torch.tanh(W @ u + U @ region) for region in a])
            p = e.exp() / e.exp().sum()
            torch.testing.assert_close(p, weights[b, i], rtol=0, atol=1e-12)
            z = p @ a
            u = u + back(z)
            seen.append(z)
        wanted = model.out(torch.relu(model.hidden(torch.cat(seen))))
        torch.testing.assert_close(wanted, scores[b], rtol=0, atol=1e-12)


def test_padding_of_a_question_is_harmless(asked):
    model = small()
    images, (x, _) = some(asked)
    wide = torch.cat([x, torch.zeros_like(x)], 1)
    torch.testing.assert_close(model(images, wide)[0], model(images, x)[0], rtol=0, atol=1e-12)
    assert (x == 0).any()


def test_baselines_see_only_what_they_say(asked):
    images, (x, _) = some(asked)
    other, y = images.flip(0), x.flip(0)
    for sees, moved_by_image, moved_by_words in (
            ("both", True, True), ("question", False, True), ("image", True, False)):
        model = small(sees=sees)
        base = model(images, x)[0]
        assert bool((model(other, x)[0] - base).abs().max() > 1e-9) == moved_by_image
        assert bool((model(images, y)[0] - base).abs().max() > 1e-9) == moved_by_words
    with pytest.raises(ValueError, match="both, question or image"):
        vqa.Answerer(captioning.Regions(8), sees="nothing")


def test_without_hops_the_mean_is_read(asked):
    model = small(hops=0)
    images, (x, _) = some(asked)
    _, weights = model(images, x)
    assert weights.shape == (5, 1, 36) and weights.unique().tolist() == [1 / 36]


def test_a_weighted_mean_cannot_count():
    """One vector at a place, or the same vector at two: the same mean, if scores are equal."""
    runtime.seed_everything(0)
    attend = seq2seq.AdditiveAttention(5, 3, D=4).double()
    disc, u = torch.randn(4).double(), torch.randn(1, 5).double()

    def seen(n):
        a = disc.expand(1, n, 4)
        real = torch.ones(1, n, dtype=torch.bool)
        return attend(u, seq2seq.Memory(a, attend.U_a(a), real, a[:, 0]))[0]

    torch.testing.assert_close(seen(1), seen(2), rtol=0, atol=1e-12)


def frozen(D=8):
    return captioning.Regions(D).requires_grad_(False)


def test_training_on_the_page_is_training_in_the_library():
    found = []
    for train in (vqa.train, taught("10h_questions", "train")):
        runtime.seed_everything(0)
        regions = frozen()
        model = train(vqa.Answerer(regions, H=6), vqa.Pool(regions, 5, 40), 3, 2)
        found.append([p.detach().clone() for p in model.parameters()])
    for ours, theirs in zip(*found):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_scenes_that_allow_nothing_are_refused():
    scene = scenes.draw(np.random.default_rng(0), 1)
    scene.shape[:] = 0
    with pytest.raises(ValueError, match="more scenes"):
        vqa.batch(scene, np.random.default_rng(0), ["colour"])


def test_training_draws_from_the_training_part_only(monkeypatch):
    """Planted mistake: `held_out=False` forgotten in one of the loops."""
    parts = []

    def watched(rng, B, **options):
        parts.append(options.get("held_out"))
        return scenes.draw(rng, B, **options)

    monkeypatch.setattr(captioning, "draw", watched)
    monkeypatch.setattr(vqa, "draw", watched)
    captioning.pretrained(0, D=8, updates=2)
    vqa.Pool(frozen(), 3, 40)
    assert parts == [False] * 3


def test_a_pool_gives_the_regions_of_the_scenes_that_are_asked_about():
    """Planted mistake: rows and questions out of step once a scene allows no question."""
    runtime.seed_everything(0)
    regions = frozen()
    pool = vqa.Pool(regions, 5, 700)
    model = vqa.Answerer(regions, H=6).eval()
    a, questions = pool.batch(np.random.default_rng(1), 60)
    assert len(a) == len(questions) < 60
    vectors = regions(pool.scenes.images)
    for own, question in zip(a, questions):
        b = int((vectors - own).abs().amax((1, 2)).argmin())
        assert (vectors[b] - own).abs().max() < 1e-5
        assert answer(pool.scenes, b, question.words) == question.answer
    x, _ = vqa.integers(questions)
    rows = [int((vectors - own).abs().amax((1, 2)).argmin()) for own in a]
    torch.testing.assert_close(
        model(pool.scenes.images[rows], x)[0], model.answer(a, x)[0], rtol=0, atol=1e-5)
    with pytest.raises(ValueError, match="frozen"):
        vqa.Pool(captioning.Regions(8), 0, 40)
