"""Fine-tuning: the cut changes nothing, stored states are those of one text alone."""

import numpy as np
import pytest
import torch
from teaching import taught
from torch.nn import functional as F

from course_utils import bert as bt
from course_utils import few_labels, precision, transfer
from course_utils import finetuning as ft
from course_utils.data.labelled import LabelledTexts, Texts
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
    kept = ft.store(model, TOKENIZER, TEXTS, cut=cut, summary=None, longest=7)
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
    kept = ft.store(model, TOKENIZER, texts, cut=1, summary=None)
    rows, y = torch.arange(64), torch.arange(64) // 32
    plan = ft.Plan(rate=3e-3, top_rate=1e-2, batch=8, epochs=30)
    tuned = ft.fine_tune(model, kept, rows, y, plan, cut=1, n_classes=2, seed=0)
    assert (ft.predict(tuned, kept, rows) == y.numpy()).mean() > 0.9
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before))
    again = ft.fine_tune(model, kept, rows, y, plan, cut=1, n_classes=2, seed=0)
    assert torch.equal(again.top.weight, tuned.top.weight)


def test_predictions_come_back_in_the_order_asked():
    model = tiny()
    kept = ft.store(model, TOKENIZER, TEXTS, cut=1, summary=None, longest=7)
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
    kept = ft.store(tiny(), TOKENIZER, TEXTS, cut=0, summary=None, longest=7)
    with pytest.raises(ValueError, match="a summary"):
        kept.features(TEXTS)


@pytest.mark.parametrize("summary", [bt.average, ft.largest])
def test_vectors_are_those_that_were_stored(summary):
    model = tiny()
    kept = ft.store(model, TOKENIZER, TEXTS, cut=1, longest=7, summary=summary)
    rows = kept.rows(["d", "a b c", "h g"])
    found = ft.vectors(ft.Tuned(model, 1, 2, summary), kept, rows, size=2)
    assert np.abs(found - kept.features(["d", "a b c", "h g"])).max() < 1e-5


def test_a_small_set_is_read_until_there_are_enough_updates():
    """32 texts, 8 a step: 4 updates a reading, so 10 need 3 readings."""
    assert ft.Plan(batch=8, updates=10).readings(32) == 3
    assert ft.Plan(batch=8, updates=10).readings(33) == 2  # 5 updates a reading
    assert ft.Plan(batch=8, updates=10, epochs=4).readings(320) == 4


def test_as_a_model_of_a_curve_it_is_the_same_training():
    model = tiny()
    texts = [w + " " + v for w in "abcdefgh" for v in "abcdefgh"]
    labels = np.arange(64) % 2
    part = Texts(texts[:40], labels[:40]), Texts(texts[40:], labels[40:])
    kept = ft.store(model, TOKENIZER, texts, cut=2, summary=None)
    plan = ft.Plan(rate=1e-3, batch=8, updates=9)
    curve = few_labels.few_label_curve(
        ft.classifier(model, kept, plan, cut=2), LabelledTexts(*part, ["x", "y"]),
        sizes=(10, 20), seeds=(3,))
    order = few_labels.labelled_order(labels[:40], 3)[:20]
    tuned = ft.fine_tune(model, kept, kept.rows([texts[m] for m in order]),
                         torch.tensor(labels[order]), plan, cut=2, n_classes=2, seed=3)
    guess = ft.predict(tuned, kept, kept.rows(texts[40:]))
    assert ((guess == labels[40:]) == curve.correct[0, 1]).all()


def test_sixteen_bits_change_little_and_other_formats_are_refused():
    model = tiny()
    long, short = (ft.store(model, TOKENIZER, TEXTS, cut=1, longest=7, precision=kind)
                   for kind in ("float32", "bfloat16"))
    gap = (long.summaries - short.summaries).abs().max()
    assert 0 < gap < 0.1 and short.summaries.dtype == torch.float32
    assert precision.fast_precision("cpu") in ("float32", "bfloat16")
    with pytest.raises(ValueError, match="float32 or bfloat16, got 'float8'"):
        ft.store(model, TOKENIZER, TEXTS, cut=1, longest=7, precision="float8")


def test_features_give_what_the_average_of_word_vectors_gives():
    """`on_features` on means of vectors is `transfer.frozen_average`."""
    rng = np.random.default_rng(0)
    vectors = {w: rng.normal(size=5) for w in "abcdefgh"}
    texts = [" ".join(rng.choice(list("abcdefgh"), 7)) for _ in range(60)]
    labels = rng.integers(3, size=60)

    def mean(some):
        return np.array([np.mean([vectors[w] for w in t.split()], axis=0) for t in some])

    ours = few_labels.on_features(mean)(texts[:40], labels[:40], texts[40:], 0, (1.0, 1e-3))
    wanted = transfer.frozen_average(vectors)(
        texts[:40], labels[:40], texts[40:], 0, (1.0, 1e-3))
    assert all((a == b).all() for a, b in zip(ours, wanted))
    assert not (ours[0] == ours[1]).all()  # the settings do something


def test_the_page_scores_as_the_library_does():
    """The page's own functions on ragged texts, K = 5 classes of D = 6 numbers."""
    scores, between = taught("05f_finetuning", "class_scores", "between")
    model = tiny()
    kept = ft.store(model, TOKENIZER, TEXTS, cut=1, summary=None, longest=7)
    tuned = ft.Tuned(model, 1, 5, ft.largest).eval()
    torch.nn.init.normal_(tuned.top.weight, generator=torch.Generator().manual_seed(1))
    h, real = kept.take(TEXTS)
    ours = scores(tuned.blocks, tuned.top.weight, tuned.top.bias, h, real)
    assert (ours - tuned(h, real)).abs().max() < 1e-5
    H, labels = np.random.default_rng(0).normal(size=(7, 3)), np.array([0, 1, 1, 2, 0, 1, 1])
    inside = sum(((H[labels == k] - H[labels == k].mean(0)) ** 2).sum() for k in range(3))
    assert abs(between(H, labels) - (1 - inside / ((H - H.mean(0)) ** 2).sum())) < 1e-12
