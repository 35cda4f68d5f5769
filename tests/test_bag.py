"""Bags of words: hand-derived numbers, twins in scikit-learn, and chapter 1's own cells."""

import numpy as np
import pytest
from scipy.optimize import check_grad
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import ComplementNB, MultinomialNB
from teaching import taught

from course_utils import bag
from course_utils.text import Vocabulary

CHAPTER = "01_one_hot_and_bag_of_words"
DOCUMENTS = ["the dog is on the table", "the cat is here", "dog and cat", "", "owl owl"]
VOCABULARY = Vocabulary.from_tokens(w for d in DOCUMENTS[:3] for w in d.split())


@pytest.fixture
def counts():
    """Counts (13, 11) of 3 classes, drawn so that no class is empty."""
    rng = np.random.default_rng(0)
    return csr_array(rng.poisson(0.7, size=(13, 11)).astype(float)), np.arange(13) % 3


def test_counts_equal_scikit_learn():
    ours = bag.count_matrix([d.split() for d in DOCUMENTS], VOCABULARY)
    theirs = CountVectorizer(analyzer=str.split, vocabulary=list(VOCABULARY.types))
    assert np.array_equal(ours.toarray(), theirs.fit_transform(DOCUMENTS).toarray())
    assert ours.indices.dtype == np.int32  # what scikit-learn's solvers accept


def test_counts_forget_order_and_skip_the_unknown():
    a, b = (bag.count_matrix([d.split()], VOCABULARY) for d in
            ("dog on table owl", "table dog on"))
    assert np.array_equal(a.toarray(), b.toarray())


def test_a_document_that_is_a_string_is_refused():
    with pytest.raises(TypeError, match="expected a sequence of tokens"):
        bag.count_matrix(["the dog"], VOCABULARY)


def test_idf_by_hand():
    """dog is in 2 of 3 documents: 1 + ln(4/3); table in 1: 1 + ln 2."""
    idf = bag.idf_weights(bag.count_matrix([d.split() for d in DOCUMENTS[:3]], VOCABULARY))
    assert idf[VOCABULARY["dog"]] == pytest.approx(1 + np.log(4 / 3))
    assert idf[VOCABULARY["table"]] == pytest.approx(1 + np.log(2))


@pytest.mark.parametrize("sublinear", [False, True])
def test_tfidf_equals_scikit_learn_also_on_empty_documents(sublinear):
    X = bag.count_matrix([d.split() for d in DOCUMENTS], VOCABULARY)
    ours = bag.tfidf(X, bag.idf_weights(X), sublinear=sublinear).toarray()
    theirs = TfidfVectorizer(
        analyzer=str.split, vocabulary=list(VOCABULARY.types), sublinear_tf=sublinear
    ).fit_transform(DOCUMENTS)
    assert np.abs(ours - theirs.toarray()).max() < 1e-12
    assert not ours[3].any() and np.isfinite(ours).all()


def test_tfidf_leaves_its_argument_alone(counts):
    X, _ = counts
    before = X.toarray()
    bag.tfidf(X, bag.idf_weights(X), sublinear=True)
    assert np.array_equal(X.toarray(), before)


def test_naive_bayes_by_hand():
    """Class 0 said a a b: p(a) = (1 + 2) / (2 + 3)."""
    W, b = bag.naive_bayes(csr_array(np.array([[2.0, 1.0], [0.0, 1.0]])), [0, 1], 2)
    assert np.allclose(np.exp(W), [[3 / 5, 1 / 3], [2 / 5, 2 / 3]], rtol=0, atol=1e-12)
    assert np.allclose(np.exp(b), 0.5, rtol=0, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.1, 1.0])
@pytest.mark.parametrize("fit, twin", [
    (bag.naive_bayes, MultinomialNB), (bag.complement_naive_bayes, ComplementNB)])
def test_bayes_equals_scikit_learn(counts, alpha, fit, twin):
    X, y = counts
    W, b = fit(X, y, 3, alpha)
    model = twin(alpha=alpha).fit(X, y)
    assert np.abs(model.feature_log_prob_.T - W).max() < 1e-12
    assert np.array_equal(model.predict(X), bag.predict(X, W, b))


def test_priors_equal_scikit_learns_when_classes_differ_in_size(counts):
    X, _ = counts
    y = np.array([0] * 7 + [1] * 4 + [2] * 2)
    model = MultinomialNB().fit(X, y)
    assert np.abs(model.class_log_prior_ - bag.naive_bayes(X, y, 3)[1]).max() < 1e-12


def test_softmax_gradient_equals_finite_differences(counts):
    X, y = counts
    theta = np.random.default_rng(1).normal(size=(11 + 1) * 3)
    error = check_grad(
        lambda t: bag.softmax_loss(t, X, np.eye(3)[y], 0.1)[0],
        lambda t: bag.softmax_loss(t, X, np.eye(3)[y], 0.1)[1], theta)
    assert error < 1e-6


def test_softmax_regression_reaches_scikit_learns_optimum(counts):
    """lambda / 2 per document is C = 1 / (M lambda); the optimum is unique."""
    X, y = counts
    W, _ = bag.softmax_regression(X, y, 3, decay=0.05, steps=500)
    twin = LogisticRegression(C=1 / (13 * 0.05), tol=1e-10, max_iter=5000).fit(X, y)
    assert np.abs(twin.coef_.T - W).max() < 2e-3


def test_labels_out_of_range_are_refused(counts):
    X, y = counts
    with pytest.raises(ValueError, match="expected labels 0 to 1, got 0 to 2"):
        bag.naive_bayes(X, y, 2)


@pytest.mark.parametrize("name", ["naive_bayes", "complement_naive_bayes"])
def test_the_chapters_bayes_is_the_librarys(counts, name):
    X, y = counts
    own = taught(CHAPTER, "one_hot", name)[1]
    for a, b in zip(own(X, y, 3, 0.5), getattr(bag, name)(X, y, 3, 0.5)):
        assert np.array_equal(a, b)


def test_the_chapters_matrices_are_the_librarys():
    documents = [d.split() for d in DOCUMENTS]
    own = taught(CHAPTER, "count_matrix", "idf_weights", "tfidf")
    X = bag.count_matrix(documents, VOCABULARY)
    assert np.array_equal(own[0](documents, VOCABULARY).toarray(), X.toarray())
    idf = bag.idf_weights(X)
    assert np.array_equal(own[1](X), idf)
    assert np.array_equal(own[2](X, idf, sublinear=True).toarray(),
                          bag.tfidf(X, idf, sublinear=True).toarray())


def test_the_chapters_softmax_regression_is_the_librarys(counts):
    X, y = counts
    own = taught(CHAPTER, "one_hot", "softmax_loss", "softmax_regression")[2]
    for a, b in zip(own(X, y, 3, steps=9), bag.softmax_regression(X, y, 3, steps=9)):
        assert np.array_equal(a, b)
