"""The encoder block against torch's, positions as rotations, and the usual mistakes."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from course_utils import attention as att
from course_utils import transformer as tr
from teaching import taught
from test_attention import close

B, T, A, d, D_FF = 2, 5, 3, 7, 11
D, EVEN = 22, 2 * A * d  # both even, for the sinusoids
REAL = att.real_positions([3, 5])
EXACT = [(torch.float32, 1e-6), (torch.float64, 1e-12)]
CASES = list(itertools.product((False, True), (F.gelu, F.relu), EXACT))


def twins(dtype, *, pre_norm=False, f=F.gelu):
    """torch's layer, no weight left at 0 or 1, and ours with its weights."""
    torch.manual_seed(1)
    layer = nn.TransformerEncoderLayer(
        EVEN, A, D_FF, dropout=0.0, activation=f, batch_first=True, norm_first=pre_norm,
        dtype=dtype,
    )
    with torch.no_grad():
        for name, p in layer.named_parameters():
            if "bias" in name or "norm" in name:
                p += 0.3 * torch.randn_like(p)
    return layer, tr.block_from_torch(layer)


def gradients(module):
    return {name: p.grad for name, p in module.named_parameters()}


@pytest.mark.parametrize("pre_norm, f, exact", CASES)
def test_block_equals_torch_outputs_and_gradients(pre_norm, f, exact):
    dtype, atol = exact
    layer, ours = twins(dtype, pre_norm=pre_norm, f=f)
    x = torch.randn(B, T, EVEN, dtype=dtype)
    v = torch.randn(B, T, EVEN, dtype=dtype) * REAL[..., None]
    mine, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = ours(mine, att.over_keys(REAL))
    wanted = layer(theirs, src_key_padding_mask=~REAL)
    close(out[REAL], wanted[REAL], atol)
    (out * v).sum().backward()
    (wanted * v).sum().backward()
    close(mine.grad, theirs.grad, atol)
    g, h = gradients(ours), gradients(layer)
    stacked = [torch.cat([g[f"attend.W_{w}.{kind}"] for w in "QKV"]) for kind in
               ("weight", "bias")]
    close(stacked[0], h["self_attn.in_proj_weight"], atol)
    close(stacked[1], h["self_attn.in_proj_bias"], atol)
    names = {"attend.W_O": "self_attn.out_proj", "W_1": "linear1", "W_2": "linear2",
             "norm_1": "norm1", "norm_2": "norm2"}
    for one, other in names.items():
        for kind in ("weight", "bias"):
            close(g[f"{one}.{kind}"], h[f"{other}.{kind}"], atol)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_stack_equals_torch(pre_norm):
    layers = [twins(torch.float64, pre_norm=pre_norm)[0] for _ in range(3)]
    last = nn.LayerNorm(EVEN, dtype=torch.float64) if pre_norm else None
    theirs = nn.TransformerEncoder(layers[0], 3, norm=last, enable_nested_tensor=False)
    ours = tr.Encoder(3, EVEN, A, D_FF, pre_norm=pre_norm).double()
    for i, layer in enumerate(theirs.layers):
        with torch.no_grad():
            layer.linear1.weight += 0.1 * (i + 1)  # three different layers
        ours.blocks[i] = tr.block_from_torch(layer)
    x = torch.randn(B, T, EVEN).double()
    wanted = theirs(x, src_key_padding_mask=~REAL)
    close(ours(x, att.over_keys(REAL))[REAL], wanted[REAL], 1e-12)
    states = list(ours.states(x, att.over_keys(REAL)))
    assert len(states) == 4 and torch.equal(states[0], x)
    close(ours.last(states[-1]), ours(x, att.over_keys(REAL)), 1e-12)


# ---- planted mistakes -------------------------------------------------------------------


def test_post_norm_called_pre_norm_is_seen():
    """The output of a post-norm block is normalised; that of a pre-norm block is not."""
    x = 3 + torch.randn(B, T, EVEN).double()
    plain = dict(n_heads=A, D_ff=D_FF)
    after = tr.EncoderBlock(EVEN, **plain, pre_norm=False).double()(x)
    before = tr.EncoderBlock(EVEN, **plain, pre_norm=True).double()(x)
    nothing = torch.zeros(B, T).double()
    close(after.mean(-1), nothing, 1e-12)
    close(after.var(-1, correction=0), nothing + 1, 1e-3)  # eps = 1e-5
    assert before.mean(-1).min() > 1


def norm_of_the_sublayer(block, x, mask):
    """x + N(S(x)): the norm inside the branch."""
    z = x + block.norm_1(block.attend(x, mask=mask))
    return z + block.norm_2(block.feed(z))


def no_residual(block, x, mask):
    z = block.norm_1(block.attend(x, mask=mask))
    return block.norm_2(block.feed(z))


def residual_from_the_normalised(block, x, mask):
    """The path x -> y goes through N: a common slip in pre-norm code."""
    x = block.norm_1(x)
    z = x + block.attend(x, mask=mask)
    z = block.norm_2(z)
    return z + block.feed(z)


