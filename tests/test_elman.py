"""The Elman network against torch.nn.RNN: forward and every gradient."""

import pytest
import torch

from course_utils import elman

B, T, D, H, K = 2, 7, 3, 5, 11


def setup_case(dtype):
    g = torch.Generator().manual_seed(11)
    p = elman.initial(D, H, K, generator=g, dtype=dtype)
    x = torch.randn(B, T, D, generator=g, dtype=dtype)
    h_0 = torch.randn(B, H, generator=g, dtype=dtype)
    weight = torch.randn(B, T, H, generator=g, dtype=dtype)  # an asymmetric loss
    return p, x, h_0, weight


@pytest.mark.parametrize("dtype, atol", [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_equal_to_torch(dtype, atol):
    p, x, h_0, weight = setup_case(dtype)
    net = elman.as_torch(p)
    x_twin, h_twin = x.clone().requires_grad_(), h_0.clone().requires_grad_()
    wanted, _ = net(x_twin, h_twin[None])
    (wanted * weight).sum().backward()
    U, W, b_h, x, h_0 = (t.clone().requires_grad_() for t in (*p[:3], x, h_0))
    got = elman.unroll(x, h_0, U, W, b_h)
    (got * weight).sum().backward()
    torch.testing.assert_close(got, wanted, rtol=0, atol=atol)
    pairs = (
        (U.grad, net.weight_ih_l0.grad), (W.grad, net.weight_hh_l0.grad),
        (b_h.grad, net.bias_ih_l0.grad), (x.grad, x_twin.grad), (h_0.grad, h_twin.grad),
    )
    for mine, theirs in pairs:
        scale = max(1.0, theirs.abs().max().item())
        torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=atol)


def test_swapped_matrices_are_seen():
    """Planted mistake: W in place of its transpose (U is not square, so it raises)."""
    p, x, h_0, _ = setup_case(torch.float64)
    right = elman.unroll(x, h_0, p.U, p.W, p.b_h)
    wrong = elman.unroll(x, h_0, p.U, p.W.T, p.b_h)
    assert (right - wrong).abs().max() > 1e-2
    with pytest.raises(RuntimeError):
        elman.unroll(x, h_0, p.U.T, p.W, p.b_h)


def test_unroll_is_step_after_step():
    p, x, h_0, _ = setup_case(torch.float64)
    h_t = h_0
    states = elman.unroll(x, h_0, p.U, p.W, p.b_h)
    for t in range(T):
        h_t = elman.step(x[:, t], h_t, p.U, p.W, p.b_h)
        torch.testing.assert_close(states[:, t], h_t, rtol=0, atol=1e-14)


def test_one_step_by_hand():
    """D = 2, H = 1: tanh(0.5 * 1 - 1 * 2 + 2 * 0.25 + 1) = tanh(0) = 0."""
    h = elman.step(
        torch.tensor([[1.0, 2.0]]), torch.tensor([[0.25]]), torch.tensor([[0.5, -1.0]]),
        torch.tensor([[2.0]]), torch.tensor([1.0]),
    )
    assert h.item() == 0.0


def test_the_past_does_not_see_the_future():
    net = elman.Elman(D, H, K, generator=torch.Generator().manual_seed(0))
    _, x, _, _ = setup_case(torch.float32)
    y, h = net(x)
    changed = x.clone()
    changed[:, 4:] += 1
    y_changed, h_changed = net(changed)
    assert torch.equal(y[:, :4], y_changed[:, :4]) and torch.equal(h[:, :4], h_changed[:, :4])
    assert (y[:, 4:] - y_changed[:, 4:]).abs().amax((0, 2)).min() > 0


def test_network_shapes_and_parameters():
    net = elman.Elman(D, H, K, generator=torch.Generator().manual_seed(0))
    y, h = net(torch.zeros(B, T, D))
    assert y.shape == (B, T, K) and h.shape == (B, T, H)
    n = sum(p.numel() for p in net.parameters())
    assert n == H * D + H * H + H + K * H + K
    assert torch.allclose(y, elman.readout(h, net.V, net.b_y))


def test_same_seed_same_network():
    nets = [elman.Elman(D, H, K, generator=torch.Generator().manual_seed(3)) for _ in "ab"]
    assert all(torch.equal(a, b) for a, b in zip(*(n.parameters() for n in nets)))
    assert max(p.abs().max() for p in nets[0].parameters()) <= H**-0.5


def test_error_names_the_shape():
    net = elman.Elman(D, H, K, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"\(B, T, D\)"):
        net(torch.zeros(T, D))
