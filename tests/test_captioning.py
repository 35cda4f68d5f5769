"""Captions that are true, regions that see their own place, one step against the formula."""

import doctest

import numpy as np
import pytest
import torch

from course_utils import captioning as cap
from course_utils import runtime, scenes, seq2seq
from teaching import taught


@pytest.fixture(scope="module")
def some():
    return scenes.draw(np.random.default_rng(0), 40)


def small(seed=0, **options):
    runtime.seed_everything(seed)
    return cap.Captioner(cap.Regions(8), H=10, **options).double().eval()


def test_examples_in_the_docstrings():
    assert doctest.testmod(cap).failed == 0


def read(scene, b, words):
    """An independent reader: is a caption true of the pixels and colours of scene b?"""
    names = [scenes.name(c, s) for c, s in zip(scene.colour[b], scene.shape[b])]
    one, other = (names.index(" ".join(part)) for part in (words[1:3], words[-2:]))
    (y, x), (v, u) = ([p.mean() for p in scene.masks[b, m].nonzero()] for m in (one, other))
    far = scenes.CELL / 2
    return {"left": u - x > far, "right": x - u > far, "above": v - y > far,
            "below": y - v > far}[words[3]] and one == 0 and other > 0


def test_every_caption_is_true_of_the_pixels(some):
    for b, rows in enumerate(cap.captions(some)):
        assert 2 <= len(rows) <= 4 and len({tuple(row) for row in rows}) == len(rows)
        assert all(read(some, b, row) for row in rows)
        assert all(word in cap.INDEX for row in rows for word in row)


def test_each_word_talks_about_the_object_that_bears_it(some):
    for b in range(40):
        for fact in cap.facts(some, b):
            row, objects = cap.say(some, b, fact), cap.about(fact)
            assert len(row) == len(objects)
            for word, seen in zip(row, objects):
                if word in scenes.COLOURS:
                    assert [scenes.COLOURS[some.colour[b, m]] for m in seen] == [word]
                elif word in scenes.SHAPES:
                    assert [scenes.SHAPES[some.shape[b, m]] for m in seen] == [word]
                else:
                    assert len(seen) == (2 if word in "left right above below".split() else 0)


def test_batch_is_one_of_the_references(some):
    images, y, chosen = cap.batch(some, np.random.default_rng(1))
    for row, fact, references in zip(y.tolist(), chosen, cap.captions(some)):
        assert [cap.WORDS[k] for k in seq2seq.cut(row)] in references
    assert len({fact.other for fact in chosen}) == 2 and images is some.images


def field(regions, k):
    """First and last row and column of the pixels that region k depends on."""
    image = torch.rand(1, 3, scenes.S, scenes.S, dtype=torch.float64, requires_grad=True)
    regions(image)[0, k].abs().sum().backward()
    y, x = image.grad[0].abs().sum(0).nonzero().T
    return y.min().item(), y.max().item(), x.min().item(), x.max().item()


def test_a_region_sees_its_own_pixels_and_a_few_more():
    """Layers 3/2, 3/1, 3/3: output j covers rows 6j - 3 to 6j + 7, its own are 6j to 6j + 5."""
    runtime.seed_everything(0)
    regions = cap.Regions(40).double()
    for row, column in ((1, 1), (2, 4), (4, 3)):
        low, high, left, right = field(regions, row * scenes.SIDE + column)
        assert low == 6 * row - 3 and high == 6 * row + 7
        assert left == 6 * column - 3 and right == 6 * column + 7
    wide = cap.widened(cap.Regions(40)).double()  # two regions further on each side
    assert field(wide, 2 * scenes.SIDE + 2) == (0, 31, 0, 31)


def test_contents_by_hand():
    """Region 0: 9 pixels of the large object; 1: 7 of it; 2: nothing; 35: a small one."""
    scene = scenes.draw(np.random.default_rng(0), 1)
    masks = np.zeros_like(scene.masks)
    masks[0, 0, :3, :3] = masks[0, 0, 0, 6:12] = masks[0, 0, 1, 6] = True
    masks[0, 2, 30:, 30:] = True
    found = cap.contents(scene._replace(masks=masks))[0]
    assert found[0].tolist() == [scene.colour[0, 0] + 1, scene.shape[0, 0] + 1, 2]
    assert found[1].tolist() == [-1] * 3 and found[2].tolist() == [0] * 3
    assert found[35].tolist() == [scene.colour[0, 2] + 1, scene.shape[0, 2] + 1, 1]


