"""A stack of networks equals its members, one by one, in torch.nn."""

import pytest
import torch

from course_utils import seeds
from course_utils.runtime import generator

S, B, T, D, H, K = 3, 5, 7, 2, 11, 4
TWINS = {
    "tanh": lambda: torch.nn.RNN(D, H, batch_first=True),
    "relu": lambda: torch.nn.RNN(D, H, nonlinearity="relu", batch_first=True),
    "lstm": lambda: torch.nn.LSTM(D, H, batch_first=True),
    "gru": lambda: torch.nn.GRU(D, H, batch_first=True),
}


def stack(cell):
    p = seeds.draw(cell, D, H, K, seeds=[0, 1, 5], dtype=torch.float64)
    g = generator(2)
    for name, value in p.items():  # no zeros, no identity
        p[name] = value + 0.1 * torch.randn(value.shape, generator=g, dtype=value.dtype)
    x = torch.randn(S, B, T, D, generator=g, dtype=torch.float64)
    return {n: v.requires_grad_() for n, v in p.items()}, x


@pytest.mark.parametrize("cell", TWINS)
def test_forward_and_gradients_equal_torch_seed_by_seed(cell):
    p, x = stack(cell)
    out = torch.stack(seeds.states(cell, p, x), 2)  # (S, B, T, H)
    weights = torch.randn(out.shape, generator=generator(3), dtype=out.dtype)
    (out * weights).sum().backward()
    for s in range(S):
        net = TWINS[cell]().double()
        with torch.no_grad():
            net.weight_ih_l0.copy_(p["U"][s])
            net.weight_hh_l0.copy_(p["W"][s])
            net.bias_ih_l0.copy_(p["b_h"][s])
            net.bias_hh_l0.zero_()
            if cell == "gru":
                net.bias_hh_l0[2 * H :] = p["b_n"][s]
        twin, _ = net(x[s])
        torch.testing.assert_close(out[s], twin, rtol=1e-12, atol=1e-13)
        (twin * weights[s]).sum().backward()
        for ours, theirs in (("U", "weight_ih_l0"), ("W", "weight_hh_l0")):
            torch.testing.assert_close(
                p[ours].grad[s], getattr(net, theirs).grad, rtol=1e-10, atol=1e-12
            )


@pytest.mark.parametrize("cell", TWINS)
def test_a_seed_is_the_same_alone_and_in_company(cell):
    alone = seeds.draw(cell, D, H, K, seeds=[5])
    company = seeds.draw(cell, D, H, K, seeds=[0, 5])
    for name, value in alone.items():
        assert torch.equal(value[0], company[name][1])


def test_recurrent_mask_multiplies_the_state_before_the_product():
    """keep = 0 cuts the past: every state is f(U x_t + b) alone."""
    p, x = stack("tanh")
    keep = torch.zeros(1, S, B, H, dtype=torch.float64)
    for t, h_t in enumerate(seeds.states("tanh", p, x, keep=keep)):
        alone = torch.tanh(x[:, :, t] @ p["U"].mT + p["b_h"][:, None])
        torch.testing.assert_close(h_t, alone)


def test_clip_is_seed_by_seed_and_over_all_tensors_of_a_seed():
    """Seed 0: (3, 4) has norm 5; seed 1: (0.3, 0.4) stays; seed 2 is not finite."""
    gradients = [torch.tensor([[3.0], [0.3], [1.0]]), torch.tensor([[4.0], [0.4], [torch.inf]])]
    norms = seeds.clip(gradients, 1.0)
    assert norms[:2].tolist() == pytest.approx([5.0, 0.5])
    assert gradients[0].flatten().tolist() == pytest.approx([0.6, 0.3, 0.0])
    assert gradients[1].flatten().tolist() == pytest.approx([0.8, 0.4, 0.0])


def test_flatten_round_trip_and_unknown_cell():
    p = seeds.draw("gru", D, H, K, seeds=range(2))
    back = seeds.unflatten(seeds.flatten(p), p)
    assert all(torch.equal(back[n], p[n]) for n in p)
    with pytest.raises(ValueError, match="expected one of"):
        seeds.draw("elman", D, H, K, seeds=[0])


def test_identity_start_of_the_relu_network():
    """Without input the state stays: h_t = relu(I h_{t-1}) = h_{t-1} for h >= 0."""
    p = seeds.draw("relu", D, H, K, seeds=[3])
    assert torch.equal(p["W"][0], torch.eye(H)) and not p["b_h"].any()


def test_forget_bias_of_one_is_added_once():
    """Planted mistake: 1 in each of two biases. Here only their sum exists: uniform + 1."""
    H, b = 13, seeds.draw("lstm", 3, 13, 2, seeds=range(5))["b_h"]  # (S, 4H), i, f, g, o
    forget, rest = b[:, H : 2 * H], torch.cat([b[:, :H], b[:, 2 * H :]], 1)
    assert (forget - 1).abs().max() <= H**-0.5 and rest.abs().max() <= H**-0.5
