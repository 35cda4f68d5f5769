"""Few-label curves: splits, choosing inside the labels given, averaged vectors."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from course_utils import bag, transfer
from course_utils.data.labelled import LabelledTexts, Texts
from course_utils.text import Vocabulary


def toy_task(n=60, n_test=21):
    """Class 1 says *good*, class 0 says *bad*, with common words around."""
    rng = np.random.default_rng(0)

    def part(m):
        labels = np.arange(m) % 3 % 2  # two thirds are class 0
        texts = [
            " ".join(["the film is", ("bad", "good")[k], str(rng.integers(5))])
            for k in labels
        ]
        return Texts(texts, labels)

    return LabelledTexts(part(n), part(n_test), ["bad", "good"])


def test_prefixes_of_the_order_keep_the_shares_of_the_classes():
    labels = np.array([0] * 70 + [1] * 30 + [2] * 11)
    order = transfer.labelled_order(labels, seed=5)
    assert sorted(order) == list(range(111))
    for n in range(1, 112):
        counts = np.bincount(labels[order[:n]], minlength=3)
        assert np.abs(counts - n * np.array([70, 30, 11]) / 111).max() <= 1.0
    assert (order != transfer.labelled_order(labels, seed=6)).any()


def test_every_model_sees_the_same_nested_subsets():
    task, seen = toy_task(), []

    def spy(texts, labels, test_texts, seed):
        seen.append((seed, tuple(texts), tuple(labels)))
        return np.zeros(len(test_texts), dtype=int)

    curve = transfer.few_label_curve(spy, task, sizes=(6, 20), seeds=(1, 2))
    again = list(seen)
    seen.clear()
    transfer.few_label_curve(spy, task, sizes=(6, 20), seeds=(1, 2))
    assert seen == again
    for seed in (1, 2):
        small, large = (texts for s, texts, _ in seen if s == seed)
        assert large[:6] == small
    assert seen[0][1] != seen[2][1]  # another seed, other labels
    # Always class 0 is right for the share of class 0 in the test part.
    assert_allclose(curve.accuracy, (task.test.labels == 0).mean(), rtol=0, atol=1e-12)


def test_interval_is_over_seeds_and_lead_is_paired():
    correct = np.zeros((2, 1, 4), dtype=bool)
    correct[0, 0, :2] = correct[1, 0, :3] = True  # 0.5 and 0.75
    other = np.zeros_like(correct)
    other[0, 0, :1] = other[1, 0, :2] = True  # 0.25 and 0.5
    one = transfer.Curve((8,), correct, np.ones((2, 1)))
    two = transfer.Curve((8,), other, np.ones((2, 1)))
    # mean 0.625, s = 0.25 / sqrt 2, standard error 0.125, t(0.975, 1) = 12.7062
    assert_allclose(one.interval(8), (0.625, 0.625 - 1.588275, 0.625 + 1.588275),
                    rtol=0, atol=1e-5)
    assert one.lead(two, 8) == (0.25, 0.25, 0.25)


def test_the_setting_is_chosen_inside_the_labels_given():
    calls = []

    def fit(texts, labels, test_texts, seed, settings):
        calls.append((len(texts), tuple(test_texts), tuple(settings)))
        guess = np.array([int("good" in t) for t in test_texts])
        return [guess if setting == "right" else 1 - guess for setting in settings]

    task = toy_task()
    classify = transfer.tuned(fit, ("wrong", "right"))
    guess = classify(task.train.texts[:12], task.train.labels[:12], task.test.texts, 0)
    assert (guess == task.test.labels).all()
    assert [n for n, _, _ in calls] == [9] * 4 + [12]  # four folds, then all labels
    assert calls[-1][2] == ("right",)
    judged = [t for _, texts, _ in calls[:-1] for t in texts]
    assert set(judged) <= set(task.train.texts[:12])


def test_large_sets_need_one_fold_only():
    sizes = []

    def fit(texts, labels, test_texts, seed, settings):
        sizes.append(len(texts))
        return [np.zeros(len(test_texts), dtype=int)] * len(settings)

    classify = transfer.tuned(fit, (1, 2), enough=10)
    task = toy_task()
    classify(task.train.texts, task.train.labels, ["x"], 0)
    assert sizes == [45, 60]


def test_mean_matrix_times_table_is_the_mean_of_the_vectors():
    rng = np.random.default_rng(1)
    E = rng.normal(size=(5, 3))
    vocabulary = Vocabulary(tuple("abcde"), (0,) * 5)
    means = transfer.mean_matrix([list("abca"), ["?", "d"], ["?"]], vocabulary) @ E
    by_hand = [(2 * E[0] + E[1] + E[2]) / 4, E[3], np.zeros(3)]
    assert_allclose(means, by_hand, rtol=0, atol=1e-12)


def good_and_bad():
    rng = np.random.default_rng(2)
    noise = {w: rng.normal(size=7).astype(np.float32) for w in "the film is 0 1 2".split()}
    axis = rng.normal(size=7).astype(np.float32)
    return noise | {"good": 3 * axis, "bad": -3 * axis, "great": 2.9 * axis}


def test_frozen_vectors_judge_words_that_no_label_showed():
    task, vectors = toy_task(), good_and_bad()
    fit = transfer.frozen_average(vectors)
    labels = task.train.labels
    (guess,) = fit(task.train.texts, labels, ["the film is great", "bad"], 0, [1e-3])
    assert guess.tolist() == [1, 0]
    guesses = transfer.bag_naive_bayes(
        task.train.texts, labels, ["good", "bad"], 0, (1.0, 0.1))
    assert [guess.tolist() for guess in guesses] == [[1, 0]] * 2


def test_frozen_average_is_a_bag_of_words_with_weights_E_times_V():
    """Averaging, then a linear layer, is one linear layer on the bag: rank D weights."""
    vectors, vocabulary = good_and_bad(), Vocabulary(tuple(good_and_bad()), (0,) * 9)
    E = np.stack(list(vectors.values()))  # (N, D)
    V = np.random.default_rng(3).normal(size=(7, 2))
    X = transfer.mean_matrix([["the", "film"], ["good", "good", "is"]], vocabulary)
    assert_allclose((X @ E) @ V, X @ (E @ V), rtol=0, atol=1e-5)


@pytest.mark.parametrize("vectors", [None, good_and_bad()])
def test_trained_average_learns_and_keeps_the_callers_vectors(vectors):
    before = None if vectors is None else {w: v.copy() for w, v in vectors.items()}
    task = toy_task()
    classify = transfer.trained_average(vectors, transfer.Training(epochs=6, batch=5))
    guess = classify(task.train.texts, task.train.labels, task.test.texts, 0)
    assert (guess == task.test.labels).mean() == 1.0
    for word in before or ():
        assert (vectors[word] == before[word]).all()


def test_adam_by_rows_is_torch_s():
    """SparseAdam on the same sparse gradients; rows rest in some steps."""
    rng = torch.Generator().manual_seed(0)
    E = torch.randn(7, 3, generator=rng)
    theirs = E.clone().requires_grad_()
    optimiser = torch.optim.SparseAdam([theirs], lr=0.05)
    ours = transfer.RowAdam(E, 0.05)
    for rows in ([0, 2, 5], [2], [1, 2, 6], [5, 0]):
        grad = torch.randn(len(rows), 3, generator=rng)
        theirs.grad = torch.sparse_coo_tensor(torch.tensor([rows]), grad, theirs.shape,
                                              check_invariants=True)
        optimiser.step()
        ours.step(torch.tensor(rows), grad)
    assert (E - theirs.detach()).abs().max() < 1e-6 < (E[2] - E[3]).abs().max()


def test_counts_by_number_are_the_bag_of_words():
    """`bag.count_matrix` on the vocabulary of the same texts; columns in another order."""
    texts = ["the film is good", "a good , good film", "unseen words", ""]
    documents = [transfer.with_bigrams(t) for t in texts]
    vocabulary = Vocabulary.from_tokens(w for d in documents[:2] for w in d)
    expected = bag.count_matrix(documents, vocabulary).toarray()
    numbers = [transfer._numbers(t) for t in texts]
    found = transfer._counts(numbers, np.unique(np.concatenate(numbers[:2]))).toarray()
    assert found.shape == expected.shape and expected.max() == 2
    assert sorted(map(tuple, found.T)) == sorted(map(tuple, expected.T))


@pytest.mark.parametrize("n, updates", [
    (32, 30),  # one batch of 32, thirty times
    (128, 30),  # two batches, fifteen times
    (512, 32),  # eight batches, four times
    (2000, 32),  # 31.25 batches, once
    (2002, 32),
])
def test_an_epoch_has_at_least_thirty_updates(n, updates):
    """Rounds of ceil(30 / ceil(n / 64)); every text is read in every round."""
    plan, g = transfer.Training(), torch.Generator().manual_seed(0)
    rounds = transfer._rounds(n, plan)
    picks = transfer._picks(n, plan.batch, rounds, g)
    assert len(picks) == updates and rounds == updates // -(-n // 64)
    assert (torch.cat(picks).bincount(minlength=n) == rounds).all()


def test_the_trial_reads_the_texts_as_often_as_the_final_run(monkeypatch):
    """2,000 labels: once an epoch, also the 1,600 (25 batches) that epochs are tried on."""
    asked = []

    def spy(n, batch, rounds, g, picks=transfer._picks):
        asked.append((n, rounds))
        return picks(n, batch, rounds, g)

    monkeypatch.setattr(transfer, "_picks", spy)
    task = toy_task(2000)
    classify = transfer.trained_average(None, transfer.Training(epochs=1, dim=2))
    classify(task.train.texts, task.train.labels, task.test.texts, 0)
    assert asked == [(1600, 1), (2000, 1)]


def test_few_texts_are_learned_at_once():
    """Eleven texts, one epoch: thirty updates teach what a single one does not."""
    task = toy_task()
    texts, labels = task.train.texts[:11], task.train.labels[:11]
    right = [
        (predict() == task.test.labels).mean()
        for updates in (1, 30)  # one batch each
        for predict in transfer._epochs(
            texts, labels, task.test.texts, 0, None,
            transfer.Training(), 1, updates)
    ]
    assert right[1] > 0.9 > right[0]


def test_words_that_were_not_trained_keep_their_vector():
    vectors = good_and_bad()
    plan = transfer.Training(dim=7)
    g = torch.Generator().manual_seed(0)
    vocabulary, E = transfer._starting_table(
        [["the", "good", "new"]], [["great", "never"]], vectors, plan.dim, g)
    assert vocabulary.types == ("good", "new", "the", "great")
    assert_allclose(E[3], vectors["great"], rtol=0, atol=0)
    assert "never" not in vocabulary


def test_wrong_shapes_and_sizes_are_refused():
    task = toy_task()
    with pytest.raises(ValueError, match="one prediction for each of the 21"):
        transfer.few_label_curve(lambda *a: [0], task, sizes=(6,), seeds=(0,))
    with pytest.raises(ValueError, match="from 2 to 60"):
        transfer.few_label_curve(lambda *a: [0], task, sizes=(61,), seeds=(0,))


def test_frozen_features_equal_softmax_regression_on_the_same_means():
    """The wrapper adds centring and one scale, nothing else."""
    task, vectors = toy_task(), good_and_bad()
    vocabulary = Vocabulary(tuple(vectors), (0,) * 9)
    E = np.stack(list(vectors.values())).astype(np.float64)
    Z, Z_test = (
        transfer.mean_matrix([transfer.lower_words(t) for t in part.texts], vocabulary) @ E
        for part in (task.train, task.test))
    centre = Z.mean(0)
    scale = np.sqrt(((Z - centre) ** 2).mean())
    W, b = bag.softmax_regression((Z - centre) / scale, task.train.labels, 2, decay=1e-2)
    expected = bag.predict((Z_test - centre) / scale, W, b)
    fit = transfer.frozen_average(vectors)
    (guess,) = fit(task.train.texts, task.train.labels, task.test.texts, 0, [1e-2])
    assert (guess == expected).all()
