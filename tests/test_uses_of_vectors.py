"""What the pages on frequency, analogies, transfer and sentences define in their cells."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from teaching import taught

from course_utils import corpora, sentences, similarity, transfer
from course_utils.text import Vocabulary

ANALOGIES, TRANSFER = "03d_analogies", "03e_transfer"
SENTENCES, FREQUENCY = "03f_sentences", "03c_frequency"


# ---- analogies --------------------------------------------------------------------------


def vectors(n=23, d=7, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


@pytest.mark.parametrize("rule", ["3cosadd", "3cosmul"])
def test_the_taught_scores_give_the_answers_of_the_library(rule):
    add, mul = taught(ANALOGIES, "three_cos_add", "three_cos_mul")
    E, rng = vectors(), np.random.default_rng(1)
    Q = np.stack([rng.permutation(23)[:3] for _ in range(11)])
    scores = {"3cosadd": add, "3cosmul": mul}[rule](similarity.unit_rows(E), *Q.T)
    free = similarity.solve_analogies(E, Q, rule=rule, exclude=False)
    assert (scores.argmax(1) == free).all()
    np.put_along_axis(scores, Q, -np.inf, axis=1)
    assert (scores.argmax(1) == similarity.solve_analogies(E, Q, rule=rule)).all()


def test_the_toy_catches_three_wrong_solvers():
    """man, woman, king, queen, the: t = (3, 1); cosines in the page's text."""
    toy = np.array([[1, 1], [1, 2], [3, 0], [2, 2], [5, -4]], dtype=float)
    a, b, c, queen, the = range(5)
    t = toy[c] + toy[b] - toy[a]
    cosine = toy @ t / np.linalg.norm(toy, axis=1) / np.linalg.norm(t)
    assert_allclose(cosine, [4 / 20**.5, 5 / 50**.5, 9 / 90**.5, 8 / 80**.5, 11 / 410**.5],
                    rtol=0, atol=1e-12)
    kept = [queen, the]
    right = kept[cosine[kept].argmax()]
    no_exclusion = cosine.argmax()
    no_norm = (toy @ t).argmax()
    turned = toy[c] - toy[b] + toy[a]
    swapped = kept[(toy[kept] @ turned / np.linalg.norm(toy[kept], axis=1)).argmax()]
    assert (right, no_exclusion, no_norm, swapped) == (queen, c, the, the)
    assert similarity.solve_analogies(toy, [[a, b, c]])[0] == queen


def test_closure_is_zero_for_a_parallelogram_and_one_for_no_step():
    closure = taught(ANALOGIES, "closure")
    V = np.array([[0.0, 0], [0, 1], [2, 0], [2, 1], [2, 2]])
    assert closure(V, 0, 1, 2, 3) == 0.0
    assert closure(V, 1, 1, 2, 4) == 1.0  # a = b: the corner is c
    assert closure(V, 0, 1, 2, 4) == 0.5


# ---- transfer ---------------------------------------------------------------------------


def test_gradients_of_the_averaging_classifier_by_finite_differences():
    gradients = taught(TRANSFER, "gradients")
    rng = np.random.default_rng(2)
    N, D, K, M = 7, 3, 2, 5
    X = transfer.mean_matrix([list("abca"), list("cd"), ["e"], list("aee"), ["b"]],
                             Vocabulary(tuple("abcdefg"), (0,) * N))
    E, V, b = rng.normal(size=(N, D)), rng.normal(size=(D, K)), rng.normal(size=K)
    Y = np.eye(K)[[0, 1, 1, 0, 1]]

    def loss(E, V):
        scores = X @ E @ V + b
        return -(Y * (scores - np.log(np.exp(scores).sum(1, keepdims=True)))).sum() / M

    dV, dE = gradients(X, E, V, b, Y)
    for table, found, which in ((E, dE, 0), (V, dV, 1)):
        for place in np.ndindex(table.shape):
            step = np.zeros_like(table)
            step[place] = 1e-5
            ends = [loss(*((E + s * step, V) if which == 0 else (E, V + s * step)))
                    for s in (1, -1)]
            assert abs((ends[0] - ends[1]) / 2e-5 - found[place]) < 1e-8
    assert (dE[5:] == 0).all()  # words that no label shows do not move


# ---- sentences --------------------------------------------------------------------------


def test_the_taught_contrastive_loss_is_the_librarys():
    loss = taught(SENTENCES, "contrastive_loss")
    g = torch.Generator().manual_seed(0)
    u, v = torch.randn(7, 5, generator=g), torch.randn(7, 5, generator=g)
    assert abs(loss(u, v) - sentences.contrastive_loss(u, v)) < 1e-6
    assert abs(loss(u, v) - loss(v, u)) > 1e-3  # rows and columns are not exchanged


def test_the_taught_loop_is_the_librarys_writing_loss():
    N, D, H = 11, 3, 6
    table = torch.randn(N, D, generator=torch.Generator().manual_seed(1))
    loss = taught(SENTENCES, "writing_loss", table=table)
    torch.manual_seed(2)
    model = sentences.SkipThought(table, H, start=2, stop=3)
    ids, next_ids = torch.tensor([[4, 5, 6], [7, 0, 0]]), torch.tensor([[8, 9], [10, 0]])
    batch = ids, torch.tensor([3, 1]), next_ids, torch.tensor([2, 1])
    assert abs(loss(model, *batch) - model.loss(*batch)) < 1e-5


def test_updates_to_a_level_interpolate_and_admit_never():
    updates_to = taught(SENTENCES, "updates_to")
    assert updates_to(0.3, [0, 10, 20], [0.1, 0.2, 0.4]) == 15
    assert np.isnan(updates_to(0.5, [0, 10, 20], [0.1, 0.2, 0.4]))


# ---- frequency --------------------------------------------------------------------------


def test_twins_take_over_occurrences_and_nothing_else_changes():
    """Common words get all bands in turn, the others the rare ones."""
    BANDS = np.array([2, 3, 4, 10])
    plant = taught(FREQUENCY, "plant", BANDS=BANDS, RARE=BANDS[:3])
    counts = {"a": 30, "b": 20, "c": 25, "d": 22, "e": 12, "f": 8, "g": 7}
    corpus = corpora.corpus_from_lines([[w] * n for w, n in counts.items()], min_count=1)
    new, original, band = plant(corpus, np.random.default_rng(0))
    common = corpus.counts[original] >= 20
    assert sorted(band[common]) == [2, 3, 4, 10] and sorted(band[~common]) == [2, 3]
    assert len(set(original)) == 6 and corpus.counts[original].min() == 8
    assert (new.counts[7:] == band).all()
    back = np.concatenate([np.arange(7), original])[new.ids]
    assert (back == corpus.ids).all() and (new.offsets == corpus.offsets).all()
    again = plant(corpus, np.random.default_rng(1))[1]
    assert list(again[:4]) != list(original[:4])  # dealt anew


def test_reciprocal_ranks_by_hand():
    """Second twin: cosines 0.894, 0.614 and -0.356 come before its original's -0.447."""
    ranks = taught(FREQUENCY, "reciprocal_ranks")
    toy = np.array([[1, 0], [0, 1], [-1, 0.2], [1, 0.1], [-0.5, 1]])
    assert ranks(toy, [0, 0]).tolist() == [1.0, 0.25]
    assert ranks(toy, [0, 1]).tolist() == [1.0, 1.0]
