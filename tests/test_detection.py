"""Scenes with exact truth, matching against brute force, and what a set's loss ignores."""

import doctest
import itertools

import numpy as np
import pytest
import torch

from course_utils import detection as det
from course_utils import runtime


@pytest.fixture
def scenes():
    return det.draw(np.random.default_rng(0), 40)


def answers(seed=0, B=40, Q=5):
    g = runtime.generator(seed)
    return torch.randn(B, Q, 4, generator=g), torch.rand(B, Q, 4, generator=g)


def test_examples_in_the_docstrings():
    assert doctest.testmod(det).failed == 0


def test_the_truth_is_the_ink(scenes):
    """Every box is exactly the rows and columns that its object covers; nothing else is."""
    S = scenes.images.shape[1]
    for image, kinds, boxes in zip(*scenes):
        ink = (image > 0.5).numpy()
        left = ink.copy()
        for kind, box in zip(kinds, boxes):
            if kind == det.NONE:
                continue
            x, y, w, h = (box * S).tolist()
            rows = slice(round(y - h / 2), round(y + h / 2))
            columns = slice(round(x - w / 2), round(x + w / 2))
            part = ink[rows, columns]
            assert part.any(0)[[0, -1]].all() and part.any(1)[[0, -1]].all()
            left[rows, columns] = False
        assert not left.any()


def test_one_to_three_objects_of_all_kinds(scenes):
    real = scenes.kinds != det.NONE
    assert set(real.sum(1).tolist()) == {1, 2, 3}
    assert set(scenes.kinds[real].tolist()) == {0, 1, 2}


def test_overlap_by_hand():
    """Two 2 x 2 squares that share 1 x 2: 2 / (4 + 4 - 2)."""
    a, b = torch.tensor([1.0, 1, 2, 2]), torch.tensor([2.0, 1, 2, 2])
    assert abs(det.overlap(a, b).item() - 1 / 3) < 1e-6
    assert det.overlap(a, a + torch.tensor([9.0, 0, 0, 0])).item() == 0


def test_matching_equals_the_best_of_all_assignments(scenes):
    cost = det.costs(*answers(), scenes)
    found = cost.gather(1, det.matched(cost)[:, None]).sum((1, 2))
    every = torch.tensor(list(itertools.permutations(range(5), 3)))  # (60, 3)
    best = cost[:, every, torch.arange(3)].sum(-1).amin(1)
    torch.testing.assert_close(found, best, rtol=0, atol=1e-5)


def test_greedy_matching_would_not_do():
    """Greedy takes 0 and pays 9; the best pays 1 + 1."""
    cost = torch.tensor([[[0.0, 1.0], [1.0, 9.0]]])
    assert det.matched(cost).tolist() == [[1, 0]]


def test_matched_loss_ignores_the_order_of_objects_and_of_queries(scenes):
    scores, boxes = answers()

    def loss(scores, boxes, scenes):
        return det.set_loss(scores, boxes, scenes,
                            det.matched(det.costs(scores, boxes, scenes)))

    other = scenes._replace(kinds=scenes.kinds.flip(1), boxes=scenes.boxes.flip(1))
    turned = torch.tensor([2, 0, 4, 1, 3])
    wanted = loss(scores, boxes, scenes)
    for found in (loss(scores, boxes, other), loss(scores[:, turned], boxes[:, turned], scenes)):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    fixed = torch.arange(3).expand(40, 3)
    gap = det.set_loss(scores, boxes, scenes, fixed) - det.set_loss(scores, boxes, other, fixed)
    assert gap.abs() > 1e-3


def test_a_perfect_answer_costs_nothing_and_finds_everything(scenes):
    kinds = torch.cat([scenes.kinds, torch.full((40, 2), det.NONE)], 1)
    scores = 50.0 * torch.nn.functional.one_hot(kinds, det.NONE + 1)
    boxes = torch.cat([scenes.boxes, torch.rand(40, 2, 4)], 1)
    queries = det.matched(det.costs(scores, boxes, scenes))
    assert det.set_loss(scores, boxes, scenes, queries) < 1e-5
    found, announced, there = det.hits(scores, boxes, scenes)
    assert found == announced == there and det.f1(found, announced, there) == 1


def test_one_object_is_found_once_only(scenes):
    """Five copies of the same right box: one hit, four false alarms."""
    one = det.Scenes(*(t[:1] for t in scenes))
    m = int((one.kinds[0] != det.NONE).nonzero()[0])
    scores = 50.0 * torch.nn.functional.one_hot(one.kinds[:, m], 4)[:, None].expand(1, 5, 4)
    boxes = one.boxes[:, m][:, None].expand(1, 5, 4)
    assert det.hits(scores, boxes, one)[:2] == (1, 5)


def test_queries_are_exchangeable():
    runtime.seed_everything(0)
    detr, images = det.Detr().eval(), torch.randn(3, 24, 24)
    scores, boxes = detr(images)
    with torch.no_grad():
        detr.query.copy_(detr.query.flip(0))
    other = detr(images)
    torch.testing.assert_close(other[0], scores.flip(1), rtol=0, atol=1e-5)
    torch.testing.assert_close(other[1], boxes.flip(1), rtol=0, atol=1e-5)


def test_no_two_places_of_the_grid_have_one_position():
    P = det.positions(6, 32)
    assert P.shape == (36, 32)
    assert (torch.cdist(P, P) + 9 * torch.eye(36)).min() > 0.1
