"""BPTT by hand against pencil, autograd and finite differences; truncation exactly."""

import numpy as np
import pytest
import torch

from course_utils import bptt, elman
from teaching import taught

T, D, H, K = 7, 3, 5, 2


def case(seed=0, T=T):
    rng = np.random.default_rng(seed)
    shapes = ((H, D), (H, H), (H,), (K, H), (K,))
    p = bptt.Parameters(*(rng.normal(size=s) * 0.6 for s in shapes))
    x, h_0, y_star = (rng.normal(size=s) for s in ((T, D), (H,), (T, K)))
    return p, x, h_0, y_star


def run(p, x, h_0, y_star):
    h, y = bptt.forward(x, h_0, p)
    return h, y, y - y_star  # dL_t/dy_t of L_t = |y_t - y*_t|^2 / 2


def as_tensors(p):
    return elman.Parameters(*(torch.tensor(v, requires_grad=True) for v in p))


def autograd(p, x, h_0, y_star):
    q = as_tensors(p)
    h = elman.unroll(torch.tensor(x)[None], torch.tensor(h_0)[None], q.U, q.W, q.b_h)
    loss = ((elman.readout(h, q.V, q.b_y)[0] - torch.tensor(y_star)) ** 2).sum() / 2
    return [g.numpy() for g in torch.autograd.grad(loss, q)]


def worst(mine, theirs):
    return max(np.abs(a - b).max() for a, b in zip(mine, theirs, strict=True))


def test_by_pencil():
    """T = 2, all sizes 1, x = (1, 0), h_0 = 0, u = 1, w = 1/2, v = 1, biases 0, loss
    (y_2)^2 / 2 only. With s = tanh(1): h_1 = s, h_2 = tanh(s / 2), dL/dh_2 = h_2,
    dL/da_2 = (1 - h_2^2) h_2, dL/dw = dL/da_2 h_1, as h_0 = 0 silences step 1.
    dL/du = dL/da_2 w (1 - s^2) x_1, as x_2 = 0. dL/dv = h_2^2."""
    one = np.ones((1, 1))
    p = bptt.Parameters(one, one / 2, np.zeros(1), one, np.zeros(1))
    x = np.array([[1.0], [0.0]])
    h, y = bptt.forward(x, np.zeros(1), p)
    g = bptt.backward(x, h, np.array([[0.0], y[1]]), p)
    s = np.tanh(1.0)
    h_2 = np.tanh(s / 2)
    da_2 = (1 - h_2**2) * h_2
    da_1 = da_2 / 2 * (1 - s**2)
    wanted = (da_1, da_2 * s, da_1 + da_2, h_2**2, h_2)
    assert worst([v.squeeze() for v in g], wanted) < 1e-15


def test_linear_by_pencil():
    """f(a) = a, u = 1, w = 1/2, v = 2, x = (2, 1, 0): h = 2, 2, 1 and y_3 = 2. With
    y*_3 = 1 and L = L_3: h_3 = w^2 u x_1 + w u x_2 + u x_3, so dh_3/dw = 2 w x_1 + x_2
    = 3, of which h_2 = 2 is immediate and w h_1 = 1 comes from step 2. dL/dh_3 = 2."""
    one = np.ones((1, 1))
    p = bptt.Parameters(one, one / 2, np.zeros(1), 2 * one, np.zeros(1))
    x = np.array([[2.0], [1.0], [0.0]])
    h, y = bptt.forward(x, np.zeros(1), p, f=lambda a: a)
    assert h[:, 0].tolist() == [0.0, 2.0, 2.0, 1.0] and y[2, 0] == 2.0
    dy = np.array([[0.0], [0.0], [1.0]])
    g = bptt.backward(x, h, dy, p, slope=np.ones_like)
    assert [float(v.squeeze()) for v in g] == [2.0, 6.0, 3.5, 1.0, 1.0]
    parts = bptt.terms(h, dy, p, slope=np.ones_like)[2, :, 0, 0]
    assert parts.tolist() == [0.0, 2.0, 4.0]


def test_equal_to_autograd():
    inputs = case()
    p, x, _, _ = inputs
    h, _, dy = run(*inputs)
    assert worst(bptt.backward(x, h, dy, p), autograd(*inputs)) < 1e-10


def test_equal_to_finite_differences():
    p, x, h_0, y_star = inputs = case(1)
    h, _, dy = run(*inputs)
    g = bptt.backward(x, h, dy, p)
    step = 1e-6
    for n, value in enumerate(p):
        for place in np.ndindex(value.shape):
            ends = []
            for sign in (1, -1):
                moved = [v.copy() for v in p]
                moved[n][place] += sign * step
                _, _, error = run(bptt.Parameters(*moved), x, h_0, y_star)
                ends.append((error**2).sum() / 2)
            assert abs((ends[0] - ends[1]) / (2 * step) - g[n][place]) < 1e-7


def test_terms_sum_to_the_gradient():
    inputs = case(2)
    p, x, _, _ = inputs
    h, _, dy = run(*inputs)
    parts = bptt.terms(h, dy, p)
    assert parts.shape == (T, T, H, H)
    assert (parts[np.triu_indices(T, 1)] == 0).all()  # no step after the loss
    np.testing.assert_allclose(
        parts.sum((0, 1)), bptt.backward(x, h, dy, p).W, rtol=0, atol=1e-12
    )


