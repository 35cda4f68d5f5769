"""Evaluation of vectors: geometry set up by hand, gensim and scipy as twins."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from course_utils import similarity as sim
from course_utils.text import Vocabulary

WORDS = tuple("man woman king queen apple".split())
E = np.array([[1.0, 0, 0], [1, 1, 0], [1, 0, 2], [1, 1, 2], [-1, 0.5, -0.5]])
VOCABULARY = Vocabulary(WORDS, (5, 4, 3, 2, 1))


def test_neighbours_by_hand():
    """cos(man, woman) = 1/sqrt 2, cos(man, king) = 1/sqrt 5, cos(man, apple) < 0."""
    found = sim.most_similar(E, VOCABULARY, "man", 4)
    assert [word for word, _ in found] == ["woman", "king", "queen", "apple"]
    assert found[0][1] == pytest.approx(2**-0.5) and found[1][1] == pytest.approx(5**-0.5)
    assert found[3][1] < 0


def test_a_word_is_not_its_own_neighbour_and_scale_is_nothing():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(13, 5))
    scaled = A * rng.uniform(0.1, 9, size=(13, 1))
    rows, k = np.arange(13), 12
    near, cosines = sim.nearest(A, rows, k)
    assert all(set(row) == set(range(13)) - {i} for i, row in enumerate(near))
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert np.array_equal(near, sim.nearest(scaled, rows, k)[0])


def test_a_zero_vector_does_not_poison_the_rest():
    A = np.vstack([E, np.zeros(3)])
    assert np.isfinite(sim.nearest(A, [0, 5], 3)[1]).all()


def test_spearman_equals_scipy_with_ties_and_coverage():
    rng = np.random.default_rng(2)
    words = [f"w{i}" for i in range(23)]
    A = rng.normal(size=(23, 3)).round(1)
    pairs = [(words[i], words[j], float(rng.integers(0, 5)))
             for i, j in rng.integers(0, 23, size=(41, 2))]
    found = sim.word_similarity(A, {w: i for i, w in enumerate(words)},
                                pairs + [("w1", "unseen", 3.0)])
    unit = sim.unit_rows(A)
    cosines = [unit[int(a[1:])] @ unit[int(b[1:])] for a, b, _ in pairs]
    expected = spearmanr(cosines, [r for _, _, r in pairs]).statistic
    assert found.score == pytest.approx(expected, abs=1e-12)
    assert (found.covered, found.pairs) == (41, 42)
    assert found.low < found.score < found.high


def test_scores_equal_gensim(monkeypatch):
    from gensim.models import KeyedVectors

    from course_utils import data

    rng = np.random.default_rng(0)
    pairs, questions = data.wordsim353(), data.google_analogies()
    some = {"family": questions["family"], "currency": questions["currency"][:200]}
    words = sorted({w.lower() for a, b, _ in pairs for w in (a, b)}
                   | {w.lower() for rows in some.values() for q in rows for w in q})
    A = rng.normal(size=(len(words), 7)).astype(np.float32)
    theirs, ours = KeyedVectors(7), {w: i for i, w in enumerate(words)}
    theirs.add_vectors(words, A)
    kept = [(a, b, r) for a, b, r in pairs]
    cosines = [theirs.similarity(a.lower(), b.lower()) for a, b, _ in kept]
    assert sim.word_similarity(A, ours, pairs).score == pytest.approx(
        spearmanr(cosines, [r for _, _, r in kept]).statistic, abs=1e-3)
    rows = [[w.lower() for w in q] for q in some["family"][:40]]
    expected = [theirs.most_similar(positive=[b, c], negative=[a], topn=1)[0][0]
                for a, b, c, _ in rows]
    mul = [theirs.most_similar_cosmul(positive=[b, c], negative=[a], topn=1)[0][0]
           for a, b, c, _ in rows]
    monkeypatch.setattr(sim, "EPSILON", 1e-6)
    ids = np.array([[ours[w] for w in q] for q in rows])
    assert [words[i] for i in sim.solve_analogies(A, ids)] == expected
    assert [words[i] for i in sim.solve_analogies(A, ids, rule="3cosmul")] == mul


def test_analogy_by_hand_and_the_planted_mistake():
    """man : woman = king : queen holds exactly before normalising; here it wins.

    Without exclusion a question word wins when the offset b - a is short.
    """
    assert sim.solve_analogies(E, [[0, 1, 2]]).tolist() == [3]
    near = np.array([[1.0, 0], [1, 0.1], [0, 1], [0.3, 1], [-1, -1]])
    ask = [[0, 1, 2]]
    assert sim.solve_analogies(near, ask).tolist() == [3]
    assert sim.solve_analogies(near, ask, exclude=False).tolist() == [2]


def test_categories_add_up_and_batches_change_nothing():
    questions = {"royal": [("man", "woman", "king", "queen"), ("Man", "King", "woman", "queen")],
                 "fruit": [("man", "woman", "apple", "pear")]}
    for batch in (1, 7):
        found = sim.analogies(E, VOCABULARY, questions, batch=batch)
        assert found.by_category["fruit"] == (0, 0, 1)
        assert found.by_category["royal"][1:] == (2, 2)
        assert (found.covered, found.asked) == (2, 3)
    assert sim.analogies(E, VOCABULARY, questions, lower=False).covered == 1
    assert sim.analogies(E[:4], VOCABULARY, questions).covered == 2
    low, high = found.interval
    assert low <= found.accuracy <= high


def test_overlap_is_one_under_rotation_and_near_chance_for_noise():
    rng = np.random.default_rng(4)
    A = rng.normal(size=(101, 7))
    Q = np.linalg.qr(rng.normal(size=(7, 7)))[0]
    rows = np.arange(101)
    assert sim.neighbour_overlap(A, A @ Q * 3, rows, k=5).mean() == 1
    assert sim.neighbour_overlap(A, rng.normal(size=(101, 11)), rows, k=5).mean() < 0.15


@pytest.mark.parametrize("call, error, words", [
    (lambda: sim.unit_rows([[np.nan, 1]]), ValueError, "NaN"),
    (lambda: sim.unit_rows([1.0, 2]), ValueError, "shape"),
    (lambda: sim.most_similar(E, VOCABULARY, "Queen"), KeyError, "lower case"),
    (lambda: sim.nearest(E, [0], 5), ValueError, "1 to 4"),
    (lambda: sim.neighbour_overlap(E, E[:3], [0]), ValueError, "one vocabulary"),
    (lambda: sim.word_similarity(E, VOCABULARY, [("x", "y", 1.0)]), ValueError, "at least 3"),
    (lambda: sim.analogies(E, VOCABULARY, {"a": [("x",) * 4]}), ValueError, "known words"),
    (lambda: sim.solve_analogies(E, [[0, 1, 2]], rule="cosine"), ValueError, "3cosadd"),
    (lambda: sim.solve_analogies(E, []), ValueError, "at least one"),
])
def test_bad_input_says_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()