def test_pretraining_freezes_and_teaches_something():
    torch.manual_seed(0)
    old, new = cap.Regions(16), cap.pretrained(0, D=16, updates=30)
    assert not any(p.requires_grad for p in new.parameters())
    wide = cap.widened(new)
    assert {n for n, p in wide.named_parameters() if p.requires_grad} == {
        "hear.weight", "hear.bias"}
    some = scenes.draw(np.random.default_rng(5), 60, held_out=True)
    what = cap.contents(some)[..., 0].ravel()
    known = what >= 0

    def told(regions):
        """Share of colours that a least-squares read-out of half the regions tells right."""
        with torch.no_grad():
            a = (regions(some.images) - regions.position).flatten(0, 1).numpy()[known]
        y = np.eye(6)[what[known]]
        half = len(a) // 2
        W = np.linalg.lstsq(np.c_[a, np.ones(len(a))][:half], y[:half], rcond=None)[0]
        best = (np.c_[a, np.ones(len(a))][half:] @ W).argmax(1)
        objects = what[known][half:] > 0
        return (best == what[known][half:])[objects].mean()

    assert told(new) > told(old) + 0.05


def test_one_step_against_the_formula(some):
    """Loops over regions and the LSTM written out, gates i f g o as torch orders them."""
    model = small()
    y = torch.tensor([5, 9])
    (h, c), memory = model.encode(some.images[:2].double())
    scores, (h_t, c_t), alpha = model.step(y, (h, c), memory)
    W, U, v = model.attend.W_a.weight, model.attend.U_a.weight, model.attend.v_a
    for b in range(2):
        e = torch.stack([v @ torch.tanh(W @ h[b] + U @ a) for a in memory.h[b]])
        p = e.exp() / e.exp().sum()
        z = sum(weight * a for weight, a in zip(p, memory.h[b]))
        x, cell = torch.cat([model.word.weight[y[b]], z]), model.cell
        gates = cell.weight_ih @ x + cell.bias_ih + cell.weight_hh @ h[b] + cell.bias_hh
        i, f, g, o = gates.chunk(4)
        c_new = f.sigmoid() * c[b] + i.sigmoid() * g.tanh()
        h_new = o.sigmoid() * c_new.tanh()
        out = model.out(torch.cat([h_new, z, model.word.weight[y[b]]]))
        for ours, theirs in ((p, alpha[b]), (c_new, c_t[b]), (h_new, h_t[b]), (out, scores[b])):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_the_step_of_the_page_is_the_step_of_the_library(some):
    model = small()
    state, memory = model.encode(some.images[:3].double())
    y = torch.tensor([5, 9, 1])
    ours, theirs = taught("10g_captions", "step")(model, y, state, memory), model.step(
        y, state, memory)
    for a, b in zip((ours[0], *ours[1], ours[2]), (theirs[0], *theirs[1], theirs[2])):
        torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_forced_is_the_chain_of_steps_and_sees_no_future(some):
    model, images = small(), some.images[:3].double()
    _, y, _ = cap.batch(scenes.take(some, slice(0, 3)), np.random.default_rng(0))
    y_in = seq2seq.shifted(y)
    scores, weights = model(images, y_in)
    state, memory = model.encode(images)
    for t in range(y.shape[1]):
        e, state, alpha = model.step(y_in[:, t], state, memory)
        torch.testing.assert_close(e, scores[:, t], rtol=0, atol=1e-12)
        torch.testing.assert_close(alpha, weights[:, t], rtol=0, atol=1e-12)
    other = y_in.clone()
    other[:, 4] = (other[:, 4] + 1) % len(cap.WORDS)
    gap = (model(images, other)[0] - scores).abs().amax((0, 2))
    assert not gap[:4].any() and gap[4] > 1e-6
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_without_attention_every_region_counts_the_same(some):
    model, images = small(looks=False), some.images[:2].double()
    _, weights = model(images, torch.ones(2, 3, dtype=torch.long))
    assert weights.unique().tolist() == [1 / 36]
    (_, memory) = model.encode(images)
    torch.testing.assert_close(memory.whole, (memory.h / 36).sum(1))


def test_a_wider_beam_is_never_less_probable_and_width_one_is_greedy(some):
    model = small(3)
    one, four = (cap.search(model, some.images[:20].double(), width=w) for w in (1, 40))
    assert all(b[0].log_prob >= a[0].log_prob - 1e-9 for a, b in zip(one, four))
    state, memory = model.encode(some.images[:20].double())
    y, rows = torch.ones(20, dtype=torch.long), []
    for _ in range(10):
        e, state, _ = model.step(y, state, memory)
        y = e.argmax(-1)
        rows.append(y)
    for found, row in zip(one, torch.stack(rows, 1).tolist()):
        assert cap.words(found[0]) == [cap.WORDS[k] for k in seq2seq.cut(row)]


def test_judge_by_hand(some):
    right = [rows[0] for rows in cap.captions(some)]
    assert cap.judge(some, right).all()
    mirror = {"left": "right", "right": "left", "above": "below", "below": "above"}
    turned = [[mirror.get(word, word) for word in row] for row in right]
    found = cap.judge(some, turned)
    assert found[:, :2].all() and not found[:, 2:].any()
    assert not cap.judge(some, [["a"]] * 40).any() and not cap.judge(some, [[]] * 40).any()
    other = [[*row[:1], *row[-2:], *row[3:]] for row in right]  # the small one twice
    assert not cap.judge(some, other)[:, [0, 3]].any()
