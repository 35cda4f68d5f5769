"""FastText's classifier: hashes by plain arithmetic, gradients, a task it must solve."""

import numpy as np
import pytest
import torch
from teaching import taught

from course_utils import text_classifier as tc
from course_utils.subwords import fnv1a
from course_utils.text import Vocabulary

VOCABULARY = Vocabulary(("not", "good", "bad", "è"), (4, 3, 2, 1))


def by_hand(a, b, n_buckets):
    """FastText's 64-bit arithmetic in Python's whole numbers; hashes read as int32."""
    def signed(word):
        h = fnv1a(word)
        return h - 2**32 if h >= 2**31 else h

    return (signed(a) % 2**64 * 116049371 + signed(b)) % 2**64 % n_buckets


@pytest.mark.parametrize("n_buckets", [1, 97, 2_000_003])
def test_bigram_buckets_by_hand(n_buckets):
    words = ["not", "good", "è", "bad", "good", "not"]
    found = tc.bigram_buckets(tc.word_hashes(words), n_buckets)
    assert found.tolist() == [by_hand(a, b, n_buckets) for a, b in zip(words, words[1:])]
    assert any(fnv1a(w) >= 2**31 for w in words)  # so the sign matters


def test_order_matters_to_bigrams_only():
    one, other = ["not", "good", "bad"], ["not", "bad", "good"]
    words = tc.features([one, other], VOCABULARY).toarray()
    pairs = tc.features([one, other], VOCABULARY, 997).toarray()
    assert np.array_equal(words[0], words[1]) and not np.array_equal(pairs[0], pairs[1])


def test_rows_add_up_to_one_and_an_empty_document_stays_empty():
    X = tc.features([["good", "good", "unknown", "bad"], [], ["unknown"]], VOCABULARY, 11)
    assert X.shape == (3, 15) and X.dtype == np.float32
    np.testing.assert_allclose(X.sum(axis=1), [1, 0, 0], rtol=0, atol=1e-6)
    assert X[[0], :].toarray()[0, VOCABULARY["good"]] == pytest.approx(2 / 5)


def test_gradient_equals_autograd_with_a_shared_feature():
    g = torch.Generator().manual_seed(0)
    A, C = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((7, 3), (3, 5)))
    rows = torch.tensor([0, 2, 2, 6, 1])  # feature 2 is in both documents
    share = torch.tensor([0.5, 0.5, 0.2, 0.3, 0.5], dtype=torch.float64)
    starts, y = torch.tensor([0, 2]), torch.tensor([4, 1])
    A.requires_grad_(), C.requires_grad_()
    loss, dC, dh = tc.loss_and_gradients(A, C, rows, share, starts, y)
    dense = torch.zeros(2, 7, dtype=torch.float64).index_put_(
        (torch.tensor([0, 0, 1, 1, 1]), rows), share, accumulate=True)
    expected = torch.nn.functional.cross_entropy(dense @ A @ C, y, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    auto_A, auto_C = torch.autograd.grad(expected, (A, C))
    torch.testing.assert_close(dC, auto_C, rtol=0, atol=1e-12)
    torch.testing.assert_close(dense.T @ dh, auto_A, rtol=0, atol=1e-12)


def test_a_step_is_gradient_descent_on_the_sum():
    A, C = torch.ones(4, 2) * 0.3, torch.tensor([[0.1, -0.2], [0.4, 0.0]])
    X = tc.features([["not", "good"], ["good", "bad"]], VOCABULARY)
    before_A, before_C = A.clone().requires_grad_(), C.clone().requires_grad_()
    y = torch.tensor([0, 1])
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(X.toarray()) @ before_A @ before_C, y, reduction="sum")
    dA, dC = torch.autograd.grad(expected, (before_A, before_C))
    tc._step(A, C, X, y, 0.5)
    torch.testing.assert_close(A, (before_A - 0.5 * dA).detach(), rtol=0, atol=1e-6)
    torch.testing.assert_close(C, (before_C - 0.5 * dC).detach(), rtol=0, atol=1e-6)


