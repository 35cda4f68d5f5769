"""The shared corpus: by hand on three lines, and the real one's figures."""

import numpy as np
import pytest

from course_utils import corpora

LINES = [["b", "a", "rare", "b"], [], ["a", "b", "c"], ["c"]]


def test_rare_words_go_before_sentences_are_laid_out():
    found = corpora.corpus_from_lines(LINES, min_count=2)
    assert found.vocabulary.types == ("b", "a", "c")
    assert found.counts.tolist() == [3, 2, 2] and len(found) == 7
    assert list(found.sentences()) == [["b", "a", "b"], ["a", "b", "c"], ["c"]]


def test_long_lines_are_cut_and_nothing_is_lost():
    found = corpora.corpus_from_lines(LINES, min_count=1, longest=2)
    assert [len(s) for s in found.sentences()] == [2, 2, 2, 1, 1]
    assert sum(found.sentences(), []) == sum(LINES, [])


def test_shuffling_keeps_counts_and_lengths():
    found = corpora.corpus_from_lines(LINES * 5, min_count=1)
    mixed = corpora.shuffled(found, np.random.default_rng(0))
    assert np.array_equal(np.bincount(mixed.ids), np.bincount(found.ids))
    assert np.array_equal(mixed.offsets, found.offsets)
    assert not np.array_equal(mixed.ids, found.ids)


@pytest.mark.parametrize("call, error, words", [
    (lambda: corpora.corpus_from_lines([]), ValueError, "got none"),
    (lambda: corpora.corpus_from_lines(["the dog"]), TypeError, "string"),
    (lambda: corpora.corpus_from_lines("the dog"), TypeError, "string"),
    (lambda: corpora.training_corpus("wikipedia"), TypeError, "string"),
    (lambda: corpora.training_corpus(["bible"]), ValueError, "wikipedia"),
])
def test_bad_input_says_what_to_do(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_the_wikipedia_half():
    """Counts of the vocabulary are those of the ids, sorted; no line exceeds the limit."""
    found = corpora.training_corpus(["wikipedia"])
    assert (len(found), len(found.vocabulary)) == (413_975, 8_613)
    assert np.array_equal(np.bincount(found.ids), found.counts)
    assert (np.diff(found.counts) <= 0).all() and found.counts.min() == 5
    assert np.diff(found.offsets).min() >= 1 and np.diff(found.offsets).max() <= 1000
