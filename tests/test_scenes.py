"""Scenes: drawn by hand and read back from the pixels, splits without leaks, marks by hand."""

import doctest

import numpy as np
import pytest

from course_utils import detection, scenes
from course_utils.scenes import COLOURS, NEW, RGB, SHAPES, M, S


@pytest.fixture(scope="module")
def some():
    return scenes.draw(np.random.default_rng(0), 60)


def test_examples_in_the_docstrings():
    assert doctest.testmod(scenes).failed == 0
    assert doctest.testmod(detection).failed == 0


def test_the_masks_are_the_ink_and_the_colour_is_the_colour(some):
    for b in range(60):
        image = some.images[b].numpy()
        ink = image.max(0) > 0.5
        assert np.array_equal(ink, some.masks[b].any(0))
        assert some.masks[b].sum(0).max() == 1  # no overlap
        for m in range(M):
            mean = image[:, some.masks[b, m]].mean(1)
            nearest = np.abs(RGB - mean).sum(1).argmin()
            assert nearest == some.colour[b, m]


def test_shapes_can_be_read_back_from_the_pixels(some):
    """Ink of the box: all of it a square; three quarters and more a
    disc; at most 0.7 of it a cross. And object 0 is the large one."""
    for b in range(60):
        for m in range(M):
            y, x = some.masks[b, m].nonzero()
            box = some.masks[b, m, y.min():y.max() + 1, x.min():x.max() + 1]
            assert box.shape == ((11, 11) if m == 0 else (7, 7))
            share = box.mean()
            kind = 0 if share == 1 else 2 if share < 0.7 else 1
            assert kind == some.shape[b, m]
            centre = (int(y.mean()) // scenes.CELL, int(x.mean()) // scenes.CELL)
            assert centre == divmod(some.cell[b, m], S // scenes.CELL)


def descriptions(some):
    rows = set()
    for c, s, p in zip(some.colour, some.shape, some.cell):
        objects = list(zip(c.tolist(), s.tolist(), p.tolist()))
        rows.add((objects[0], frozenset(objects[1:])))
    return rows


def test_no_description_is_in_both_parts():
    rng = np.random.default_rng(0)
    train = scenes.draw(rng, 3000, held_out=False)
    test = scenes.draw(rng, 3000, held_out=True)
    assert not descriptions(train) & descriptions(test)
    free = scenes.draw(rng, 3000)
    assert 0.17 < scenes.in_test(free.colour, free.shape, free.cell).mean() < 0.23


def test_the_part_does_not_depend_on_the_order_of_the_small_objects(some):
    swapped = [part[:, [0, 2, 1]] for part in (some.colour, some.shape, some.cell)]
    here = scenes.in_test(some.colour, some.shape, some.cell)
    assert np.array_equal(scenes.in_test(*swapped), here) and 0 < here.sum() < 60


def test_new_pairs_are_new():
    def pairs(some, m):
        return set(zip(some.colour[:, m].ravel().tolist(), some.shape[:, m].ravel().tolist()))

    old = scenes.draw(np.random.default_rng(1), 2000)
    new = scenes.draw(np.random.default_rng(1), 500, new=True, held_out=True)
    everything = {(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES))}
    assert pairs(old, slice(None)) == everything - set(NEW)
    assert pairs(new, 0) == set(NEW) and not pairs(new, slice(1, None)) & set(NEW)


def test_pairs_and_cells_of_a_scene_differ(some):
    pair = some.colour * len(SHAPES) + some.shape
    for values in (pair, some.cell):
        assert all(len(set(row)) == M for row in values.tolist())


def test_same_seed_same_scenes():
    a, b = (scenes.draw(np.random.default_rng(3), 5, held_out=True) for _ in range(2))
    assert all(np.array_equal(x, y) for x, y in zip(a, b))


def test_relations_are_mirror_images_and_exclusive():
    """Left of the other = the other is right of it; never both; a column has neither."""
    cells = np.stack(np.meshgrid(np.arange(9), np.arange(9), indexing="ij"), -1)
    holds = scenes.relations(cells)  # (9, 9, 4)
    assert np.array_equal(holds[..., 0], holds[..., 1].T)
    assert np.array_equal(holds[..., 2], holds[..., 3].T)
    assert not (holds[..., 0] & holds[..., 1]).any()
    assert not holds[0, 6, :2].any() and holds[0, 6].tolist() == [False, False, True, False]


def test_relations_agree_with_the_pixels(some):
    for b in range(60):
        (y, x), (v, u) = (
            [part.mean() for part in some.masks[b, m].nonzero()] for m in (0, 1)
        )
        left, right, above, below = scenes.relations(some.cell[b, :2])
        assert (not left or x < u) and (not right or x > u)
        assert (not above or y < v) and (not below or y > v)


def test_regions_by_hand():
    """Two pixels across a corner of the grid of 6 x 6 pixels: regions 0, and 7 = 6 + 1."""
    mask = np.zeros((2, S, S), dtype=bool)
    mask[1, 5, 5] = mask[1, 6, 6] = True
    found = scenes.regions(mask)
    assert found.shape == (2, 36) and not found[0].any()
    assert found[1].nonzero()[0].tolist() == [0, 7]


def test_marks_by_hand():
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    truth = np.array([[False, True, True], [False, False, True]])
    assert scenes.inside(weights, truth) == pytest.approx([0.5, 0.6])
    assert scenes.points(weights, truth).tolist() == [False, True]
    with pytest.raises(ValueError, match="true region"):
        scenes.inside(weights, truth & False)
    with pytest.raises(ValueError, match="one shape"):
        scenes.points(weights[0], truth)


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        scenes.draw(np.random.default_rng(0), 0)
