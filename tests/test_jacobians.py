"""Jacobian products against torch.func, two counter-examples, exponents by hand."""

import math

import pytest
import torch

from course_utils import elman, jacobians

B, T, D, H = 2, 7, 3, 5
FLOAT = {"dtype": torch.float64}


def case(seed=0):
    g = torch.Generator().manual_seed(seed)
    p = elman.initial(D, H, 1, generator=g, **FLOAT)
    x = torch.randn(T, D, generator=g, **FLOAT)
    h_0 = torch.randn(H, generator=g, **FLOAT)
    return p, x, h_0


@pytest.mark.parametrize(
    "f, slope",
    [
        (torch.tanh, jacobians.slope_tanh),
        (torch.sigmoid, jacobians.slope_sigmoid),
        (torch.relu, jacobians.slope_relu),
    ],
)
def test_product_equals_torch_func(f, slope):
    p, x, h_0 = case()

    def states(h_0):
        return elman.unroll(x[None], h_0[None], p.U, p.W, p.b_h, f=f)[0]  # (T, H)

    J = jacobians.step_jacobians(states(h_0), p.W, slope)  # (T, H, H)
    wanted = torch.func.jacrev(states)(h_0)  # (T, H, H)
    torch.testing.assert_close(jacobians.products(J), wanted, rtol=0, atol=1e-12)


def test_other_parametrisation_is_the_slides():
    """Four cells, one factor each. Only pre-activations in row vectors give the slide's
    W^T diag(f'(h_{j-1})); for h_j = f(U x_j + W h_{j-1} + b) it is wrong."""
    p, x, h_0 = case(1)
    drive = p.U @ x[0] + p.b_h
    slope = torch.diag(1 - torch.tanh(h_0) ** 2)  # f'(h_{j-1}), as printed
    printed = p.W.T @ slope
    rows = torch.func.jacrev(lambda a: torch.tanh(a) @ p.W + drive)(h_0)
    columns = torch.func.jacrev(lambda a: p.W @ torch.tanh(a) + drive)(h_0)
    ours = torch.func.jacrev(lambda h: torch.tanh(p.W @ h + drive))(h_0)
    torch.testing.assert_close(rows, printed)
    torch.testing.assert_close(columns, p.W @ slope)
    h_1 = torch.tanh(p.W @ h_0 + drive)
    torch.testing.assert_close(ours, jacobians.step_jacobians(h_1, p.W))
    assert min((ours - printed).abs().max(), (ours - printed.T).abs().max()) > 1e-2


def test_largest_slopes():
    """tanh' = 1 - tanh^2 <= 1 and s' = s (1 - s) <= 1/4, both reached at a = 0."""
    a = torch.linspace(-8, 8, 1601, **FLOAT)
    for f, slope, beta in (
        (torch.tanh, jacobians.slope_tanh, jacobians.BETA_TANH),
        (torch.sigmoid, jacobians.slope_sigmoid, jacobians.BETA_SIGMOID),
    ):
        slopes = torch.func.vmap(torch.func.grad(f))(a)
        torch.testing.assert_close(slope(f(a)), slopes, rtol=0, atol=1e-14)
        assert slopes.max() == beta and a[slopes.argmax()].abs() < 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_bound_holds(seed):
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(H, H, generator=g, **FLOAT) * (0.3 + 0.3 * seed)
    h = torch.tanh(torch.randn(T, H, generator=g, **FLOAT))
    norms = jacobians.spectral_norm(jacobians.products(jacobians.step_jacobians(h, W)))
    limit = jacobians.bound(W, jacobians.BETA_TANH, T)
    assert (norms <= limit * (1 + 1e-12)).all()


def test_non_normal_matrix_grows_below_radius_one():
    """[[a, b], [0, a]]^k = [[a^k, k a^(k-1) b], [0, a^k]]: radius 0.9, norm up to 19.5."""
    W = torch.tensor([[0.9, 5.0], [0.0, 0.9]], **FLOAT)
    powers = jacobians.products(W.expand(100, 2, 2))
    k = torch.arange(1, 101, **FLOAT)
    torch.testing.assert_close(powers[:, 0, 1], k * 0.9 ** (k - 1) * 5)
    norms = jacobians.spectral_norm(powers)
    wanted = {1: 5.2, 5: 16.4, 10: 19.4, 20: 13.5, 50: 1.4, 100: 0.015}
    for lag, figure in wanted.items():
        assert abs(norms[lag - 1] - figure) <= 0.04 * figure
    assert abs(jacobians.spectral_radius(W) - 0.9) < 1e-6
    assert (norms[9] > 0.9**10) and norms[99] < 1e-1  # 'eigenvalue' is no bound; decays


