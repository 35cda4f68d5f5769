"""Hessian-free: products against explicit matrices, CG, damping, a step that solves."""

import pytest
import torch

from course_utils import hessian_free as hf, problems, seeds
from course_utils.runtime import generator

S, B, T, D, H, K = 2, 7, 5, 2, 3, 3


def case(loss):
    K = 1 if loss is hf.squared_error else 3
    p = seeds.draw("tanh", D, H, K, seeds=range(S), dtype=torch.float64)
    g = generator(1)
    x = torch.randn(S, B, T, D, generator=g, dtype=torch.float64)
    if K == 1:
        y = torch.randn(S, B, generator=g, dtype=torch.float64)
    else:
        y = torch.randint(3, (S, B), generator=g)

    def outputs(theta):
        q = seeds.unflatten(theta, p)
        return seeds.readout(q, seeds.states("tanh", q, x)[-1])

    return outputs, seeds.flatten(p), y


def explicit_matrix(outputs, theta, y, loss):
    """J^T H_L J of each seed, both factors from torch.func.jacrev and hessian."""
    J = torch.func.jacrev(outputs)(theta)  # (S, B, K, S, P)
    z = outputs(theta)
    matrices = []
    for s in range(S):
        J_s = J[s, :, :, s].flatten(0, 1)  # (B K, P)

        def of_seed(z_s):
            return loss(z_s[None], y[s : s + 1])[0]

        H_s = torch.func.hessian(of_seed)(z[s]).reshape(J_s.shape[0], -1)
        matrices.append(J_s.T @ H_s @ J_s)
        other = J[s, :, :, 1 - s]
        assert (other == 0).all()  # seeds do not meet
    return torch.stack(matrices)  # (S, P, P)


@pytest.mark.parametrize("loss", [hf.squared_error, hf.cross_entropy])
def test_product_equals_the_explicit_matrix(loss):
    outputs, theta, y = case(loss)
    G = explicit_matrix(outputs, theta, y, loss)
    product = hf.gauss_newton(outputs, hf.LOSSES[loss], theta)
    v = torch.randn(theta.shape, generator=generator(2), dtype=torch.float64)
    torch.testing.assert_close(product(v), (G @ v[..., None])[..., 0], rtol=1e-11, atol=1e-13)
    assert torch.linalg.eigvalsh(G).min() > -1e-12  # positive semi-definite


def test_hessian_of_the_same_network_is_not_positive():
    """Why Gauss-Newton: the true Hessian has negative curvature."""
    outputs, theta, y = case(hf.cross_entropy)
    true = torch.func.hessian(lambda t: hf.cross_entropy(outputs(t), y).sum())(theta)
    P = theta.shape[1]
    assert torch.linalg.eigvalsh(true[0, :, 0].reshape(P, P)).min() < -1e-3


def test_r_operator_equals_the_jacobian_product():
    outputs, theta, _ = case(hf.cross_entropy)
    v = torch.randn(theta.shape, generator=generator(3), dtype=torch.float64)
    J = torch.func.jacrev(outputs)(theta)
    expected = torch.einsum("abcsp,sp->abc", J, v)
    torch.testing.assert_close(hf.r_operator(outputs, theta, v), expected)


def positive_definite(n, seed, smallest=0.1):
    Q, _ = torch.linalg.qr(
        torch.randn(n, n, generator=generator(seed), dtype=torch.float64)
    )
    return Q @ torch.diag(torch.linspace(smallest, 3, n, dtype=torch.float64)) @ Q.T


def test_conjugate_gradients_solve_each_row():
    A = torch.stack([positive_definite(11, seed) for seed in (0, 1, 2)])
    b = torch.randn(3, 11, generator=generator(4), dtype=torch.float64)
    x, steps = hf.conjugate_gradients(
        lambda v: (A @ v[..., None])[..., 0], b, torch.zeros_like(b), precision=1e-14
    )
    torch.testing.assert_close(x, torch.linalg.solve(A, b), rtol=1e-6, atol=1e-8)
    assert steps.max() <= 13  # n = 11 in exact arithmetic


def test_conjugate_gradients_stop_by_relative_progress():
    """Flat tail: the rule stops long before the equation is solved, and never before 10."""
    A = positive_definite(300, 5, smallest=1e-5)
    b = torch.randn(1, 300, generator=generator(6), dtype=torch.float64)
    _, early = hf.conjugate_gradients(lambda v: v @ A, b, torch.zeros_like(b), precision=0.05)
    x, late = hf.conjugate_gradients(lambda v: v @ A, b, torch.zeros_like(b))
    assert 10 < early < late
    assert (b - x @ A).norm() > 1e-3


def test_a_row_of_zeros_costs_nothing():
    x, steps = hf.conjugate_gradients(lambda v: 2 * v, torch.zeros(2, 3), torch.zeros(2, 3))
    assert steps.tolist() == [0, 0] and not x.any()


def test_one_undamped_step_minimises_a_quadratic():
    """Linear outputs, squared loss: G is the Hessian, so rho = 1 and the step is exact."""
    g = generator(7)
    X = torch.randn(B, 3, generator=g, dtype=torch.float64)
    y = torch.randn(1, B, generator=g, dtype=torch.float64)

    def outputs(theta):
        return (theta @ X.T)[..., None]  # (1, B, 1)

    begin = hf.start(torch.zeros(1, 3, dtype=torch.float64), damping=0.0)
    end = hf.step(begin, outputs, y, hf.squared_error)
    best = torch.linalg.lstsq(X, y.T).solution.T
    torch.testing.assert_close(end.theta, best, rtol=1e-6, atol=1e-8)
    assert end.ratio.item() == pytest.approx(1)


@pytest.mark.parametrize("loss", [hf.squared_error, hf.cross_entropy])
def test_a_step_never_raises_the_loss_and_adapts_the_damping(loss):
    outputs, theta, y = case(loss)
    state = hf.start(theta, damping=1e-3)
    for _ in range(5):
        before = loss(outputs(state.theta), y)
        new = hf.step(state, outputs, y, loss)
        assert (loss(outputs(new.theta), y) <= before + 1e-12).all()
        torch.testing.assert_close(
            new.damping, hf.levenberg_marquardt(state.damping, new.ratio)
        )
        state = new


def test_temporal_order_is_solved_in_a_few_steps():
    g = generator(8)
    p = seeds.draw("tanh", 6, 12, 4, seeds=[0])
    state = hf.start(seeds.flatten(p))
    x, y = (t[None] for t in problems.temporal_order(200, 10, generator=g))

    def outputs(theta):
        q = seeds.unflatten(theta, p)
        return seeds.readout(q, seeds.states("tanh", q, x)[-1])

    for _ in range(10):
        state = hf.step(state, outputs, y, hf.cross_entropy, max_steps=20)
    assert hf.cross_entropy(outputs(state.theta), y).item() < 0.3  # ln 4 = 1.386 at first
