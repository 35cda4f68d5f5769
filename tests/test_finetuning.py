"""Fine-tuning: the cut changes nothing, stored states are those of one text alone."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from course_utils import bert as bt
from course_utils import finetuning as ft
from course_utils.wordpiece import SPECIALS, WordPiece

TINY = bt.BertConfig(n_vocab=13, L=3, D=6, n_heads=3, D_ff=11, max_length=9, dropout=0.1)
TOKENIZER = WordPiece((*SPECIALS, *"abcdefgh"))
TEXTS = ["a b c", "d", "e f g h a b c d e f", "b a", "a b c", "h g"]
CUT_TO = {"max_length": 7}


def tiny():
    model = bt.Bert(TINY).initialise(torch.Generator().manual_seed(0))
    for p in model.parameters():  # the start of 0.02 leaves nothing to see
        p.data *= 10 if p.ndim > 1 else 1
    return model.eval()


@pytest.mark.parametrize("cut", [0, 1, 3])
def test_stored_states_are_those_of_each_text_alone(cut):
    model = tiny()
    kept = ft.store(model, TOKENIZER, TEXTS, cut=cut, longest=7, size=2)
    h, real = kept.take(TEXTS)
    for i, text in enumerate(TEXTS):
        ids = torch.tensor([TOKENIZER.encode(text, max_length=7).ids])
        with torch.no_grad():
            states = list(model.encoder.states(model.embed(ids)))
        n = ids.shape[1]
        assert real[i].sum() == n and (h[i, n:] == 0).all()
        assert (h[i, :n] - states[cut][0]).abs().max() < 1e-5
        for layer in range(4):
            found = kept.features([text], layer)[0]
            assert np.abs(found - states[layer][0].mean(0).numpy()).max() < 1e-5
    assert len(kept.starts) == 6  # the repeated text is kept once


@pytest.mark.parametrize("cut", [0, 2])
def test_upper_part_is_the_whole_model_with_its_gradients(cut):
    model = tiny()
    kept = ft.store(model, TOKENIZER, TEXTS, cut=cut, means=False, longest=7)
    tuned = ft.Tuned(model, cut, 3).eval()
    torch.nn.init.normal_(tuned.top.weight, generator=torch.Generator().manual_seed(1))
    ids, real = bt.batch([TOKENIZER.encode(t, **CUT_TO).ids for t in TEXTS])
    whole = tuned.top(bt.average(model(ids, real=real), real))
    ours, y = tuned(*kept.take(TEXTS)), torch.tensor([0, 1, 2, 2, 1, 0])
    assert (ours - whole).abs().max() < 1e-5
    g = torch.autograd.grad(F.cross_entropy(ours, y), list(tuned.blocks.parameters()))
    wanted = list(model.encoder.blocks[cut:].parameters())
    for a, b in zip(g, torch.autograd.grad(F.cross_entropy(whole, y), wanted)):
        assert (a - b).abs().max() < 1e-5


def test_tuning_leaves_the_encoder_given_as_it_is_and_learns():
    model = tiny()
    before = [p.clone() for p in model.parameters()]
    texts = [w + " " + v for w in "abcdefgh" for v in "abcdefgh"]
    kept = ft.store(model, TOKENIZER, texts, cut=1, means=False)
    rows, y = torch.arange(64), torch.arange(64) // 32
    plan = ft.Plan(rate=3e-3, top_rate=1e-2, batch=8, epochs=30)
    tuned = ft.fine_tune(model, kept, rows, y, plan, cut=1, n_classes=2, seed=0)
    assert (ft.predict(tuned, kept, rows) == y.numpy()).mean() > 0.9
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before))
    again = ft.fine_tune(model, kept, rows, y, plan, cut=1, n_classes=2, seed=0)
    assert torch.equal(again.top.weight, tuned.top.weight)


def test_predictions_come_back_in_the_order_asked():
    model = tiny()
    kept = ft.store(model, TOKENIZER, TEXTS, cut=1, means=False, longest=7)
    tuned = ft.Tuned(model, 1, 5).eval()
    torch.nn.init.normal_(tuned.top.weight, generator=torch.Generator().manual_seed(1))
    rows = torch.tensor([4, 0, 2, 2, 1, 3])
    alone = [ft.predict(tuned, kept, rows[i : i + 1])[0] for i in range(6)]
    assert ft.predict(tuned, kept, rows, size=2).tolist() == alone


def test_batches_hold_every_text_once_and_little_padding():
    lengths = torch.randint(1, 40, (101,), generator=torch.Generator().manual_seed(0))
    parts = ft.by_length(lengths, 8, torch.Generator().manual_seed(1))
    assert sorted(torch.cat(parts).tolist()) == list(range(101))
    assert max((lengths[m].max() - lengths[m].min()).item() for m in parts) <= 8
    other = ft.by_length(lengths, 8, torch.Generator().manual_seed(2))
    assert {tuple(sorted(m.tolist())) for m in parts} != {
        tuple(sorted(m.tolist())) for m in other}


def test_rate_of_ten_steps_by_hand():
    """One step up, then down over nine: 1, 9/9 at step 1, 1/9 at the last."""
    factor = ft.slope(10)
    assert [round(factor(i) * 9) for i in range(11)] == [9, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="0 to 3 blocks, got 4"):
        ft.store(tiny(), TOKENIZER, TEXTS, cut=4)
    kept = ft.store(tiny(), TOKENIZER, TEXTS, cut=0, means=False, longest=7)
    with pytest.raises(ValueError, match="means=True"):
        kept.features(TEXTS)
