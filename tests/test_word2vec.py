"""Readable word2vec: pairs, four losses and their gradients by hand, tree, noise.

Sizes are unequal primes, so that no two axes can be confused: N 11, D 5, B 7, K 3.
"""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from course_utils import huffman, noise, word2vec

N, D, B, K = 11, 5, 7, 3
COUNTS = [40, 29, 23, 17, 13, 11, 7, 5, 3, 2, 2]


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def tables(output, rng):
    W = torch.randn(N, D, generator=rng, dtype=torch.float64)
    return W, torch.randn(output.rows(N), D, generator=rng, dtype=torch.float64)


def outputs():
    return {
        "softmax": word2vec.Softmax(),
        "hierarchical": word2vec.HierarchicalSoftmax(huffman.huffman(COUNTS)),
        "negative": word2vec.NegativeSampling(noise.noise_distribution(COUNTS), K),
    }


def bags(rng):
    centre = torch.tensor([3, 0, 3, 10, 7, 7, 1])  # repeated inputs
    around = [[1, 2], [4], [1, 1, 5], [0, 9, 10, 3], [2], [8, 6], [4, 4, 4, 4]]
    return {
        "skip-gram": word2vec.one_word(centre, torch.float64),
        "cbow": word2vec.mean_of(around, torch.float64),
    }


TARGET = torch.tensor([2, 2, 10, 0, 5, 9, 2])


# ---- examples from text -----------------------------------------------------------------


def test_windows_of_the_slide():
    tokens = "The cute cat jumps over the lazy dog".split()
    found = [word2vec.contexts(tokens, c)[2] for c in (0, 1, 2)]
    assert found == [
        ("cat", []), ("cat", ["cute", "jumps"]), ("cat", ["The", "cute", "jumps", "over"]),
    ]


def test_number_of_pairs():
    """T tokens, window c <= T: 2 (T - 1 + T - 2 + ... + T - c) = 2 T c - c (c + 1)."""
    for T, c in ((8, 1), (8, 2), (13, 5)):
        assert len(word2vec.pairs([range(T)], c)) == 2 * T * c - c * (c + 1)


