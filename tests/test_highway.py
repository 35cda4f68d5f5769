"""Highway, plain and residual layers, and the replicas that train them."""

import pytest
import torch

from course_utils import replicas
from course_utils.highway import DeepReplicas, highway, plain, residual
from course_utils.replicas import (
    ReplicaAdam, ReplicaEmbedding, ReplicaLayer, ReplicaLinear,
)

S, B, T, D, H = 2, 3, 5, 7, 11


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=gen(seed), dtype=torch.float64)


def weights():
    return (normal(D, D), normal(1, D, seed=1), normal(D, D, seed=2),
            normal(1, D, seed=3))


def test_highway_by_hand():
    """x = 2; H = ReLU(3 * 2 - 1) = 5; g = sigma(0 * 2 + ln 3) = 3/4;
    y = 3/4 * 5 + 1/4 * 2 = 4.25. Plain gives 5, residual 7."""
    x, W, b = (torch.full((1, 1), v).double() for v in (2.0, 3.0, -1.0))
    zero, log3 = torch.zeros(1, 1).double(), torch.full((1, 1), 3.0).double().log()
    assert highway(x, W, b, zero, log3).item() == pytest.approx(4.25, abs=1e-12)
    assert plain(x, W, b).item() == 5.0
    assert residual(x, W, b).item() == 7.0


