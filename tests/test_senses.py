"""The table of senses, and the score that tells them apart."""

import doctest

import numpy as np
import pytest
from teaching import taught

from course_utils import senses


def test_examples_in_the_docstrings():
    assert doctest.testmod(senses).failed == 0


def test_each_sentence_holds_its_word_once_and_no_sentence_comes_twice():
    uses = list(senses.occurrences())
    assert len(uses) == len({use.tokens for use in uses}) == 8 * 2 * 8
    for use in uses:
        assert use.tokens.count(use.word) == 1 and use.tokens[use.place] == use.word
        assert " ".join(use.tokens) == " ".join(use.tokens).lower()


def test_at_least_six_words_with_stick_first_and_two_senses_each():
    assert list(senses.SENSES)[0] == "stick" and len(senses.SENSES) >= 6
    assert all(
        len(table) == 2 and all(len(sentences) == 8 for sentences in table.values())
        for table in senses.SENSES.values()
    )


def test_shuffling_keeps_the_bag_and_the_place_of_the_word():
    use = next(senses.occurrences())
    other = senses.shuffled(use, np.random.default_rng(0))
    assert sorted(other.tokens) == sorted(use.tokens) and other.tokens != use.tokens
    assert other.tokens[use.place] == use.word


def test_auc_by_hand():
    """0.9 beats both, 0.4 loses to 0.5 and ties with 0.4: (1 + 1 + 0 + 1/2) / 4."""
    assert senses.auc([0.9, 0.4], [0.5, 0.4]) == 0.625


def test_auc_is_that_of_scikit_learn():
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(1)
    p, n = rng.integers(0, 9, 11) / 8, rng.integers(0, 9, 13) / 8
    wanted = roc_auc_score([1] * 11 + [0] * 13, np.concatenate([p, n]))
    assert abs(senses.auc(p, n) - wanted) < 1e-12


def test_the_chapter_teaches_the_same_auc():
    rng = np.random.default_rng(2)
    p, n = rng.integers(0, 5, 7) / 4, rng.integers(0, 5, 5) / 4
    assert abs(taught("05_elmo", "auc")(p, n) - senses.auc(p, n)) < 1e-12


def test_static_vectors_score_exactly_one_half():
    """All cosines are 1 up to rounding; a comparison without a tolerance would drift."""
    uses = [u for u in senses.occurrences() if u.word in ("stick", "bank")]
    rng = np.random.default_rng(0)
    table = {word: rng.normal(size=50).astype(np.float32) for word in ("stick", "bank")}
    found = senses.by_word(np.stack([table[u.word] for u in uses]), uses)
    assert found == {"stick": 0.5, "bank": 0.5}


def test_separability_does_not_depend_on_the_length_of_vectors():
    rng = np.random.default_rng(3)
    x, sense = rng.normal(size=(13, 5)), np.arange(13) % 2
    stretched = x * rng.uniform(0.1, 9, size=(13, 1))
    assert abs(senses.separability(x, sense) - senses.separability(stretched, sense)) < 1e-12


def test_exchanged_labels_are_scored_as_separability_scores_them():
    rng = np.random.default_rng(4)
    x, sense = np.round(rng.normal(size=(9, 3))), np.arange(9) % 2
    x[:, 0] += 0.1  # no zero row; rounding makes ties
    found = senses.relabelled(x, sense, rng=np.random.default_rng(5), draws=20)
    again = np.random.default_rng(5)
    wanted = [senses.separability(x, again.permutation(sense)) for _ in range(20)]
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), np.full((3, 2), np.nan), np.ones(3)])
def test_vectors_without_a_direction_are_refused(bad):
    with pytest.raises((ValueError, np.exceptions.AxisError)):
        senses.cosines(bad)


def test_wrong_number_of_labels_or_rows_is_refused():
    with pytest.raises(ValueError, match="3 labels"):
        senses.separability(np.eye(3), np.array([0, 1]))
    with pytest.raises(ValueError, match="1 rows"):
        senses.by_word(np.eye(3), [next(senses.occurrences())])