def test_planted_mistakes_are_seen():
    """W for its transpose, and 'the last-step term only', differ from the gradient."""
    inputs = case(3)
    p, x, _, _ = inputs
    h, _, dy = run(*inputs)
    right = bptt.backward(x, h, dy, p).W
    swapped = bptt.backward(x, h, dy, p._replace(W=p.W.T)).W
    immediate = np.einsum("ttij->ij", bptt.terms(h, dy, p))
    for wrong in (swapped, immediate):
        assert np.linalg.norm(wrong - right) > 0.05 * np.linalg.norm(right)


def truncated_by_autograd(p, x, h_0, y_star, K, *, detach=True, carry=True):
    """dL/dW over chunks of K steps whose state is carried over and detached."""
    q, h_t, loss = as_tensors(p), torch.tensor(h_0)[None], 0.0
    for start in range(0, len(x), K):
        h = elman.unroll(torch.tensor(x[start : start + K])[None], h_t, q.U, q.W, q.b_h)
        error = elman.readout(h, q.V, q.b_y)[0] - torch.tensor(y_star[start : start + K])
        loss = loss + (error**2).sum() / 2
        h_t = h[:, -1].detach() if detach else h[:, -1]
        h_t = h_t if carry else torch.zeros_like(h_t)
    return torch.autograd.grad(loss, q.W)[0].numpy()


@pytest.mark.parametrize("window", [1, 2, 3, 5, 7, 11])
def test_chunks_are_a_partial_sum_exactly(window):
    inputs = case(4)
    p, *_ = inputs
    h, _, dy = run(*inputs)
    kept = bptt.chunks(T, window)
    partial = np.einsum("tk,tkij->ij", kept, bptt.terms(h, dy, p))
    np.testing.assert_allclose(
        truncated_by_autograd(*inputs, window), partial, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("window", [1, 2, 3, 5, 7, 11])
def test_a_sliding_window_is_a_partial_sum_exactly(window):
    inputs = case(5)
    p, x, _, y_star = inputs
    h, _, dy = run(*inputs)
    q, total = as_tensors(p), 0.0
    for t in range(1, T + 1):  # each loss alone, from a constant state t - window
        start = max(0, t - window)
        h_start = torch.tensor(h[start])[None]
        tail = elman.unroll(torch.tensor(x[start:t])[None], h_start, q.U, q.W, q.b_h)
        error = elman.readout(tail[:, -1], q.V, q.b_y)[0] - torch.tensor(y_star[t - 1])
        total = total + torch.autograd.grad((error**2).sum() / 2, q.W)[0].numpy()
    kept = bptt.sliding_window(T, window)
    partial = np.einsum("tk,tkij->ij", kept, bptt.terms(h, dy, p))
    np.testing.assert_allclose(total, partial, rtol=0, atol=1e-12)


def test_state_between_chunks_neither_attached_nor_lost():
    """Planted mistakes: h_0 not detached (full gradient), or over-detached (zeroed)."""
    inputs = case(6)
    p, *_ = inputs
    h, _, dy = run(*inputs)
    partial = np.einsum("tk,tkij->ij", bptt.chunks(T, 3), bptt.terms(h, dy, p))
    right = truncated_by_autograd(*inputs, 3)
    attached = truncated_by_autograd(*inputs, 3, detach=False)
    zeroed = truncated_by_autograd(*inputs, 3, carry=False)
    assert np.abs(right - partial).max() < 1e-12
    assert np.abs(attached - autograd(*inputs)[1]).max() < 1e-12
    assert min(np.abs(attached - partial).max(), np.abs(zeroed - partial).max()) > 1e-2


def test_window_of_the_whole_sequence_loses_nothing():
    full = bptt.lags(T) >= 0
    for kept in (bptt.chunks, bptt.sliding_window):
        assert (kept(T, T) == full).all()
        assert (kept(T, 1) == np.eye(T, dtype=bool)).all()
        assert (kept(T, 3) <= full).all()


def test_errors_say_what_was_expected():
    p, x, h_0, y_star = inputs = case()
    h, _, dy = run(*inputs)
    with pytest.raises(ValueError, match="h_0 first"):
        bptt.backward(x, h[1:], dy, p)
    with pytest.raises(ValueError, match="at least 1 step"):
        bptt.chunks(T, 0)


def test_taught_functions_equal_the_library():
    """The chapter's `forward` and `backward` against this module's."""
    taught_forward, taught_backward = taught("07_training", "forward", "backward")
    inputs = case(7)
    p, x, h_0, _ = inputs
    h, y, dy = run(*inputs)
    h_taught, y_taught = taught_forward(x, h_0, p)
    assert np.array_equal(h, h_taught) and np.array_equal(y, y_taught)
    ours = bptt.backward(x, h, dy, p)
    assert worst(taught_backward(x, h, dy, p), ours) == 0


def test_taught_truncation_equals_the_masks():
    chunked, slid = taught("07b_gradients_through_time", "chunked", "slid")
    inputs = case(8)
    p, x, h_0, y_star = inputs
    h, _, dy = run(*inputs)
    parts, q = bptt.terms(h, dy, p), as_tensors(p)
    x, h_0, y_star = torch.tensor(x), torch.tensor(h_0)[None], torch.tensor(y_star)
    for window in (1, 3, 7):
        for by_autograd, kept in ((chunked, bptt.chunks), (slid, bptt.sliding_window)):
            partial = np.einsum("tk,tkij->ij", kept(T, window), parts)
            got = by_autograd(x, h_0, y_star, q, window)
            np.testing.assert_allclose(got, partial, rtol=0, atol=1e-12)
