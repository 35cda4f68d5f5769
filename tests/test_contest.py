"""The contest's rules, and the flows beside the LSTM."""

import numpy as np
import pytest
import torch

from course_utils import contest, gradient_flow
from course_utils.recurrent_tasks import adding_task

SEEDS, RATES = 2, (0.003, 0.01, 0.03)
LR = torch.tensor(RATES).repeat_interleave(SEEDS)


@pytest.fixture(scope="module")
def readings():
    plan = contest.Plan(adding_task(11), 300, 3, 5, 50, 50)
    return contest.contest(plan, LR, SEEDS)


def test_every_cell_at_both_moments_within_the_budget(readings):
    assert set(readings) == {(m, c) for m in contest.MOMENTS for c in contest.CELLS}
    for (moment, _), r in readings.items():
        assert r.parameters <= 300 and r.errors.shape == (SEEDS,)
        assert round(r.rate, 3) in RATES
        assert r.updates == 5 if moment == "updates" else r.updates >= 5
    # one block of weights against three and four: more units at equal parameters
    H = [readings["updates", cell].H for cell in contest.CELLS]
    assert H[0] > H[1] > H[2]


def test_the_rate_is_chosen_on_validation_data_and_read_on_test_data():
    """Validation prefers the second rate, test errors are another table."""

    class Fixed:
        def evaluate(self, model, S, split, n):
            validation = torch.tensor([0.9, 0.9, 0.1, 0.3, 0.5, 0.0])
            return validation if split == "validation" else torch.arange(6.0)

    rate, errors = contest.read(contest.Plan(Fixed(), 1, 1, 1, 1), None, LR, SEEDS)
    assert rate == pytest.approx(0.01) and errors.tolist() == [2.0, 3.0]


def test_copies_of_one_seed_read_the_same_batches_at_every_rate():
    """Copies s and SEEDS + s: equal sequences; two seeds: different ones."""
    x, y, lengths = contest.shared_batch(
        adding_task(11), len(LR), SEEDS, 3, torch.Generator().manual_seed(0))
    assert x.shape == (len(LR), 3, 11, 2) and lengths.shape == (len(LR), 3)
    for drawn in (x, y):
        for s in range(SEEDS):
            for copy in range(s, len(LR), SEEDS):
                assert torch.equal(drawn[copy], drawn[s])
        assert not torch.equal(drawn[0], drawn[1])


def test_update_hands_every_copy_the_batch_of_its_seed():
    """The model is asked for its input: nothing else may reach it."""
    seen = []

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.v = torch.nn.Parameter(torch.zeros(len(LR), 1))

        def forward(self, x, lengths):
            seen.append(x)
            return self.v[:, None].expand(-1, x.shape[1], 1)

    model = Model()
    contest.update(
        contest.Plan(adding_task(11), 1, 3, 1, 1), model,
        contest.ReplicaAdam(model.parameters(), LR), torch.Generator().manual_seed(0),
        seeds=SEEDS)
    assert torch.equal(seen[0][0], seen[0][SEEDS])
    assert not torch.equal(seen[0][0], seen[0][1])


def test_copies_must_be_a_multiple_of_the_seeds():
    with pytest.raises(ValueError, match="multiple of 4 seeds, got 6"):
        contest.shared_batch(adding_task(11), 6, 4, 3, None)


@pytest.mark.parametrize("flow", [
    lambda sizes: gradient_flow.rnn_flow(0, sizes),
    lambda sizes: gradient_flow.gru_flow(0, sizes, bias=1.0)[0],
    lambda sizes: gradient_flow.gru_flow(0, sizes, bias=1.0)[1],
    lambda sizes: gradient_flow.layer_flow(0, sizes, kind="residual"),
])
def test_flows_end_at_one(flow):
    """The derivative of the last state by itself is the identity."""
    found = flow((7, 3, 5))
    assert found.shape == (7,) and found[-1] == pytest.approx(1.0)
    assert np.isfinite(found).all()


def test_one_step_of_the_rnn_is_diag_times_W():
    """dh_2/dh_1 = diag(1 - h_2^2) W, by finite differences of the definition."""
    T, D, H = 2, 3, 5
    g = torch.Generator().manual_seed(4)
    W = gradient_flow.uniform((H, H + D), H, g).double()
    x = torch.randn(T, D, generator=g).double()
    h_1 = torch.tanh(W[:, H:] @ x[0])
    h_2 = torch.tanh(W @ torch.cat([h_1, x[1]]))
    J = torch.diag(1 - h_2**2) @ W[:, :H]
    expected = torch.linalg.matrix_norm(J, 2).item()
    assert gradient_flow.rnn_flow(4, (T, D, H))[0] == pytest.approx(expected, rel=1e-10)


def test_an_open_update_gate_keeps_the_gradient():
    closed, opened = (gradient_flow.gru_flow(0, (20, 3, 5), bias=b)[0, 0] for b in (0, 20))
    assert opened == pytest.approx(1.0, abs=1e-3) and closed < 0.1


def test_the_gates_of_a_gru_with_an_infinite_bias_multiply_to_one():
    """z = sigma(1000) = 1 at every step: the direct path keeps everything, and with
    z = 1 there is no other road."""
    norms, product = gradient_flow.gru_flow(0, (20, 3, 5), bias=1000.0)
    assert product == pytest.approx(np.ones(20)) and norms == pytest.approx(np.ones(20))


def test_the_product_of_a_gru_is_that_of_its_gates():
    """T = 2: the only later gate is z_2 = sigma(W_z [h_1, x_2] + b_z)."""
    T, D, H = 2, 3, 5
    g = torch.Generator().manual_seed(4)
    p = gradient_flow.GRUWeights.draw(D, H, g, torch.float64)
    p.b_z.fill_(0.5)
    x = torch.randn(T, D, generator=g).double()
    h_1 = gradient_flow.gru_step(x[0], torch.zeros(H).double(), p, z_keeps=True)
    z_2 = torch.sigmoid(p.W_z @ torch.cat([h_1, x[1]]) + 0.5)
    found = gradient_flow.gru_flow(4, (T, D, H), bias=0.5)[1]
    assert found == pytest.approx([z_2.max().item(), 1.0], rel=1e-12)


def test_a_residual_net_at_full_scale_explodes_and_at_one_over_the_depth_does_not():
    """The identity alone does not decide: (1 + 1/L)^L is bounded, 2^(L/2) is not."""
    flow = gradient_flow.layer_flow
    scaled, full = (flow(0, (51, 3, 5), kind="residual", branch_scale=b)[0]
                    for b in (None, 1.0))
    assert scaled < 10 and full > 1e4