def test_pairs_never_cross_a_sentence_end():
    found = word2vec.pairs([["a", "b"], ["c", "d"]], 5)
    assert sorted(found) == [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c")]


def test_a_word_is_no_context_of_its_own_place_but_of_its_neighbour():
    assert word2vec.contexts(["a", "a"], 1) == [("a", ["a"]), ("a", ["a"])]


@pytest.mark.parametrize("bad, error", [("text", TypeError), (["text"], TypeError)])
def test_a_string_is_no_sentence(bad, error):
    with pytest.raises(error, match="Split it first"):
        word2vec.pairs(bad, 1)


def test_a_negative_window_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        word2vec.contexts(["a"], -1)


# ---- the losses -------------------------------------------------------------------------


@pytest.mark.parametrize("bag", ["skip-gram", "cbow"])
@pytest.mark.parametrize("name", ["softmax", "hierarchical", "negative"])
def test_gradients_by_hand(name, bag, rng):
    """Against autograd to 1e-12, gradcheck, and central differences to 1e-7."""
    output, bag = outputs()[name], bags(rng)[bag]
    W, W_out = tables(output, rng)
    asked = output.ask(TARGET, rng)
    if name == "negative":  # repeated negatives, within and between examples
        assert len(asked.rows.unique()) < asked.rows.numel()

    def total(W, W_out):
        return output.loss(word2vec.hidden(W, bag), W_out, asked).sum()

    _, dW, dW_out = word2vec.loss_and_gradients(W, W_out, bag, output, asked)
    leaves = [t.clone().requires_grad_() for t in (W, W_out)]
    for ours, theirs in zip((dW, dW_out), torch.autograd.grad(total(*leaves), leaves)):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(total, leaves)
    for table, gradient in ((0, dW), (1, dW_out)):
        torch.testing.assert_close(
            central_differences(total, [W, W_out], table), gradient, rtol=0, atol=1e-7
        )


def central_differences(f, arguments, which, step=1e-5):
    x = arguments[which]
    found = torch.empty_like(x)
    for i in range(x.numel()):
        ends = []
        for sign in (1, -1):
            moved = x.clone()
            moved.view(-1)[i] += sign * step
            ends.append(f(*arguments[:which], moved, *arguments[which + 1 :]))
        found.view(-1)[i] = (ends[0] - ends[1]) / (2 * step)
    return found


def test_assignment_in_place_of_addition_is_caught(rng, monkeypatch):
    """The planted mistake: `table[ids] += rows` keeps one of several equal rows."""
    def assign(table, ids, rows):
        table[ids.flatten()] += rows.flatten(0, -2)
        return table

    output, bag = outputs()["negative"], bags(rng)["skip-gram"]
    W, W_out = tables(output, rng)
    asked = output.against(TARGET, torch.full((B, K), 4))
    right = word2vec.loss_and_gradients(W, W_out, bag, output, asked)[1:]
    monkeypatch.setattr(word2vec, "scatter_add", assign)
    wrong = word2vec.loss_and_gradients(W, W_out, bag, output, asked)[1:]
    assert all((r - w).abs().max() > 0.1 for r, w in zip(right, wrong))


def test_negative_sampling_by_hand():
    """h = (1, 0), target row (0, 1), one negative (ln 3, 0) twice: s = 0, ln 3, ln 3.

    L = ln 2 + 2 ln(1 + 3) = 5 ln 2; dL/ds = -1/2, 3/4, 3/4; dh = (3/2) ln 3 e_0 - e_1 / 2;
    the negative's row gets 2 * 3/4 h.
    """
    h = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    W_out = torch.tensor([[0.0, 1.0], [math.log(3), 0.0]], dtype=torch.float64)
    output = word2vec.NegativeSampling([0.5, 0.5], 2)
    asked = output.against(torch.tensor([0]), torch.tensor([[1, 1]]))
    dh, dW_out = output.gradients(h, W_out, asked)
    assert output.loss(h, W_out, asked).item() == pytest.approx(5 * math.log(2), abs=1e-12)
    assert dh.tolist()[0] == pytest.approx([1.5 * math.log(3), -0.5], abs=1e-12)
    assert dW_out.tolist() == [[-0.5, 0.0], pytest.approx([1.5, 0.0], abs=1e-12)]


def test_softmax_at_zero_is_uniform():
    W_out, h = torch.zeros(N, D), torch.ones(2, D)
    loss = word2vec.Softmax().loss(h, W_out, torch.tensor([0, 3]))
    assert loss.tolist() == pytest.approx([math.log(N)] * 2)


def test_looking_up_is_multiplying_with_a_one_hot_vector(rng):
    W = torch.randn(N, D, generator=rng, dtype=torch.float64)
    R = torch.eye(N, dtype=torch.float64)
    h = word2vec.hidden(W, word2vec.one_word(TARGET, torch.float64))
    torch.testing.assert_close(h, R[TARGET] @ W, rtol=0, atol=0)


def test_the_mean_of_projections_is_the_projection_of_the_mean(rng):
    W = torch.randn(N, D, generator=rng, dtype=torch.float64)
    around = [[1, 2, 2], [4]]
    bag = torch.zeros(2, N, dtype=torch.float64)
    bag[0, 1], bag[0, 2], bag[1, 4] = 1 / 3, 2 / 3, 1.0
    h = word2vec.hidden(W, word2vec.mean_of(around, torch.float64))
    torch.testing.assert_close(h, bag @ W, rtol=0, atol=1e-15)


def test_a_centre_without_context_is_refused():
    with pytest.raises(ValueError, match="at least one context word"):
        word2vec.mean_of([[1], []])


# ---- the tree ---------------------------------------------------------------------------


def test_hierarchical_probabilities_sum_to_one(rng):
    for counts in (COUNTS, [1, 1], [1000, 1, 1], list(range(1, 200))):
        output = word2vec.HierarchicalSoftmax(huffman.huffman(counts))
        h = 3 * torch.randn(B, D, generator=rng, dtype=torch.float64)
        W_out = torch.randn(len(counts) - 1, D, generator=rng, dtype=torch.float64)
        total = output.log_probabilities(h, W_out).exp().sum(1)
        torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-12)


