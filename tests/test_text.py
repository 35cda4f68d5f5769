"""Tokens, types and the vocabulary: numbers checkable by hand, and the errors' texts."""

import pytest

from course_utils.text import Vocabulary, characters, ngrams, words

SLIDE = "the dog is on the table"


def test_the_slide_sentence_has_six_tokens_and_five_types():
    tokens = words(SLIDE)
    assert len(tokens) == 6
    assert len(Vocabulary.from_tokens(tokens)) == 5


def test_words_keep_case_apostrophes_and_punctuation():
    assert words("L'été, isn't it?") == ["L'été", ",", "isn't", "it", "?"]


def test_words_of_an_empty_text_are_none():
    assert words("") == [] and characters("") == []


def test_order_is_specials_then_count_then_alphabet():
    vocabulary = Vocabulary.from_tokens(list("bbaacddd"), specials=("<pad>", "<unk>"))
    assert vocabulary.types == ("<pad>", "<unk>", "d", "a", "b", "c")
    assert vocabulary.counts == (0, 0, 3, 2, 2, 1)


def test_order_does_not_depend_on_the_order_of_the_text():
    assert Vocabulary.from_tokens(list("abcabd")) == Vocabulary.from_tokens(list("dbacba"))


def test_min_count_and_max_size_bound_the_list():
    tokens = list("aaabbc")
    assert Vocabulary.from_tokens(tokens, min_count=2).types == ("a", "b")
    bounded = Vocabulary.from_tokens(tokens, max_size=2, specials=("<unk>",))
    assert bounded.types == ("<unk>", "a")


def test_encode_then_decode_is_the_identity_on_known_tokens():
    tokens = words(SLIDE)
    vocabulary = Vocabulary.from_tokens(tokens)
    assert vocabulary.decode(vocabulary.encode(tokens)) == tokens


def test_unknown_tokens_raise_unless_the_caller_chooses():
    vocabulary = Vocabulary.from_tokens(["a"], specials=("<unk>",))
    with pytest.raises(KeyError, match="'b' is not among the 2 types"):
        vocabulary.encode(["b"])
    assert vocabulary.encode(["b", "a"], unknown="<unk>") == [0, 1]
    assert vocabulary.encode(["b", "a"], skip=True) == [1]


@pytest.mark.parametrize("call", [
    lambda: Vocabulary.from_tokens("abc"),
    lambda: Vocabulary.from_tokens(["a"]).encode("a"),
    lambda: ngrams("abc", 2),
])
def test_a_bare_string_is_never_taken_for_tokens(call):
    with pytest.raises(TypeError, match="expected a sequence of tokens"):
        call()


def test_an_empty_vocabulary_says_what_to_do():
    with pytest.raises(ValueError, match="min_count too high"):
        Vocabulary.from_tokens(["a"], min_count=2)


def test_duplicate_types_are_refused():
    with pytest.raises(ValueError, match="got twice"):
        Vocabulary(("a", "a"), (1, 1))


def test_ngrams_counts_by_hand():
    assert ngrams(list("abcd"), 3) == [tuple("abc"), tuple("bcd")]
    assert ngrams(["a"], 2) == []
    with pytest.raises(ValueError, match="at least 1"):
        ngrams(["a"], 0)


def test_text_functions_refuse_lists():
    with pytest.raises(TypeError, match="expected one string, got list"):
        words(["a b"])