@pytest.mark.parametrize("seed", range(5))
def test_largest_singular_value_above_one_may_vanish(seed):
    """sigma_max = 1.5, H = 64: the radius is near 0.75, so the product vanishes."""
    g = torch.Generator().manual_seed(seed)
    W = torch.randn(64, 64, generator=g, **FLOAT)
    W = 1.5 * W / jacobians.spectral_norm(W)
    h_t, states = torch.randn(1, 64, generator=g, **FLOAT), []
    for _ in range(50):
        x_t = torch.randn(1, 64, generator=g, **FLOAT)
        h_t = elman.step(x_t, h_t, torch.eye(64, **FLOAT), W, torch.zeros(64, **FLOAT))
        states.append(h_t[0])
    J = jacobians.step_jacobians(torch.stack(states), W)
    norm = jacobians.spectral_norm(jacobians.products(J))[-1]
    assert norm < 1e-4 and jacobians.bound(W, jacobians.BETA_TANH, 50)[-1] > 1e8


def test_radius_never_above_norm_and_equal_when_normal():
    g = torch.Generator().manual_seed(4)
    W = torch.randn(11, 5, 5, generator=g, **FLOAT)
    assert (jacobians.spectral_radius(W) <= jacobians.spectral_norm(W) + 1e-12).all()
    symmetric = W + W.mT
    torch.testing.assert_close(
        jacobians.spectral_radius(symmetric), jacobians.spectral_norm(symmetric)
    )


def test_lyapunov_exponent_by_hand():
    """diag(2, 1/2) turned by nothing: ln 2 a step, once the vector has turned."""
    J = torch.diag(torch.tensor([2.0, 0.5], **FLOAT)).expand(60, 2, 2)
    found = jacobians.lyapunov(J, generator=torch.Generator().manual_seed(0), skip=40)
    assert abs(found - math.log(2)) < 1e-12


def test_lyapunov_survives_what_overflows():
    J = 1e10 * torch.eye(3, **FLOAT).expand(200, 3, 3)
    assert not jacobians.products(J)[-1].isfinite().all()
    found = jacobians.lyapunov(J, generator=torch.Generator().manual_seed(0))
    assert abs(found - 10 * math.log(10)) < 1e-9


def test_drawn_matrices():
    g = torch.Generator().manual_seed(2)
    many = jacobians.gaussian(7, 1.3, generator=g, n=3)
    torch.testing.assert_close(jacobians.spectral_radius(many), torch.full((3,), 1.3, **FLOAT))
    Q = jacobians.orthogonal(7, generator=g)
    torch.testing.assert_close(Q @ Q.T, torch.eye(7, **FLOAT))


def test_errors_say_what_was_expected():
    with pytest.raises(ValueError, match="5, 5"):
        jacobians.step_jacobians(torch.zeros(T, 5), torch.zeros(3, 3))
    with pytest.raises(ValueError, match="skip"):
        jacobians.lyapunov(torch.eye(2).expand(3, 2, 2), generator=torch.Generator(), skip=3)


def test_exponents_of_a_linear_regime_by_hand():
    """Orthogonal W, no input, tiny state: slopes are 1, so the exponent is ln c for c Q."""
    g = torch.Generator().manual_seed(6)
    Q = jacobians.orthogonal(7, generator=g)
    found = jacobians.exponents(0.5 * Q, torch.zeros(2, **FLOAT), generator=g, n=80, skip=60)
    torch.testing.assert_close(found, torch.full((2,), math.log(0.5), **FLOAT))


def test_exponents_agree_with_stored_jacobians():
    """Long runs of one network with unit input: two estimates of one exponent."""
    g = torch.Generator().manual_seed(8)
    W = jacobians.gaussian(11, 1.2, generator=g)
    h = jacobians.trajectory(W, 4000, 0.7, generator=g)
    stored = jacobians.lyapunov(jacobians.step_jacobians(h, W), generator=g, skip=50)
    gains = torch.full((3,), 0.7, **FLOAT)
    found = jacobians.exponents(W, gains, generator=g, n=4000, skip=50)
    assert (found - stored).abs().max() < 0.05 and stored.abs() > 0.1


def test_trajectory_is_the_elman_step():
    W = jacobians.gaussian(H, 0.9, generator=torch.Generator().manual_seed(1))
    h = jacobians.trajectory(W, T, 0.0, generator=torch.Generator().manual_seed(2))
    assert h.shape == (T, H)
    zero = torch.zeros(H, **FLOAT)
    again = elman.step(zero[None], h[:1], torch.eye(H, **FLOAT), W, zero)
    torch.testing.assert_close(again[0], h[1])


@pytest.mark.parametrize("shared", [True, False])
def test_log_growth_matches_plain_products(shared):
    """H = 1: |W_n ... W_1| is a product of numbers. Shared: exactly n ln |w|."""
    g = torch.Generator().manual_seed(3)
    path = jacobians.log_growth(shared, n=5, H=1, draws=11, generator=g)
    assert path.shape == (5, 11)
    steps = torch.arange(1, 6, **FLOAT)[:, None]
    straight = (path - steps * path[0]).abs().max() < 1e-12
    assert straight == shared


def test_log_growth_spreads_faster_when_shared():
    g = torch.Generator().manual_seed(5)
    one, many = (
        jacobians.log_growth(s, n=60, H=16, draws=60, generator=g)[-1].std()
        for s in (True, False)
    )
    assert one > 2 * many
