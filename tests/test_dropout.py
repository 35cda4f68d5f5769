"""Recurrent dropout: masks over time, their mean, evaluation, and a slow twin."""

import pytest
import torch

from course_utils import dropout
from course_utils.runtime import generator

S, B, T, N, D, H = 2, 3, 5, 7, 11, 13
SHAPE = (S, B, D, H)


def drawn(kind, rate=0.5, seed=0):
    return dropout.draw(kind, rate, steps=T, shape=SHAPE, generator=generator(seed))


def test_variational_masks_are_the_same_at_every_step_and_resampled_are_not():
    """The planted mistake, a new recurrent mask at each step, is caught."""
    right, wrong = drawn("variational"), drawn("resampled")
    for name, size in (("x", D), ("h", H), ("y", H)):
        assert dropout.same_over_time(getattr(right, name).expand(T, S, B, size))
        assert not dropout.same_over_time(getattr(wrong, name))


def test_naive_spares_the_recurrent_connection_and_none_spares_all():
    naive = drawn("naive")
    assert naive.h is None and not dropout.same_over_time(naive.x)
    assert drawn("none") == dropout.Masks()


def test_masks_differ_between_sequences_and_have_mean_one():
    """Values 0 and 1/(1 - 0.4); standard error of the mean over 40,000: 0.004."""
    kept = dropout.mask((40_000,), 0.4, generator=generator(1))
    assert torch.unique(kept).tolist() == pytest.approx([0.0, 1 / 0.6])
    assert kept.mean().item() == pytest.approx(1, abs=0.02)
    variational = drawn("variational").h[0].flatten(0, 1)
    assert len(torch.unique(variational, dim=0)) > 1


def test_a_dropped_unit_is_dropped_at_every_step():
    """With the recurrent mask of unit 4 zero, W[:, 4] has no influence at all."""
    p = dropout.draw_model(N, D, H, seeds_=range(S))
    ids = torch.randint(N, (B, T), generator=generator(2))
    keep = torch.ones(1, S, B, H)
    keep[..., 4] = 0
    p["W"].requires_grad_()
    dropout.scores(p, ids, dropout.Masks(h=keep)).square().sum().backward()
    assert not p["W"].grad[..., 4].any() and p["W"].grad[..., 3].any()


def test_scores_equal_a_loop_over_torch_cells():
    """The variational network, written with torch.nn.LSTMCell, seed by seed."""
    p = dropout.draw_model(N, D, H, seeds_=range(S))
    ids = torch.randint(N, (B, T), generator=generator(3))
    masks = drawn("variational", 0.3)
    got = dropout.scores(p, ids, masks)
    for s in range(S):
        cell = torch.nn.LSTMCell(D, H)
        with torch.no_grad():
            cell.weight_ih.copy_(p["U"][s])
            cell.weight_hh.copy_(p["W"][s])
            cell.bias_ih.copy_(p["b_h"][s])
            cell.bias_hh.zero_()
            h = c = torch.zeros(B, H)
            for t in range(T):
                x_t = p["E"][s][ids[:, t]] * masks.x[0, s]
                h, c = cell(x_t, (h * masks.h[0, s], c))
                z = (h * masks.y[0, s]) @ p["V"][s].T + p["b_y"][s]
                torch.testing.assert_close(got[s, :, t], z, rtol=1e-4, atol=1e-5)


def test_evaluation_is_deterministic_and_training_is_not():
    """The planted mistake, no evaluation mode: two calls with masks disagree."""
    p = dropout.draw_model(N, D, H, seeds_=range(S))
    ids = torch.randint(N, (B, T), generator=generator(4))
    assert torch.equal(dropout.scores(p, ids), dropout.scores(p, ids))
    one, two = (dropout.scores(p, ids, drawn("variational", seed=s)) for s in (5, 6))
    assert not torch.allclose(one, two)


def test_nats_are_summed_cross_entropy():
    p = dropout.draw_model(N, D, H, seeds_=range(S))
    ids = torch.randint(N, (B, T + 1), generator=generator(7))
    got = dropout.nats(p, ids[:, :-1], ids[:, 1:])
    logits = dropout.scores(p, ids[:, :-1])
    for s in range(S):
        loss = torch.nn.functional.cross_entropy(
            logits[s].flatten(0, 1), ids[:, 1:].flatten(), reduction="sum"
        )
        torch.testing.assert_close(got[s], loss)


def test_errors():
    with pytest.raises(ValueError, match="0 <= rate < 1, got 1"):
        dropout.mask((2,), 1.0, generator=generator(0))
    with pytest.raises(ValueError, match="variational"):
        drawn("locked")
