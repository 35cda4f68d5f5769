"""Subwords: gensim's n-grams and hashes bucket by bucket, vectors, one step by hand."""

import unicodedata

import numpy as np
import pytest
import torch
from gensim.models.fasttext import FastTextKeyedVectors, ft_ngram_hashes
from teaching import taught

from course_utils import subwords
from course_utils.corpora import corpus_from_lines
from course_utils.subwords import Scheme, SubwordVectors
from course_utils.text import Vocabulary
from course_utils.trainer import Run, Settings, Shape, batches

SCRIPTS = ((97, 122), (224, 255), (945, 969), (1072, 1103), (1488, 1514), (2309, 2361),
           (12353, 12435), (19968, 20400), (0x1F600, 0x1F640))


def strange_words(n=3000):
    """Words of 1 to 14 characters out of nine alphabets, one of them beyond 16 bits."""
    rng = np.random.default_rng(0)
    for _ in range(n):
        low, high = SCRIPTS[rng.integers(len(SCRIPTS))]
        yield "".join(map(chr, rng.integers(low, high, size=rng.integers(1, 15))))


def test_ngrams_by_hand():
    assert subwords.ngrams("where", 3, 3) == ["<wh", "whe", "her", "ere", "re>"]
    assert subwords.ngrams("a", 1, 2) == ["<a", "a", "a>"]  # no lone < or >
    assert subwords.ngrams("a", 4, 6) == []


def test_the_marks_tell_a_word_from_a_part():
    """her the word is <her>; her inside where is another n-gram."""
    assert "<her>" in subwords.ngrams("her") and "<her>" not in subwords.ngrams("where")


def test_fnv1a_by_hand():
    """h(empty) is the offset; h('é') flips by 0xFFFFFFC3, then by 0xFFFFFFA9."""
    h = 2166136261
    assert subwords.fnv1a("") == h
    for signed in (0xFFFFFFC3, 0xFFFFFFA9):
        h = (h ^ signed) * 16777619 % 2**32
    assert subwords.fnv1a("é") == h


@pytest.mark.parametrize(("shortest", "longest", "n_buckets"),
                         [(3, 6, 2_000_000), (1, 4, 997), (2, 2, 1)])
def test_buckets_equal_gensims(shortest, longest, n_buckets):
    """Thousands of words, most of them not ASCII, in gensim's order."""
    known = ["the", "naïve", unicodedata.normalize("NFD", "naïve"), "<", ">", "a b", "Straße"]
    for word in [*known, *strange_words()]:
        theirs = ft_ngram_hashes(word, shortest, longest, n_buckets)
        assert subwords.buckets(word, n_buckets, shortest, longest) == list(theirs), word


def test_vectors_equal_gensims_known_or_not():
    vocabulary = Vocabulary(("night", "nights", "día"), (3, 2, 1))
    scheme = Scheme(n_buckets=31)
    Z = np.random.default_rng(0).normal(size=(3 + 31, 5)).astype(np.float32)
    ours = SubwordVectors(vocabulary, Z, scheme)
    theirs = FastTextKeyedVectors(5, 3, 6, bucket=31)
    theirs.add_vectors(list(vocabulary.types), Z[:3])
    theirs.vectors_vocab, theirs.vectors_ngrams = Z[:3].copy(), Z[3:].copy()
    theirs.recalc_char_ngram_buckets()
    theirs.adjust_vectors()
    for word in (*vocabulary.types, "knight", "nightly", "dias"):
        np.testing.assert_allclose(ours[word], theirs[word], rtol=0, atol=1e-6)