def test_bigrams_learn_what_words_cannot():
    """good, not bad against bad, not good: the same words in another order."""
    documents = [["good", "not", "bad"], ["bad", "not", "good"]] * 40
    y = np.array([0, 1] * 40)
    settings = tc.Settings(dimension=5, epochs=20, rate=0.5)
    found = {}
    for n_buckets in (0, 101):
        X = tc.features(documents, VOCABULARY, n_buckets)
        model = tc.train(X, y, 2, settings)
        found[n_buckets] = float((model.predict(X) == y).mean())
        assert model.parameters == (4 + n_buckets) * 5 + 5 * 2
    assert found == {0: 0.5, 101: 1.0}


def test_same_seed_same_model():
    X = tc.features([["good"], ["bad"]] * 9, VOCABULARY)
    runs = [tc.train(X, np.array([0, 1] * 9), 2, tc.Settings(epochs=2)) for _ in range(2)]
    assert np.array_equal(runs[0].A, runs[1].A) and runs[0].losses == runs[1].losses


def test_errors_say_what_to_do():
    X = tc.features([["good"], ["bad"]], VOCABULARY)
    with pytest.raises(ValueError, match="one a document"):
        tc.train(X, np.array([0]), 2)
    with pytest.raises(ValueError, match="expected 0 to 1"):
        tc.train(X, np.array([0, 2]), 2)
    with pytest.raises(TypeError, match="sequence of tokens"):
        tc.features(["good"], VOCABULARY)
    with pytest.raises(ValueError, match="n_buckets"):
        tc.bigram_buckets(tc.word_hashes(["a", "b"]), 0)
    same = tc.features([["good"], ["good"]], VOCABULARY)
    with pytest.raises(ValueError, match="lower rate"):
        tc.train(same, np.array([0, 1]), 2, tc.Settings(rate=1e38, epochs=9, batch=1))


def test_the_chapters_gradient_is_the_librarys():
    """One document: the rows of dA that the library scatters, and dC."""
    loss_and_gradients = taught("04c_fasttext", "loss_and_gradients")
    g = torch.Generator().manual_seed(1)
    A, C = (torch.randn(*s, generator=g, dtype=torch.float64) for s in ((7, 3), (3, 5)))
    rows, share = torch.tensor([1, 4, 6]), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    x = torch.zeros(7, dtype=torch.float64).index_add_(0, rows, share)
    L, dC, dA = loss_and_gradients(x, A, C, 2)
    loss, dC_2, dh = tc.loss_and_gradients(
        A, C, rows, share, torch.tensor([0]), torch.tensor([2]))
    torch.testing.assert_close(L, loss, rtol=0, atol=1e-12)
    torch.testing.assert_close(dC, dC_2, rtol=0, atol=1e-12)
    torch.testing.assert_close(dA, torch.outer(x, dh[0]), rtol=0, atol=1e-12)


def test_a_fit_for_few_labels_learns_words_and_is_the_library_s_training():
    """Class = the word that occurs; the second setting is the training by hand."""
    texts = [f"{w} the of" for w in ("good", "bad", "odd")] * 5
    labels = np.array([0, 1, 2] * 5)
    others = ["Bad of", "good", "odd the"]
    few, many = tc.fit_texts(texts, labels, others, 3, (0, 4))
    assert many.tolist() == [1, 0, 2] and len(set(few.tolist())) == 1  # untrained: a tie
    words = [t.split() for t in texts]
    vocabulary = Vocabulary.from_tokens(w for d in words for w in d)
    X = tc.features(words, vocabulary, 50_000)
    plan = tc.Settings(epochs=4 * (512 // 15), rate=0.5, seed=3)
    model = tc.train(X, labels, 3, plan)
    again = tc.fit_texts(texts, labels, texts, 3, (4,))[0]
    assert (model.predict(X) == again).all()
