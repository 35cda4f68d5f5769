"""The recall task: where the answer is, and that nothing else tells it."""

import pytest
import torch

from course_utils import flags


def test_layout():
    x, y = flags.recall(7, 5, generator=torch.Generator().manual_seed(0), before=3)
    assert x.shape == (7, 3 + 1 + 5 + 1 + 5 + 1)
    assert torch.equal(x[:, 9], y) and torch.equal(x[:, 3], 1 - y)
    assert (x[:, -1] == flags.QUERY).all()
    noise = torch.cat([x[:, :3], x[:, 4:9], x[:, 10:-1]], 1)
    assert noise.min() >= 3 and noise.max() < len(flags.SYMBOLS)


def test_every_line_has_each_flag_once():
    """So counting symbols, as pooling does, cannot tell the answer."""
    x, _ = flags.recall(50, 2, generator=torch.Generator().manual_seed(0))
    assert ((x == 0).sum(1) == 1).all() and ((x == 1).sum(1) == 1).all()


def test_flags_are_fair():
    _, y = flags.recall(4000, 1, generator=torch.Generator().manual_seed(1))
    assert abs(y.float().mean().item() - 0.5) < 0.03  # 4 standard errors


def test_same_seed_same_lines():
    draws = [flags.recall(3, 4, generator=torch.Generator().manual_seed(5)) for _ in "ab"]
    assert torch.equal(draws[0].x, draws[1].x) and torch.equal(draws[0].y, draws[1].y)


def test_negative_gap():
    with pytest.raises(ValueError, match="0 or more"):
        flags.recall(1, -1, generator=torch.Generator())
