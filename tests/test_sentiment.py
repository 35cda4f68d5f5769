"""The reader of sentences: padding, the last word, and that it learns an order."""

import numpy as np
import pytest
import torch

from course_utils import data, stored
from course_utils import sentiment as se


def toy(n=240, seed=0):
    """Two words matter, by their order: 'a ... b' is 1, 'b ... a' is 0; fillers between."""
    g = np.random.default_rng(seed)
    texts, labels = [], []
    for _ in range(n):
        y = int(g.integers(2))
        fill = " ".join(g.choice(list("cde"), size=g.integers(1, 5)))
        texts.append(f"a {fill} b" if y else f"b {fill} a")
        labels.append(y)
    return texts, labels


@pytest.mark.parametrize("cell", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("pool", ["last", "max", "mean"])
def test_padding_and_company_change_nothing(cell, both_ways, pool):
    torch.manual_seed(0)
    plan = se.Plan(cell=cell, hidden=7, both_ways=both_ways, pool=pool)
    model = se.Reader(11, 5, plan).eval()
    x = torch.randint(1, 11, (3, 13), generator=torch.Generator().manual_seed(1))
    lengths = torch.tensor([13, 2, 7])
    x *= torch.arange(13) < lengths[:, None]
    together = model(x, lengths)
    for row, n, scores in zip(x, lengths, together):
        alone = model(row[None, :n], n[None])[0]
        assert torch.allclose(alone, scores, rtol=0, atol=1e-6)


def test_without_a_cell_the_order_is_lost():
    model = se.Reader(11, 5, se.Plan(cell="none", pool="mean")).eval()
    x = torch.tensor([[1, 2, 3], [3, 1, 2]])
    one, other = model(x, torch.tensor([3, 3]))
    assert torch.allclose(one, other, rtol=0, atol=1e-6)
    by_hand = model.out(model.embedding.weight[1:4].mean(0))
    assert torch.allclose(one, by_hand, rtol=0, atol=1e-6)


def test_last_column_is_not_the_last_word():
    """The planted mistake h[:, -1] sees padding for every short sentence."""
    plan = se.Plan(hidden=7)
    model = se.Reader(11, 5, plan).eval()
    h = torch.randn(2, 5, 7)
    pooled = model.pooled(h, torch.tensor([5, 2]))
    assert torch.equal(pooled[0], h[0, -1]) and torch.equal(pooled[1], h[1, 1])
    assert not torch.equal(pooled[1], h[1, -1])


def test_every_sentence_is_read_once_and_labels_stay_with_theirs():
    texts, labels = toy(53)
    vocabulary = se.vocabulary_of(texts, min_count=1)
    sentences = se.encode(texts, vocabulary, labels)
    seen = []
    for batch in se.batches(sentences, 7, torch.Generator().manual_seed(0)):
        assert int(batch.lengths.max()) == batch.x.shape[1]
        for row, n, y in zip(batch.x, batch.lengths, batch.y):
            seen.append((" ".join(vocabulary.decode(row[:n].tolist())), int(y)))
    assert sorted(seen) == sorted(zip(texts, labels))


def test_learns_what_no_bag_of_words_can():
    texts, labels = toy(400)
    vocabulary = se.vocabulary_of(texts, min_count=1)
    plan = se.Plan(hidden=16, dropout=0.0, rate=1e-2, epochs=4, batch=16)
    found = se.train(se.encode(texts, vocabulary, labels), len(vocabulary), plan, held=80)
    others, truth = toy(200, seed=1)
    p = se.probabilities(found.model, se.encode(others, vocabulary))
    assert ((p > 0.5).long() == torch.tensor(truth)).float().mean() > 0.97
    assert found.parameters == sum(v.numel() for v in found.model.parameters())


def test_vectors_and_unknown_words():
    vocabulary = se.vocabulary_of(["good bad good bad"])
    table = se.starting_vectors(
        vocabulary, {"good": np.ones(3, np.float32)}, torch.Generator().manual_seed(0))
    assert table[vocabulary["good"]].tolist() == [1, 1, 1]
    assert table[0].abs().sum() == 0 and table.shape == (4, 3)
    got = se.encode(["good unseen", ""], vocabulary)
    assert got.x.tolist() == [[vocabulary["good"], 1], [1, 0]]
    assert got.lengths.tolist() == [2, 1]


def test_errors():
    with pytest.raises(ValueError, match="cell: expected one of"):
        se.Plan(cell="CNN")
    with pytest.raises(ValueError, match="pool: expected 'last', 'max' or 'mean'"):
        se.Plan(pool="sum")
    with pytest.raises(TypeError, match="expected a list"):
        se.encode("one sentence", se.vocabulary_of(["a a"]))


def test_the_kept_opinions_are_complete():
    """Every question of page 10 has an answer of every run, and the models have learned."""
    kept, labels = stored.benchmark("opinions"), data.critics().test.labels
    wanted = {"At first exciting but over sentimental"}
    wanted |= {*se.at_first(se.PRAISE, se.BLAME), *se.at_first(se.BLAME, se.PRAISE)}
    assert wanted < {*kept["questions"]} and len(wanted) == 129
    runs = kept["runs"]
    assert len(runs) == 7 and len([name for name in runs if "fine-tuned" in name]) == 3
    for run in runs.values():
        assert len(run["fresh"]) == len(kept["questions"])
        assert len(run["right"]) == len(labels)
        assert run["right"].count("1") > labels.sum() + 200  # always fresh, and then some
