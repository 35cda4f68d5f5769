"""BERT with the real weights: equal to an independent implementation on ragged batches."""

import json
import os

import pytest
import torch

from course_utils import attention as att
from course_utils import bert as bt
from course_utils import data
from test_attention import close

TINY = bt.BertConfig(n_vocab=23, L=2, D=6, n_heads=3, D_ff=11, max_length=7, dropout=0.0)
ROWS = [[5, 7, 11], [13, 2, 3, 17, 19], [1]]


@pytest.fixture(scope="module")
def published():
    """The real files, fetched once; skipped where they are out of reach."""
    try:
        return data.minilm_files()
    except data.DataError as error:
        pytest.skip(f"minilm is out of reach: {error.got}")


def tiny(seed=0):
    return bt.Bert(TINY).initialise(torch.Generator().manual_seed(seed)).eval()


def reference(config, state=None):
    """transformers' BertModel, built from a configuration: nothing is fetched."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    said = transformers.BertConfig(
        vocab_size=config.n_vocab, num_hidden_layers=config.L, hidden_size=config.D,
        num_attention_heads=config.n_heads, intermediate_size=config.D_ff,
        max_position_embeddings=config.max_length, type_vocab_size=2,
        hidden_act="gelu", layer_norm_eps=1e-12, attn_implementation="eager",
        hidden_dropout_prob=0.1, attention_probs_dropout_prob=0.1,
    )
    model = transformers.BertModel(said, add_pooling_layer=False).eval()
    if state is not None:
        model.load_state_dict({
            name: tensor for name, tensor in state.items()
            if not name.startswith(bt.NOT_OURS)
        })
    return model


def test_real_weights_equal_the_reference_on_ragged_batches(published):
    """Row T27: the last states of six layers, 1e-5 absolute, three batches."""
    from safetensors.torch import load_file

    theirs = reference(bt.BertConfig(), load_file(published["model.safetensors"]))
    ours = bt.Bert.minilm()
    g = torch.Generator().manual_seed(7)
    for lengths in ([1, 2, 17], [40, 3], [13]):
        rows = [torch.randint(1000, 30_522, (n,), generator=g).tolist() for n in lengths]
        ids, real = bt.batch(rows)
        segments = torch.randint(2, ids.shape, generator=g)
        with torch.no_grad():
            mine = ours(ids, segments, real=real)
            wanted = theirs(
                input_ids=ids, attention_mask=real.long(), token_type_ids=segments,
            ).last_hidden_state
        assert (mine - wanted)[real].abs().max() < 1e-5


def test_attention_maps_equal_the_reference(published):
    from safetensors.torch import load_file

    theirs = reference(bt.BertConfig(), load_file(published["model.safetensors"]))
    ids, real = bt.batch([[101, 2023, 2003, 102], [101, 7592, 2088, 999, 2017, 102]])
    with torch.no_grad():
        mine = bt.Bert.minilm().maps(ids, real=real)  # (L, B, A, T, T)
        wanted = torch.stack(theirs(
            input_ids=ids, attention_mask=real.long(), output_attentions=True
        ).attentions)
    queries = real[None, :, None, :, None].expand_as(mine)
    assert (mine - wanted)[queries].abs().max() < 1e-5
    assert (mine[:, 0, :, :, 4:] == 0).all()


def test_gradients_equal_the_reference():
    """Our random weights, renamed, in float64: every gradient to 1e-12."""
    ours = bt.Bert(TINY).initialise(torch.Generator().manual_seed(3)).double()
    theirs = reference(TINY).double()
    names = {**bt.OUTSIDE, **{
        f"encoder.blocks.{layer}.{one}": f"encoder.layer.{layer}.{other}"
        for layer in range(TINY.L) for one, other in bt.INSIDE.items()
    }}
    parameters = dict(theirs.named_parameters())
    pairs = []
    for name, p in ours.named_parameters():
        part, _, kind = name.rpartition(".")
        pairs.append((p, parameters[f"{names[part]}.{kind}"]))
        with torch.no_grad():
            pairs[-1][1].copy_(p)
    ids, real = bt.batch(ROWS)
    v = torch.randn(*ids.shape, TINY.D).double() * real[..., None]
    (ours.eval()(ids, real=real) * v).sum().backward()
    out = theirs(input_ids=ids, attention_mask=real.long()).last_hidden_state
    (out * v).sum().backward()
    for p, q in pairs:
        close(p.grad, q.grad, 1e-12)


def test_size_of_minilm(published):
    """Counted by hand: tables, six layers, the norm of the input; no pooler."""
    D, F = 384, 1536
    layer = 4 * (D * D + D) + (D * F + F) + (F * D + D) + 2 * 2 * D
    wanted = (30_522 + 512 + 2) * D + 2 * D + 6 * layer
    ours = bt.Bert.minilm()
    assert sum(p.numel() for p in ours.parameters()) == wanted == 22_565_376
    assert json.loads(published["config.json"].read_text())["model_type"] == "bert"
    assert not ours.training


def test_input_is_the_sum_of_three_rows_normalised():
    model = tiny()
    ids, segments = torch.tensor([[4, 9]]), torch.tensor([[0, 1]])
    by_hand = torch.stack([
        model.token.weight[4] + model.segment.weight[0] + model.position.weight[0],
        model.token.weight[9] + model.segment.weight[1] + model.position.weight[1],
    ])
    close(model.embed(ids, segments)[0], model.norm(by_hand), 1e-7)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_batch_mates_and_padding_do_not_matter(pre_norm):
    config = bt.BertConfig(**{**TINY.__dict__, "pre_norm": pre_norm})
    model = bt.Bert(config).initialise(torch.Generator().manual_seed(0)).double().eval()
    ids, real = bt.batch(ROWS)
    together = model(ids, real=real)
    for row, h in zip(ROWS, together):
        close(h[: len(row)], model(torch.tensor([row]))[0], 1e-12)


def test_padding_that_is_looked_at_is_seen():
    """Planted mistake: no mask."""
    model = tiny().double()
    ids, real = bt.batch(ROWS)
    gap = (model(ids) - model(ids, real=real))[0, :3].abs().max()
    assert gap > 1e-3


def test_maps_are_those_of_the_forward_pass():
    model = tiny().double()
    ids, real = bt.batch(ROWS)
    maps = model.maps(ids, real=real)
    close(maps.sum(-1), torch.ones(maps.shape[:-1]).double(), 1e-12)
    x, block = model.embed(ids), model.encoder.blocks[0]
    V = block.attend.heads(block.attend.W_V(x))
    z = block.attend.W_O((maps[0] @ V).transpose(1, 2).flatten(2))
    close(block.attend(x, mask=att.over_keys(real)), z, 1e-12)


def test_average_counts_real_tokens_only():
    h = torch.tensor([[[1.0], [3.0], [50.0]]])
    real = torch.tensor([[True, True, False]])
    assert bt.average(h, real).tolist() == [[2.0]]


def test_bare_start():
    model = bt.Bert(bt.BertConfig(n_vocab=997, L=1, D=60, n_heads=3, D_ff=120))
    model.initialise(torch.Generator().manual_seed(1))
    assert abs(model.token.weight.std().item() - 0.02) < 5e-4
    assert (model.encoder.blocks[0].W_1.bias == 0).all()
    again = bt.Bert(model.config).initialise(torch.Generator().manual_seed(1))
    assert torch.equal(again.token.weight, model.token.weight)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="at most 7 tokens, got 8"):
        tiny()(torch.zeros(1, 8, dtype=torch.long))
    with pytest.raises(ValueError, match="from 1 on"):
        bt.batch([[1], []])
    with pytest.raises(KeyError, match="another one"):
        bt.renamed({"decoder.weight": torch.zeros(1)}, 1)