def test_the_two_limits_of_the_gate():
    x = normal(B, D, seed=4)
    W_H, b_H, W_T, b_T = weights()
    closed = highway(x, W_H, b_H, W_T, b_T - 1e3)
    opened = highway(x, W_H, b_H, W_T, b_T + 1e3)
    torch.testing.assert_close(closed, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(opened, plain(x, W_H, b_H), rtol=0, atol=1e-12)


def test_highway_gate_the_right_way_round():
    """The planted swap (1 - g) H + g x is far off."""
    x = normal(B, D, seed=4)
    W_H, b_H, W_T, b_T = weights()
    g = torch.sigmoid(x @ W_T.T + b_T)
    right = g * plain(x, W_H, b_H) + (1 - g) * x
    swapped = (1 - g) * plain(x, W_H, b_H) + g * x
    y = highway(x, W_H, b_H, W_T, b_T)
    torch.testing.assert_close(y, right, rtol=0, atol=1e-12)
    assert (y - swapped).abs().max() > 0.1


def test_highway_gradcheck():
    inputs = [v.requires_grad_() for v in (normal(B, D, seed=4), *weights())]
    assert torch.autograd.gradcheck(highway, inputs)


@pytest.mark.parametrize("kind", ["plain", "highway", "residual"])
def test_deep_net_is_its_layers(kind):
    net = DeepReplicas(kind, 3, (5, D, 2), S, generator=gen()).double()
    x = normal(S, B, 5)
    one = 1  # the second copy, computed alone
    state = x[one] @ net.first.V[one].T + net.first.b_y[one]
    for k in range(3):
        W_H, b_H = net.W_H[one, k], net.b_H[one, k]
        if kind == "highway":
            state = highway(state, W_H, b_H, net.W_T[one, k], net.b_T[one, k])
        else:
            state = {"plain": plain, "residual": residual}[kind](state, W_H, b_H)
    y = state @ net.last.V[one].T + net.last.b_y[one]
    torch.testing.assert_close(net(x)[one], y, rtol=0, atol=1e-12)
    assert len(net.hidden(x)) == 4


def test_default_gate_carries_the_same_share_at_every_depth():
    """b_T = -ln(L - 1) gives g = 1/L: sigma(-ln(L-1)) = 1 / (1 + L - 1)."""
    for depth in (10, 50):
        net = DeepReplicas("highway", depth, (5, D, 2), S, generator=gen())
        g = torch.sigmoid(net.b_T[0])
        torch.testing.assert_close(g, torch.full_like(g, 1 / depth))


def test_unknown_kind():
    with pytest.raises(ValueError, match="expected one of.*got 'dense'"):
        DeepReplicas("dense", 2, (2, 3, 5), 1, generator=gen())


# ---------------------------------------------------------------- replicas

MODULES = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def twin(layer, s, cell):
    """The torch module with the weights of copy s."""
    module = MODULES[cell](D, H, batch_first=True).double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(layer.W_x[s])
        module.weight_hh_l0.copy_(layer.W_h[s])
        module.bias_ih_l0.copy_(layer.b[s, 0])
        module.bias_hh_l0.zero_()
        if cell == "gru":
            module.bias_hh_l0[2 * H :] = layer.b_hn[s, 0]
    return module


@pytest.mark.parametrize("cell", MODULES)
def test_each_copy_equals_torch_forward_and_gradients(cell):
    layer = ReplicaLayer(cell, S, D, H, generator=gen()).double()
    with torch.no_grad():
        layer.b_hn.copy_(normal(S, 1, H, seed=8))
    x = normal(S, B, T, D, seed=1)
    h = layer(x)
    (h * normal(S, B, T, H, seed=2)).sum().backward()
    for s in range(S):
        module = twin(layer, s, cell)
        out, _ = module(x[s])
        torch.testing.assert_close(h[s], out, rtol=0, atol=1e-12)
        (out * normal(S, B, T, H, seed=2)[s]).sum().backward()
        for mine, its in ((layer.W_x, "weight_ih_l0"), (layer.W_h, "weight_hh_l0"),
                          (layer.b, "bias_ih_l0")):
            expected = getattr(module, its).grad
            torch.testing.assert_close(
                mine.grad[s].view_as(expected), expected, rtol=0, atol=1e-11)
        if cell == "gru":
            torch.testing.assert_close(
                layer.b_hn.grad[s, 0], module.bias_hh_l0.grad[2 * H :], rtol=0,
                atol=1e-11)


@pytest.mark.parametrize("cell", MODULES)
def test_parameter_count(cell):
    layer = ReplicaLayer(cell, 1, D, H, generator=gen())
    n = sum(p.numel() for p in layer.parameters() if p.requires_grad)
    assert n == replicas.parameters_of(cell, D, H)
    assert replicas.hidden_for(cell, D, n) == H
    assert replicas.hidden_for(cell, D, n - 1) == H - 1


def test_copies_do_not_touch_each_other():
    layer = ReplicaLayer("lstm", S, D, H, generator=gen()).double()
    layer(normal(S, B, T, D))[0].sum().backward()
    assert layer.W_h.grad[0].abs().max() > 0
    assert layer.W_h.grad[1].abs().max() == 0


def test_recurrent_blocks_start_orthogonal_and_the_gate_open():
    layer = ReplicaLayer("gru", S, D, H, generator=gen(), forget_bias=3.0).double()
    block = layer.W_h[1, 2 * H :]
    torch.testing.assert_close(block @ block.T, torch.eye(H).double(), rtol=0, atol=1e-5)
    assert layer.b[..., H : 2 * H].min() > 3 - 1 / H**0.5 - 1e-6
    assert layer.b[..., :H].max() < 1


def test_adam_equals_torch_copy_by_copy_with_its_own_rate_and_clip():
    start = normal(S, H, D)
    p, lr = torch.nn.Parameter(start.clone()), torch.tensor([0.1, 0.003]).double()
    ours = ReplicaAdam([p], lr, clip=1.0)
    singles = [torch.nn.Parameter(start[s].clone()) for s in range(S)]
    theirs = [torch.optim.Adam([q], lr=lr[s].item()) for s, q in enumerate(singles)]
    target = normal(H, D, seed=5)
    for _ in range(7):
        ((p - target) ** 2).sum().backward()
        ours.step()
        for q, optimiser in zip(singles, theirs):
            optimiser.zero_grad()
            ((q - target) ** 2).sum().backward()
            torch.nn.utils.clip_grad_norm_([q], 1.0)
            optimiser.step()
    for s in range(S):
        torch.testing.assert_close(p[s], singles[s], rtol=0, atol=1e-6)


def test_embedding_and_linear_use_the_copy_s_own_table():
    table = ReplicaEmbedding(S, 13, D, generator=gen())
    ids = torch.randint(13, (S, B, T), generator=gen())
    for s in range(S):
        assert torch.equal(table(ids)[s], table.E[s][ids[s]])
    linear = ReplicaLinear(S, D, H, generator=gen()).double()
    x = normal(S, B, T, D)
    expected = x[1] @ linear.V[1].T + linear.b_y[1]
    torch.testing.assert_close(linear(x)[1], expected, rtol=0, atol=1e-12)


def test_unknown_cell_and_too_few_parameters():
    with pytest.raises(ValueError, match="expected one of.*got 'elman'"):
        ReplicaLayer("elman", 1, 2, 3, generator=gen())
    with pytest.raises(ValueError, match="too few"):
        replicas.hidden_for("lstm", 5, 3)


@pytest.mark.parametrize("name", ["plain", "highway", "residual"])
def test_taught_layers_are_the_library_s(name):
    from teaching import taught

    mine = taught("08c_highway", "plain", name)[1]
    its = {"plain": plain, "highway": highway, "residual": residual}[name]
    arguments = weights() if name == "highway" else weights()[:2]
    x = normal(B, D, seed=4)
    torch.testing.assert_close(mine(x, *arguments), its(x, *arguments), rtol=0,
                               atol=1e-12)
