"""Attention by hand, against torch's layers, and the mistakes one makes with masks."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import attention as att

B, T, S, A, d = 2, 5, 7, 3, 11  # T queries, S keys
D = A * d
EXACT = [(torch.float32, 1e-6), (torch.float64, 1e-12)]
LENGTHS = [3, 5]


def close(mine, theirs, atol):
    """Within atol, measured against the largest entry where that is above 1."""
    scale = max(1.0, theirs.abs().max().item())
    torch.testing.assert_close(mine / scale, theirs / scale, rtol=0, atol=atol)


def qkv(dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    shapes = (B, T, d), (B, S, d), (B, S, D)
    return [torch.randn(s, generator=g, dtype=dtype) for s in shapes]


def test_two_keys_by_hand():
    """d = 4, q = (2, 0, 0, 0), k_1 = (ln 9, 0, 0, 0), k_2 = 0: scores ln 9, 0.

    q k_1 / sqrt 4 = 2 ln 9 / 2 = ln 9, so the weights are 9/10 and 1/10, and the mean of
    the values 10 and 20 is 11.
    """
    Q, K = torch.zeros(1, 4), torch.zeros(2, 4)
    Q[0, 0], K[0, 0] = 2.0, math.log(9)
    out, weights = att.attention(Q, K, torch.tensor([[10.0], [20.0]]))
    torch.testing.assert_close(weights, torch.tensor([[0.9, 0.1]]), rtol=0, atol=1e-6)
    torch.testing.assert_close(out, torch.tensor([[11.0]]), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype, atol", EXACT)
def test_equal_to_torch_function(dtype, atol):
    Q, K, V = qkv(dtype)
    mask = att.over_keys(att.real_positions([4, 7]))
    wanted = F.scaled_dot_product_attention(Q, K, V, attn_mask=mask)
    close(att.attention(Q, K, V, mask)[0], wanted, atol)


def test_weights_sum_to_one_and_hidden_keys_get_exactly_nothing():
    Q, K, V = qkv()
    mask = att.over_keys(att.real_positions([4, 7]))
    _, weights = att.attention(Q, K, V, mask)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, T).double(), rtol=0, atol=1e-14)
    assert (weights[0, :, 4:] == 0).all() and (weights[0, :, :4] > 0).all()


def test_what_is_hidden_changes_nothing():
    Q, K, V = qkv()
    mask = att.over_keys(att.real_positions([4, 7]))
    before, _ = att.attention(Q, K, V, mask)
    K[0, 4:], V[0, 4:] = 1e3, -1e3
    assert torch.equal(att.attention(Q, K, V, mask)[0], before)


def torch_twin(dtype, **options):
    torch.manual_seed(5)
    module = nn.MultiheadAttention(D, A, batch_first=True, dtype=dtype, **options)
    for bias in (module.in_proj_bias, module.out_proj.bias):
        nn.init.normal_(bias)  # torch starts them at zero, which would hide mistakes
    return module, att.multi_head_from_torch(module)


@pytest.mark.parametrize("dtype, atol", EXACT)
def test_multi_head_equals_torch_outputs_weights_gradients(dtype, atol):
    module, ours = torch_twin(dtype)
    x = torch.randn(B, T, D, dtype=dtype)
    real = att.real_positions(LENGTHS)
    v = torch.randn(B, T, D, dtype=dtype) * real[..., None]
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = ours(mine, mask=att.over_keys(real))
    wanted, weights = module(
        theirs, theirs, theirs, key_padding_mask=~real, average_attn_weights=False
    )
    close(out, wanted, atol)
    close(ours.weights(x, mask=att.over_keys(real)), weights, atol)
    (out * v).sum().backward()
    (wanted * v).sum().backward()
    close(mine.grad, theirs.grad, atol)
    layers = (ours.W_Q, ours.W_K, ours.W_V)
    close(torch.cat([w.weight.grad for w in layers]), module.in_proj_weight.grad, atol)
    close(torch.cat([w.bias.grad for w in layers]), module.in_proj_bias.grad, atol)
    close(ours.W_O.weight.grad, module.out_proj.weight.grad, atol)
    close(ours.W_O.bias.grad, module.out_proj.bias.grad, atol)


@pytest.mark.parametrize("dtype, atol", EXACT)
def test_looking_at_another_sequence_equals_torch(dtype, atol):
    module, ours = torch_twin(dtype)
    x, memory = torch.randn(B, T, D, dtype=dtype), torch.randn(B, S, D, dtype=dtype)
    close(ours(x, memory), module(x, memory, memory)[0], atol)


def test_forward_uses_the_weights_that_it_shows():
    """`forward` never builds the weights; they must be those of `weights` all the same."""
    _, ours = torch_twin(torch.float64)
    x = torch.randn(B, T, D).double()
    bias = torch.randn(A, T, T).double()
    for mask in (None, att.causal(T), att.over_keys(att.real_positions(LENGTHS))):
        weights = ours.weights(x, mask=mask, bias=bias)  # (B, A, T, T)
        _, _, V = ours.project(x, x)
        by_hand = ours.W_O((weights @ V).transpose(1, 2).flatten(2))
        close(ours(x, mask=mask, bias=bias), by_hand, 1e-12)


def test_a_bias_alone_equals_torch_float_mask():
    module, ours = torch_twin(torch.float64)
    x, bias = torch.randn(B, T, D).double(), torch.randn(T, T).double()
    close(ours(x, bias=bias), module(x, x, x, attn_mask=bias)[0], 1e-12)


def test_causal_mask_hides_the_future():
    _, ours = torch_twin(torch.float64)
    x = torch.randn(B, T, D).double()
    before = ours(x, mask=att.causal(T))
    x[:, 3:] += 1.0
    after = ours(x, mask=att.causal(T))
    close(after[:, :3], before[:, :3], 1e-12)
    assert (after[:, 3:] - before[:, 3:]).abs().max() > 1e-2


def test_causal_mask_equals_torch():
    module, ours = torch_twin(torch.float64)
    x = torch.randn(B, T, D).double()
    close(ours(x, mask=att.causal(T)), module(x, x, x, attn_mask=~att.causal(T))[0], 1e-12)


# ---- planted mistakes -------------------------------------------------------------------


def without_root(Q, K, V, mask=None):
    return att.weigh(Q @ K.transpose(-2, -1), mask) @ V


def root_of_model_size(Q, K, V, mask=None):
    return att.weigh(Q @ K.transpose(-2, -1) / math.sqrt(D), mask) @ V


def softmax_over_queries(Q, K, V, mask=None):
    s = att.scores(Q, K)
    return (s if mask is None else s.masked_fill(~mask, -math.inf)).softmax(-2) @ V


def zeros_instead_of_minus_infinity(Q, K, V, mask=None):
    return (att.scores(Q, K) * mask).softmax(-1) @ V


def mask_upside_down(Q, K, V, mask=None):
    return att.weigh(att.scores(Q, K), ~mask) @ V


MISTAKES = (
    without_root, root_of_model_size, softmax_over_queries,
    zeros_instead_of_minus_infinity, mask_upside_down,
)


@pytest.mark.parametrize("wrong", MISTAKES)
def test_planted_mistake_is_seen(wrong):
    Q, K, V = qkv()
    mask = att.over_keys(att.real_positions([4, 6], T=S))
    wanted = F.scaled_dot_product_attention(Q, K, V, attn_mask=mask)
    gap = (wrong(Q, K, V, mask) - wanted).abs().nan_to_num(torch.inf).max()
    assert gap > 1e-2


def test_a_transposed_mask_is_seen():
    """Hiding padded *queries* leaves padded keys visible."""
    Q, K, V = qkv()
    Q = Q[:, [0, 1, 2, 3, 4, 0, 1]]  # as many queries as keys, or it would not even run
    real = att.real_positions([4, 7])
    right, _ = att.attention(Q, K, V, real[:, None, :])
    wrong, _ = att.attention(Q, K, V, real[:, :, None])
    assert (right - wrong)[0, :4].abs().max() > 1e-2


def test_heads_cut_the_wrong_way_are_seen():
    module, ours = torch_twin(torch.float64)
    x = torch.randn(B, T, D).double()
    ours.heads = lambda x: x.reshape(*x.shape[:2], d, A).permute(0, 3, 1, 2)
    assert (ours(x) - module(x, x, x)[0]).abs().max() > 1e-2


# ---- the rest ---------------------------------------------------------------------------


def test_entropy():
    rows = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]])
    wanted = torch.tensor([math.log(4), 0.0, math.log(2)])
    torch.testing.assert_close(att.entropy(rows), wanted, rtol=0, atol=1e-6)


def test_a_query_without_any_key_is_loud():
    _, weights = att.attention(*qkv(), torch.zeros(T, S, dtype=torch.bool))
    assert weights.isnan().all()


def test_dropout_only_while_training():
    layer = att.MultiHead(D, A, dropout=0.5)
    x = torch.randn(B, T, D)
    assert (layer(x) - layer(x)).abs().max() > 0
    layer.eval()
    assert torch.equal(layer(x), layer(x))


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="multiple of 3 heads, got 10"):
        att.MultiHead(10, 3)
    with pytest.raises(ValueError, match="one size, got 2 and 3"):
        att.scores(torch.zeros(1, 2), torch.zeros(1, 3))
    with pytest.raises(TypeError, match="True = may look, got torch.float32"):
        att.weigh(torch.zeros(2, 2), torch.zeros(2, 2))
    with pytest.raises(TypeError, match="True = may look"):
        att.MultiHead(D, A)(torch.zeros(B, T, D), mask=torch.zeros(T, T))
    with pytest.raises(ValueError, match="from 1 on"):
        att.real_positions([2, 0])
    with pytest.raises(ValueError, match="at least 3"):
        att.real_positions([2, 3], T=2)
    with pytest.raises(TypeError, match="True on tokens, got torch.int64"):
        att.over_keys(torch.ones(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="shape"):
        att.draw_weights(None, torch.zeros(2, 3), ["a"], ["b", "c", "d"])
