"""Copies that are trained side by side, each against torch's module and optimiser."""

import pytest
import torch

from course_utils.replicas import (
    ReplicaAdam,
    ReplicaLayer,
    ReplicaModel,
    hidden_for,
    parameters_of,
)

S, B, T, D, H, K = 3, 5, 7, 2, 11, 4
TWINS = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}


def gen(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=gen(seed), dtype=torch.float64)


def twin_of(layer, s):
    """torch's module with the weights of copy s; the second bias is b_hn or zero."""
    module = TWINS[layer.cell](D, H, batch_first=True).double()
    with torch.no_grad():
        module.weight_ih_l0.copy_(layer.W_x[s])
        module.weight_hh_l0.copy_(layer.W_h[s])
        module.bias_ih_l0.copy_(layer.b[s, 0])
        module.bias_hh_l0.zero_()
        if layer.cell == "gru":
            module.bias_hh_l0[2 * H :] = layer.b_hn[s, 0]
    return module


@pytest.mark.parametrize("cell", TWINS)
def test_each_copy_equals_torch_forward_and_all_gradients(cell):
    layer = ReplicaLayer(cell, S, D, H, generator=gen()).double()
    with torch.no_grad():  # no zeros: the place of b_hn must show
        layer.b_hn += normal(S, 1, H, seed=3)
    x, v = normal(S, B, T, D, seed=1).requires_grad_(), normal(S, B, T, H, seed=2)
    h = layer(x)
    (h * v).sum().backward()
    for s in range(S):
        module, x_s = twin_of(layer, s), x[s].detach().requires_grad_()
        out, _ = module(x_s)
        (out * v[s]).sum().backward()
        pairs = [
            (h[s], out), (x.grad[s], x_s.grad), (layer.W_x.grad[s], module.weight_ih_l0.grad),
            (layer.W_h.grad[s], module.weight_hh_l0.grad),
            (layer.b.grad[s, 0], module.bias_ih_l0.grad),
        ]
        if cell == "gru":
            pairs.append((layer.b_hn.grad[s, 0], module.bias_hh_l0.grad[2 * H :]))
        for ours, theirs in pairs:
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_forget_bias_is_counted_once_copy_by_copy(cell):
    """Torch's second block: the LSTM's f, the GRU's z. Other blocks stay as drawn."""
    wanted = torch.tensor([0.0, 1.0, 3.0])
    start, biased = (
        ReplicaLayer(cell, S, D, H, generator=gen(), forget_bias=bias).b.detach()
        for bias in (0.0, wanted)
    )
    change = torch.zeros_like(start)
    change[..., H : 2 * H] = wanted.view(S, 1, 1)
    torch.testing.assert_close(biased - start, change)


def test_adam_equals_torch_s_with_a_rate_and_a_clip_for_each_copy():
    model = ReplicaModel("gru", S, (D, H, K), generator=gen())
    lr = torch.tensor([0.003, 0.01, 0.03])
    free = [p for p in model.parameters() if p.requires_grad]
    twins = [[p[s].detach().clone().requires_grad_() for p in free] for s in range(S)]
    ours = ReplicaAdam(model.parameters(), lr, clip=1.0)
    theirs = [torch.optim.Adam(t, lr=r.item()) for t, r in zip(twins, lr)]
    for k in range(3):
        for n, p in enumerate(free):  # copy 0 is far below the clip, copy 2 far above
            scale = torch.tensor([0.001, 0.1, 10.0]).view(-1, *[1] * (p.ndim - 1))
            p.grad = scale * torch.randn(p.shape, generator=gen(10 * k + n))
            for s in range(S):
                twins[s][n].grad = p.grad[s].clone()
        ours.step()
        for s in range(S):
            torch.nn.utils.clip_grad_norm_(twins[s], 1.0)
            theirs[s].step()
    for n, p in enumerate(free):
        for s in range(S):
            torch.testing.assert_close(p[s].detach(), twins[s][n].detach(), rtol=1e-4, atol=1e-6)


def test_copies_do_not_touch_each_other():
    model = ReplicaModel("lstm", S, (D, H, K), generator=gen())
    model(torch.randn(S, B, T, D, generator=gen(1)))[1].sum().backward()
    for p in model.parameters():
        if p.requires_grad:
            assert not p.grad[0].any() and not p.grad[2].any() and p.grad[1].any()


@pytest.mark.parametrize("cell", TWINS)
def test_parameters_are_those_that_are_learned(cell):
    model = ReplicaModel(cell, S, (D, H, K), generator=gen())
    learned = sum(p.numel() for p in model.parameters() if p.requires_grad) // S
    assert learned == parameters_of(cell, D, H, K)
    assert hidden_for(cell, D, learned, K) == H
    assert hidden_for(cell, D, learned - 1, K) == H - 1


def test_too_few_parameters_and_unknown_cells_are_refused():
    with pytest.raises(ValueError, match="too few for a lstm"):
        hidden_for("lstm", D, 3)
    with pytest.raises(ValueError, match="expected one of"):
        ReplicaLayer("elman", S, D, H, generator=gen())
