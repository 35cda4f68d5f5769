"""The recall task: where the answer is, and that nothing else tells it."""

import pytest
import torch

from course_utils import flags


def test_layout():
    x, y = flags.recall(
        7, 5, generator=torch.Generator().manual_seed(0), before=3, spread=0
    )
    assert x.shape == (7, 3 + 1 + 5 + 1 + 5 + 1)
    assert torch.equal(x[:, 9], y) and torch.equal(x[:, 3], 1 - y)
    assert (x[:, -1] == flags.QUERY).all()
    noise = torch.cat([x[:, :3], x[:, 4:9], x[:, 10:-1]], 1)
    assert noise.min() >= 3 and noise.max() < len(flags.SYMBOLS)


def test_time_between_the_flags_varies_over_calls():
    """Else the parity of the time since the first flag would give the answer away."""
    g = torch.Generator().manual_seed(0)
    lengths = {flags.recall(1, 2, generator=g).x.shape[1] for _ in range(60)}
    assert lengths == {2 * 2 + 3 + extra for extra in range(5)}


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


@pytest.mark.parametrize("kind", [flags.Window, flags.Pooled, flags.ChainOnWindows])
def test_models_answer_and_learn_from_every_parameter(kind):
    torch.manual_seed(0)
    x, y = flags.recall(7, 3, generator=torch.Generator().manual_seed(0), before=4)
    model = kind(5)
    assert model(x).shape == (7, 2)
    model.loss(x, y).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_window_sees_the_last_symbols_only():
    torch.manual_seed(0)
    model, x = flags.Window(5), torch.randint(3, 9, (2, 11))
    other = x.clone()
    other[:, :6] = 3
    assert torch.equal(model(x), model(other))
    other[:, 6] = (other[:, 6] - 2) % 6 + 3
    assert not torch.equal(model(x), model(other))


def test_pool_cannot_tell_exchanged_flags():
    """Filler of one kind, flags further apart than the window: equal outputs."""
    torch.manual_seed(0)
    model = flags.Pooled(5)
    line = torch.full((2, 25), 4)
    line[0, 6], line[0, 14] = 0, 1
    line[1, 6], line[1, 14] = 1, 0
    out = model(line)
    torch.testing.assert_close(out[0], out[1])
    line[0, 9], line[1, 9] = line[0, 14], line[1, 14]  # now inside one window
    line[:, 14] = 4
    out = model(line)
    assert (out[0] - out[1]).abs().max() > 1e-3