def test_a_step_moves_every_row_of_a_word_by_the_change_of_its_mean():
    """Two words that share rows: h moves by d, so each of its rows moves by d."""
    vocabulary = Vocabulary(("sing", "singer", "oak"), (3, 2, 1))
    composer = subwords.Composer(vocabulary, Scheme(n_buckets=13))
    Z = torch.randn(16, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before, H = Z.clone(), torch.zeros(4, 5, dtype=torch.float64)
    d = torch.arange(10.0, dtype=torch.float64).reshape(2, 5)
    words = torch.tensor([0, 1])
    seen = []

    def step():
        seen.append(H[:2].clone())
        H[words] += d

    subwords.subword_step(Z, H, composer, step, words)
    expected = before.clone()
    for i, word in enumerate(("sing", "singer")):
        rows = [i, *Scheme(n_buckets=13).rows(word, 3)]
        torch.testing.assert_close(seen[0][i], before[rows].mean(0), rtol=0, atol=1e-14)
        for row in rows:  # a row may come twice: it moves twice
            expected[row] += d[i]
    torch.testing.assert_close(Z, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n_buckets", [1, 2, 13])
def test_rows_of_many_words_are_damped_by_their_own_steps(n_buckets):
    """Row by row in plain Python: sing has 11 rows, singer 19, and each of them takes its
    share of 33 steps (of which 22 count, the most) and of 19. In one bucket that makes
    10 (22 / 11) + 18 (19 / 19) = 38 steps: it moves by 22 / 38 of the sum."""
    vocabulary, scheme = Vocabulary(("sing", "singer", "oak"), (3, 2, 1)), Scheme(n_buckets)
    composer, most = subwords.Composer(vocabulary, scheme), 22.0
    Z = torch.randn(3 + n_buckets, 5, dtype=torch.float64,
                    generator=torch.Generator().manual_seed(0))
    before, H = Z.clone(), torch.zeros(4, 5, dtype=torch.float64)
    d = torch.arange(10.0, dtype=torch.float64).reshape(2, 5)
    words, steps = torch.tensor([0, 1]), torch.tensor([33.0, 19.0], dtype=torch.float64)

    def step():
        H[words] += d

    subwords.subword_step(Z, H, composer, step, words, most, steps)
    made, move = [0.0] * len(Z), torch.zeros_like(Z)
    for i, word in enumerate(("sing", "singer")):
        rows = [i, *scheme.rows(word, 3)]
        for row in rows:
            made[row] += min(float(steps[i]), most) / len(rows)
            move[row] += d[i]
    for row in range(len(Z)):
        move[row] *= min(1.0, most / made[row]) if made[row] else 1.0
    assert made[:3] == [2, 1, 0] and (n_buckets > 1 or made[3] == 38)
    torch.testing.assert_close(Z, before + move, rtol=0, atol=1e-12)


def test_steps_of_a_centre_by_hand():
    """Window 1, K 5, all of one block: a has 1 context, b 2, so 6 (1 + 2) with two a's."""
    run = Run(corpus_from_lines([["a", "b", "a"]], min_count=1),
              Settings(dimension=2, window=1, subsample=0.0), Shape(block=3), "cpu")
    (part, band, weight, _), = batches(run, 0, 0)
    found = subwords.steps_of(part, band, weight, 3)
    assert found.tolist() == pytest.approx([12, 12, 0])


def test_training_gives_words_of_one_stem_similar_vectors():
    """Two topics that never mix, three seeds: an unseen inflection lands on its own side."""
    rng = np.random.default_rng(0)
    sides = ["sailor sailing sails harbour anchor".split(),
             "baker baking bakes kitchen flour".split()]
    lines = [rng.choice(sides[k % 2], size=9).tolist() for k in range(300)]
    for seed in range(3):
        settings = Settings(dimension=11, window=3, epochs=3, rate=0.05, subsample=0, seed=seed)
        found = subwords.train(corpus_from_lines(lines, min_count=1), settings,
                               scheme=Scheme(n_buckets=499), shape=Shape(block=8, batch=1))
        unseen, sea, oven = found["sailed"], found["anchor"], found["flour"]

        def cosine(a, b):
            return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

        assert cosine(unseen, sea) > cosine(unseen, oven) + 0.1


def test_same_seed_same_vectors():
    corpus = corpus_from_lines([["a", "bb", "ccc", "bb"]] * 20, min_count=1)
    runs = [subwords.train(corpus, Settings(dimension=3, epochs=1), scheme=Scheme(n_buckets=7))
            for _ in range(2)]
    assert np.array_equal(runs[0].Z, runs[1].Z)


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="shortest"):
        subwords.ngrams("word", 4, 3)
    with pytest.raises(ValueError, match="at least 1 character"):
        subwords.ngrams("")
    with pytest.raises(ValueError, match="n_buckets"):
        subwords.buckets("word", 0)
    vectors = SubwordVectors(Vocabulary(("a",), (1,)), np.ones((3, 2)), Scheme(2, 4, 6))
    with pytest.raises(KeyError, match="no n-gram"):
        vectors["b"]
    with pytest.raises(TypeError, match="corpus_from_lines"):
        subwords.train("the dog")
    toy = Vocabulary(("a", "b"), (1, 1))
    for Z in (np.ones((3, 2)), np.full((2 + 7, 2), np.nan)):
        with pytest.raises(ValueError, match="finite vectors in 9 rows"):
            SubwordVectors(toy, Z, Scheme(7))
    with pytest.raises(ValueError, match="skip-gram"):
        subwords.train(corpus_from_lines([["a", "a"]], min_count=1), Settings(model="cbow"))


def test_the_chapters_ngrams_and_hash_are_the_librarys():
    ngrams, fnv1a = taught("04c_fasttext", "ngrams", "fnv1a")
    for word in ["where", "été", "a", *strange_words(200)]:
        assert ngrams(word) == subwords.ngrams(word)
        assert fnv1a(word) == subwords.fnv1a(word)