def test_hierarchical_loss_is_minus_log_probability(rng):
    output = outputs()["hierarchical"]
    W, W_out = tables(output, rng)
    h = W[:B]
    expected = -output.log_probabilities(h, W_out).gather(1, TARGET[:, None])[:, 0]
    found = output.loss(h, W_out, output.ask(TARGET))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_huffman_lengths_by_hand():
    """5 2 1 1: join 1 and 1 to 2, that with 2 to 4, that with 5. Lengths 1 2 3 3."""
    tree = huffman.huffman([5, 2, 1, 1])
    assert tree.weight.sum(1).tolist() == [1, 2, 3, 3]
    assert tree.rows[:, 0].tolist() == [2, 2, 2, 2]  # the root is asked first
    assert (tree.labels[0, 0], tree.labels[1, 0]) == (0, 1)  # the larger goes right


def test_huffman_is_optimal():
    """Total length within [entropy, entropy + 1), and equal to gensim's tree."""
    gensim = pytest.importorskip("gensim.models")
    tree = huffman.huffman(COUNTS)
    n = np.array(COUNTS)
    mean = (n * tree.weight.sum(1).numpy()).sum() / n.sum()
    entropy = -(n / n.sum() * np.log2(n / n.sum())).sum()
    assert entropy <= mean < entropy + 1
    model = gensim.Word2Vec(vector_size=2, hs=1, negative=0, min_count=1)
    model.build_vocab_from_freq({f"w{i}": c for i, c in enumerate(COUNTS)})
    theirs = [len(model.wv.get_vecattr(f"w{i}", "code")) for i in range(N)]
    assert (n * theirs).sum() == (n * tree.weight.sum(1).numpy()).sum()


def test_paths_are_prefix_free():
    tree = huffman.huffman(COUNTS)
    codes = ["".join(str(int(y)) for y, a in zip(*row) if a) for row in zip(*tree[1:])]
    assert not any(a != b and b.startswith(a) for a in codes for b in codes)


@pytest.mark.parametrize("counts", [[], [3]])
def test_a_tree_needs_two_leaves(counts):
    with pytest.raises(ValueError, match="at least two"):
        huffman.huffman(counts)


def test_a_tree_takes_fractions_and_refuses_what_is_no_count():
    assert huffman.huffman([1.5, 0.5, 0.4]).weight.sum(1).tolist() == [1.0, 2.0, 2.0]
    for counts in ([1, -1], [1.0, float("nan")]):
        with pytest.raises(ValueError, match="at least 0"):
            huffman.huffman(counts)


# ---- noise and subsampling --------------------------------------------------------------


def test_noise_by_hand():
    """81^(3/4) = 27, 16^(3/4) = 8, 1: sum 36."""
    found = noise.noise_distribution([81, 16, 1])
    np.testing.assert_allclose(found, [27 / 36, 8 / 36, 1 / 36], rtol=0, atol=1e-15)


def chi_square(draws, p):
    expected = len(draws) * p
    return ((np.bincount(draws, minlength=len(p)) - expected) ** 2 / expected).sum()


def test_draws_follow_the_noise_and_not_the_unigram(rng):
    """The right law is not rejected at 1e-6, the planted one (power 1) is, by far."""
    q, unigram = noise.noise_distribution(COUNTS), noise.noise_distribution(COUNTS, 1.0)
    draws = noise.AliasTable(q).draw((20_000,), rng).numpy()
    limit = chi2.isf(1e-6, len(q) - 1)
    assert chi_square(draws, q) < limit < chi_square(draws, unigram)