def norms_exchanged(block, x, mask):
    z = block.norm_2(x + block.attend(x, mask=mask))
    return block.norm_1(z + block.feed(z))


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize(
    "wrong",
    [norm_of_the_sublayer, no_residual, residual_from_the_normalised, norms_exchanged],
)
def test_planted_mistake_is_seen(wrong, pre_norm):
    layer, ours = twins(torch.float64, pre_norm=pre_norm)
    x, mask = torch.randn(B, T, EVEN).double(), att.over_keys(REAL)
    wanted = layer(x, src_key_padding_mask=~REAL)
    assert (wrong(ours, x, mask) - wanted)[REAL].abs().max() > 1e-2


def test_layer_norm_equals_torch_and_the_variance_is_not_the_unbiased_one():
    x = torch.randn(B, T, D).double()
    gain, shift = torch.randn(2, D).double()
    wanted = F.layer_norm(x, (D,), gain, shift, eps=1e-5)
    close(tr.layer_norm(x, gain, shift), wanted, 1e-12)
    unbiased = gain * (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True) + shift
    assert (unbiased - wanted).abs().max() > 1e-2


# ---- positions --------------------------------------------------------------------------


def test_sinusoids_by_hand():
    """D = 4: frequencies 1 and 1/100; at t = 3: sin 3, cos 3, sin 0.03, cos 0.03."""
    wanted = torch.tensor([0.1411200081, -0.9899924966, 0.0299955002, 0.9995500337])
    close(tr.sinusoids(5, 4)[3], wanted, 1e-7)


@pytest.mark.parametrize("k", [-3, 0, 1, 7])
def test_a_shift_is_a_rotation(k):
    P, R = tr.sinusoids(30, D, dtype=torch.float64), tr.rotation(k, D)
    close(P[10:20] @ R.T, P[10 + k : 20 + k], 1e-12)
    close(R @ R.T, torch.eye(D).double(), 1e-12)
    close(torch.linalg.det(R), torch.tensor(1.0).double(), 1e-12)


def test_the_transposed_rotation_goes_backwards():
    P, R = tr.sinusoids(30, D, dtype=torch.float64), tr.rotation(2, D)
    close(P[10:20] @ R, P[8:18], 1e-12)
    assert (P[10:20] @ R - P[12:22]).abs().max() > 1e-2


@pytest.mark.parametrize("pre_norm", [False, True])
def test_without_positions_a_permutation_passes_through(pre_norm):
    encoder = tr.Encoder(2, D, 2, D_FF, pre_norm=pre_norm).double()
    x, order = torch.randn(B, T, D).double(), torch.tensor([3, 0, 4, 1, 2])
    close(encoder(x[:, order]), encoder(x)[:, order], 1e-12)
    P = tr.sinusoids(T, D, dtype=torch.float64)
    assert (encoder(x[:, order] + P) - encoder(x + P)[:, order]).abs().max() > 1e-2


def test_padding_and_companions_do_not_matter():
    encoder = tr.Encoder(2, D, 2, D_FF).double()
    x = torch.randn(B, T, D).double()
    both = encoder(x, att.over_keys(REAL))
    close(both[0, :3], encoder(x[:1, :3])[0], 1e-12)
    x[0, 3:] = 1e3
    assert torch.equal(encoder(x, att.over_keys(REAL))[0, :3], both[0, :3])


def test_odd_sizes_are_refused():
    with pytest.raises(ValueError, match="even number, got 5"):
        tr.sinusoids(3, 5)


def test_one_token():
    block = tr.EncoderBlock(D, 2, D_FF).double()
    x = torch.randn(1, 1, D).double()
    assert block(x).shape == (1, 1, D) and block(x).isfinite().all()


# ---- the cells of the chapter -----------------------------------------------------------


def test_taught_cells_equal_the_library():
    attention, multi_head, post_norm, pre_norm, layer_norm, sinusoids, rotation = taught(
        "05b_transformer", "attention", "multi_head", "post_norm", "pre_norm",
        "layer_norm", "sinusoids", "rotation",
    )
    Q, K, V = (torch.randn(B, n, d).double() for n in (3, T, T))
    mask = att.over_keys(REAL)
    for mine, library in zip(attention(Q, K, V, mask), att.attention(Q, K, V, mask)):
        close(mine, library, 1e-14)
    x = torch.randn(B, T, EVEN).double()
    for norm in (post_norm, pre_norm):
        block = twins(torch.float64, pre_norm=norm is pre_norm)[1]
        wanted = block(x, mask)
        got = norm(x, lambda u: multi_head(u, block.attend, mask), block.feed,
                   block.norm_1, block.norm_2)
        close(got, wanted, 1e-12)
    gain, shift = torch.randn(2, EVEN).double()
    close(layer_norm(x, gain, shift), tr.layer_norm(x, gain, shift), 1e-14)
    close(sinusoids(7, D, dtype=torch.float64), tr.sinusoids(7, D, dtype=torch.float64), 1e-14)
    close(rotation(3, D), tr.rotation(3, D), 1e-14)
