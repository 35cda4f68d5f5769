"""Pascanu's regulariser: by hand, gradcheck, finite differences, its truncated gradient."""

import pytest
import torch

from course_utils import elman, omega
from course_utils.runtime import generator

T, B, D, H, K = 7, 3, 2, 5, 2


def network(seed=0):
    p = elman.initial(D, H, K, generator=generator(seed), dtype=torch.float64)
    g = generator(seed + 1)
    x = torch.randn(B, T, D, generator=g, dtype=torch.float64)
    y = torch.randn(B, K, generator=g, dtype=torch.float64)
    return p, x, y


def states_and_loss(p, x, y, f=torch.tanh):
    h_t, states = x.new_zeros(B, H), []
    for x_t in x.unbind(1):
        h_t = elman.step(x_t, h_t, p.U, p.W, p.b_h, f=f)
        states.append(h_t)
    loss = (elman.readout(h_t, p.V, p.b_y) - y).square().mean()
    return states, loss


def double_backward(U, W, b_h, V, b_y):
    p, (_, x, y) = elman.Parameters(U, W, b_h, V, b_y), network()
    states, loss = states_and_loss(p, x, y)
    delta = omega.deltas(loss, states, graph=True)
    return omega.omega(delta, torch.stack(states), W)


def test_gradcheck_of_the_double_backward():
    p = [q.requires_grad_() for q in network()[0]]
    assert torch.autograd.gradcheck(double_backward, p)


def test_equals_finite_differences_in_a_random_direction():
    p = [q.requires_grad_() for q in network()[0]]
    gradient = torch.autograd.grad(double_backward(*p), p[:4])  # b_y only shifts the error
    g = generator(9)
    move = [torch.randn(q.shape, generator=g, dtype=q.dtype) for q in p[:4]]
    ahead, behind = (
        double_backward(*[q + s * m for q, m in zip(p, move)], p[4]) for s in (1e-5, -1e-5)
    )
    slope = sum((a * m).sum() for a, m in zip(gradient, move))
    assert ((ahead - behind) / 2e-5).item() == pytest.approx(slope.item(), rel=1e-6)


def test_term_by_term_with_explicit_jacobians():
    """Equation 9 with the matrix diag(1 - h^2) W written out, one sequence at a time."""
    p, x, y = network(3)
    states, loss = states_and_loss(p._replace(W=p.W.requires_grad_()), x, y)
    delta = omega.deltas(loss, states)
    total = 0.0
    for k in range(T - 1):
        for s in range(B):
            J = torch.diag(1 - states[k + 1][s] ** 2) @ p.W
            total += ((delta[k + 1, s] @ J).norm() / delta[k + 1, s].norm() - 1) ** 2
    got = omega.omega(delta, torch.stack(states), p.W)
    torch.testing.assert_close(got, total / (B * (T - 1)))


def test_deltas_are_consistent_with_the_jacobians():
    """With a loss on the last state alone, delta_k = delta_{k+1} diag(f') W."""
    p, x, y = network(4)
    states, loss = states_and_loss(p._replace(W=p.W.requires_grad_()), x, y)
    delta = omega.deltas(loss, states)
    slopes = omega.tanh_slope(torch.stack(states))
    torch.testing.assert_close(delta[:-1], (delta[1:] * slopes[1:]) @ p.W)


def test_orthogonal_linear_network_has_no_penalty():
    """f = identity, W orthogonal: every norm is kept, so Omega = 0."""
    Q, _ = torch.linalg.qr(torch.randn(H, H, generator=generator(5), dtype=torch.float64))
    p, x, y = network(5)
    p = p._replace(W=Q.requires_grad_())
    states, loss = states_and_loss(p, x, y, f=lambda a: a)
    delta = omega.deltas(loss, states)
    value = omega.omega(delta, torch.stack(states), Q, slope=torch.ones_like)
    assert value.item() == pytest.approx(0, abs=1e-24)
    half = omega.omega(delta, torch.stack(states), Q / 2, slope=torch.ones_like)
    assert half.item() == pytest.approx(0.25)


def test_immediate_gradient_is_not_the_total_one():
    """Pascanu's equation 10 keeps delta and h fixed: cheaper, another vector."""
    p, x, y = network(6)
    p = p._replace(W=p.W.requires_grad_())
    states, loss = states_and_loss(p, x, y)
    delta, h = omega.deltas(loss, states, graph=True), torch.stack(states)
    (total,) = torch.autograd.grad(omega.omega(delta, h, p.W), p.W, retain_graph=True)
    fixed = omega.omega(delta.detach(), h.detach(), p.W)
    (immediate,) = torch.autograd.grad(fixed, p.W)
    assert (total - immediate).norm() > 0.05 * total.norm()


def test_a_stack_of_networks_gives_one_number_each():
    p, x, y = network(7)
    states, loss = states_and_loss(p._replace(W=p.W.requires_grad_()), x, y)
    delta, h = omega.deltas(loss, states), torch.stack(states)
    single = omega.omega(delta, h, p.W)
    pair = omega.omega(
        torch.stack([delta, delta], 1), torch.stack([h, h], 1), torch.stack([p.W, 2 * p.W])
    )
    assert pair[0].item() == pytest.approx(single.item()) != pair[1].item()


def test_vanished_errors_are_left_out_and_shapes_are_checked():
    delta = torch.zeros(3, 2, 4)
    assert omega.omega(delta, delta, torch.eye(4)).item() == 0
    with pytest.raises(ValueError, match="T >= 2"):
        omega.omega(delta[:1], delta[:1], torch.eye(4))