def test_the_alias_table_is_exact():
    """Each type's columns add up to its probability: no sampling involved."""
    q = noise.noise_distribution(COUNTS)
    table = noise.AliasTable(q)
    mass = np.bincount(range(N), table.share.numpy(), N)
    mass += np.bincount(table.other.numpy(), 1 - table.share.numpy(), N)
    np.testing.assert_allclose(mass / N, q, rtol=0, atol=1e-7)


def test_keep_probability_by_hand():
    """f = 0.04 and 0.96, t = 0.01: paper sqrt(1/4) = 0.5; program 0.5 + 0.25."""
    assert noise.keep_probability([4, 96], 0.01, formula="paper")[0] == pytest.approx(0.5)
    assert noise.keep_probability([4, 96], 0.01)[0] == pytest.approx(0.75)
    assert noise.keep_probability([4, 96], 0).tolist() == [1, 1]


@pytest.mark.parametrize("counts", [[], [1, 0], [1, float("nan")]])
def test_noise_needs_counts(counts):
    with pytest.raises(ValueError, match="positive"):
        noise.noise_distribution(counts)


def test_thresholds_and_probabilities_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="threshold"):
        noise.keep_probability([1, 2], float("nan"))
    with pytest.raises(ValueError, match="sum 1"):
        noise.AliasTable([float("nan"), 1.0])


def test_no_negatives_is_refused():
    with pytest.raises(ValueError, match="at least one negative"):
        word2vec.NegativeSampling([1.0], 0)


@pytest.mark.parametrize("name", ["softmax", "hierarchical", "negative"])
def test_descend_is_a_step_against_the_gradient(name, rng):
    output = outputs()[name]
    W, W_out = (table.float() for table in tables(output, rng))
    asked = output.ask(TARGET, rng)
    dh, dW_out = output.gradients(W[:B], W_out, asked)
    moved = W_out.clone()
    torch.testing.assert_close(output.descend(W[:B], moved, asked, 0.1), dh)
    torch.testing.assert_close(moved, W_out - 0.1 * dW_out)


@pytest.mark.parametrize("name", [
    "contexts", "pairs", "softmax_loss", "softmax_gradients", "logistic_loss",
    "logistic_gradients", "hidden", "input_gradient",
])
def test_what_the_chapter_teaches_is_what_the_library_does(name, rng):
    from teaching import taught

    if name in ("contexts", "pairs"):
        contexts, cell = taught("03_word2vec", "contexts", name)
        cell = contexts if name == "contexts" else taught("03_word2vec", "contexts", "pairs")[1]
        text = "a b c b a d".split()
        for c in (0, 1, 2, 7):
            arguments = (text, c) if name == "contexts" else ([text, text[:2]], c)
            assert cell(*arguments) == getattr(word2vec, name)(*arguments)
        return
    bag = bags(rng)["cbow"]
    W = torch.randn(N, D, generator=rng, dtype=torch.float64)
    W_out = torch.randn(N, D, generator=rng, dtype=torch.float64)
    asked = outputs()["negative"].ask(TARGET, rng) if "logistic" in name else TARGET
    arguments = {"hidden": (W, bag), "input_gradient": (W, bag, W[:B])}.get(
        name, (W[:B], W_out, asked)
    )
    ours, theirs = (f(*arguments) for f in (taught("03_word2vec", name),
                                            getattr(word2vec, name)))
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


def test_taught_noise_is_the_library_s():
    from teaching import taught

    cell = taught("03_word2vec", "noise_distribution", "keep_probability")
    for power in (0.0, 0.75, 1.0):
        np.testing.assert_array_equal(cell[0](COUNTS, power),
                                      noise.noise_distribution(COUNTS, power))
    for formula in ("paper", "program"):
        np.testing.assert_allclose(
            cell[1](COUNTS, 0.01, formula=formula),
            noise.keep_probability(COUNTS, 0.01, formula=formula), rtol=0, atol=1e-15,
        )
