"""The tokenizer against the tokenizers library on the real vocabulary; the trainer by hand."""

import random
from collections import Counter
from itertools import islice

import pytest

from course_utils import data
from course_utils import wordpiece as wp
from course_utils import wordpiece_training as wt
from teaching import taught

TINY = (*wp.SPECIALS, "un", "##aff", "##able", "a", "##a", ".", "好", "the")


@pytest.fixture(scope="module")
def files():
    try:
        return data.minilm_files()
    except data.DataError as error:
        pytest.skip(f"minilm is out of reach: {error.got}")


@pytest.fixture(scope="module")
def reference(files):
    """The library's tokenizer, from the published file, neither cut nor padded."""
    library = pytest.importorskip("tokenizers")
    tokenizer = library.Tokenizer.from_file(str(files["tokenizer.json"]))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


@pytest.fixture(scope="module")
def ours(files):
    return wp.WordPiece.read(files["vocab.txt"])


HARD = (
    "", " ", "\t\n\r", "a", "Élève naïve, coöpérer: ÅNGSTRÖM.", "e\u0301 \u0130stanbul Straße",
    "ΟΔΥΣΣΕΥΣ Σίσυφος", "北京 is 京都? 龍馬がゆく", "한국어 조선", "ภาษาไทย", "हिन्दी में",
    "naïve\u200b\u200dzero\ufeffwidth\x00\x07bell\ufffd", "no\u00a0break\u2003space\u3000x",
    "don't!?... $5.00 (50%) [sic] {a_b} ~x^2 <tag/> `q` a=b+c|d", "“quotes” — ‘dash’ … ¿qué?",
    "x" * 99, "x" * 100, "x" * 101, "é" * 100 + " " + "é" * 101, "🙂 👍🏽 emoji 🇫🇷",
    "𝒎𝒂𝒕𝒉 ﬁne ½ ² Ⅳ", "supercalifragilisticexpialidocious", "http://a.b/c?d=e&f#g",
    "[MASK] [CLS] [SEP] [PAD] [UNK]", "a[MASK]b [mask] [MASK", "[[MASK]]", "##ing ## #",
    "\ue000private \U0010ffff", "tab\there\u2028line\u2029par\x85nel\x1cfs", "İıſK", "ﷺ",
    "Å ≠ Å", "a\u0301\u0302\u0303", "֑וּ עברית", "العَرَبِيَّة", "١٢٣", "ǅ ǈ Ǳ",
)
POOL = (
    [chr(c) for c in range(1, 0x250)] + list("αΣςџЖёאבلمぁカ가漢字龍—“”…•€₤∑🙂") +
    ["\u0301", "\u200b", "\u200d", "\ufeff", "\u3000", "[MASK]", "[SEP]", "##", "the ", "ing "]
)


def sentences():
    """Over 3,000: hard ones, random mixtures, and real texts in four scripts."""
    rng = random.Random(0)
    yield from HARD
    for _ in range(1500):
        yield "".join(rng.choices(POOL, k=rng.randint(1, 40)))
    for key in ("k", "l", "s", "r", "c", "j", "y"):
        try:
            verses = data.bible(key).verses[key]
        except data.DataError:
            continue
        yield from islice(verses, 0, None, 151)


def test_same_tokens_as_the_library(ours, reference):
    checked, kinds = 0, Counter()
    for sentence in sentences():
        wanted = reference.encode(sentence)
        got = ours.encode(sentence, read_specials=True)
        assert got.ids == wanted.ids, sentence
        assert ours.vocabulary.decode(got.ids) == wanted.tokens
        checked += 1
        kinds["unknown"] += wp.UNKNOWN in wanted.tokens[1:-1]
        kinds["long"] += any(len(w) > 100 for w in sentence.split())
        kinds["chinese"] += any(map(wp.is_chinese, sentence))
        kinds["accents"] += sentence != wp.normalise(sentence)
        kinds["control"] += any(map(wp.is_control, sentence))
    assert checked >= 1000 and min(kinds.values()) >= 3


def test_same_pairs_and_segments_as_the_library(ours, reference):
    for first, second in (("the dog", "is on the table."), ("", "a"), ("[SEP]", "b b")):
        wanted = reference.encode(first, second)
        got = ours.encode(first, second, read_specials=True)
        assert (got.ids, got.segments) == (wanted.ids, wanted.type_ids)


def test_text_that_is_only_text_equals_the_library(ours, files):
    """Specials written in the text are not special, unless one asks for it."""
    library = pytest.importorskip("tokenizers")
    reference = library.Tokenizer.from_file(str(files["tokenizer.json"]))
    reference.encode_special_tokens = True
    reference.no_truncation()
    reference.no_padding()
    text = "ignore [SEP] this [MASK]"
    assert ours.encode(text).ids == reference.encode(text).ids
    assert ours.vocabulary[wp.MASK] not in ours.encode(text).ids


def test_every_character_of_the_basic_plane(reference):
    """Only characters that are younger than the library's Unicode tables may differ."""
    library = pytest.importorskip("tokenizers")
    normaliser = library.normalizers.BertNormalizer()
    splitter = library.pre_tokenizers.BertPreTokenizer()
    different = 0
    for point in (*range(0xD800), *range(0xE000, 0x10000)):
        text = f"a{chr(point)}b"
        theirs = normaliser.normalize_str(text)
        words = [word for word, _ in splitter.pre_tokenize_str(theirs)]
        same = wp.normalise(text) == theirs and wp.split_words(theirs) == words
        assert same or point >= 0x0590  # Latin, Greek, Cyrillic, Armenian: no exception
        different += not same
    assert different < 250


def test_longest_match_is_greedy_and_not_the_shortest_cut():
    """'abcd' with ab, ##c, ##d, a, ##bcd: greedy takes ab ##c ##d, three pieces."""
    pieces = {"a", "ab", "##c", "##d", "##bcd"}
    assert wp.longest_match("abcd", pieces) == ["ab", "##c", "##d"]
    assert wp.longest_match("abce", pieces) == [wp.UNKNOWN]
    assert wp.longest_match("a" * 5, {"a", "##a"}, longest=4) == [wp.UNKNOWN]


def test_inputs_by_hand():
    tokenizer = wp.WordPiece(TINY)
    assert tokenizer.tokenize("Unaffable.好") == ["un", "##aff", "##able", ".", "好"]
    ids, segments = tokenizer.encode("the", "a a")
    assert tokenizer.vocabulary.decode(ids) == "[CLS] the [SEP] a a [SEP]".split()
    assert segments == [0, 0, 0, 1, 1, 1]
    assert tokenizer.decode(tokenizer.encode("unaffable a").ids) == "unaffable a"
    assert tokenizer.special_ids == (0, 1, 2, 3, 4)


def test_cutting_takes_from_the_longer_text():
    tokenizer = wp.WordPiece(TINY)
    ids, segments = tokenizer.encode("the the the the", "a a", max_length=7)
    assert tokenizer.vocabulary.decode(ids) == "[CLS] the the [SEP] a a [SEP]".split()
    assert len(segments) == 7
    assert len(tokenizer.encode("the the the", max_length=4).ids) == 4
    with pytest.raises(ValueError, match="room for a token a text, got 1"):
        tokenizer.encode("the", "a", max_length=4)


# ---- planted mistakes of the tokenizer --------------------------------------------------


def shortest_match(word, vocabulary):
    pieces, start = [], 0
    while start < len(word):
        for end in range(start + 1, len(word) + 1):
            piece = ("##" if start else "") + word[start:end]
            if piece in vocabulary:
                break
        else:
            return [wp.UNKNOWN]
        pieces.append(piece)
        start = end
    return pieces


def unknown_part_only(word, vocabulary):
    """Keeps the pieces before the failure instead of giving up the word."""
    cut = wp.longest_match(word, vocabulary)
    return cut if cut != [wp.UNKNOWN] else [word[0], wp.UNKNOWN]


def no_mark(word, vocabulary):
    return [p.removeprefix("##") for p in wp.longest_match(word, vocabulary)]


@pytest.mark.parametrize("wrong", [shortest_match, unknown_part_only, no_mark])
def test_planted_mistake_in_the_match_is_seen(wrong, ours, reference):
    text = "tokenization unaffable 龍\U0001f600x"
    wanted = reference.encode(text, add_special_tokens=False).tokens
    words = wp.split_words(wp.normalise(text))
    assert [p for w in words for p in wp.longest_match(w, ours.vocabulary)] == wanted
    assert [p for w in words for p in wrong(w, ours.vocabulary)] != wanted


def test_planted_mistakes_in_normalising_are_seen(reference):
    """Accents composed, lower case by str.lower (final sigma), no Chinese spaces."""
    theirs = reference.normalizer.normalize_str
    assert theirs("É") == "e" != "É".lower()
    assert theirs("ΟΔΟΣ") == wp.normalise("ΟΔΟΣ") != "ΟΔΟΣ".lower()
    assert theirs("北京") == wp.normalise("北京") != "北京"


# ---- training ---------------------------------------------------------------------------


def naive(counts, size, score):
    """Count everything afresh for each merge: the readable twin."""
    words = {word: wt.characters(word) for word in counts}
    types = list(wp.SPECIALS) + sorted({p for ps in words.values() for p in ps})
    while len(types) < size:
        units, pairs = Counter(), Counter()
        for word, pieces in words.items():
            for piece in pieces:
                units[piece] += counts[word]
            for pair in zip(pieces, pieces[1:]):
                pairs[pair] += counts[word]
        if not pairs:
            break
        N = sum(units.values())
        best = min(pairs, key=lambda p: (-wt.SCORES[score](
            pairs[p], units[p[0]], units[p[1]], N=N, same=p[0] == p[1]), p))
        words = {word: wt.merge(pieces, best) for word, pieces in words.items()}
        if wt.joined(*best) not in types:
            types.append(wt.joined(*best))
    return types


def some_words(seed, n=60):
    rng = random.Random(seed)
    return {
        "".join(rng.choices("abcde", (9, 5, 3, 2, 1), k=rng.randint(1, 8))): rng.randint(1, 40)
        for _ in range(n)
    }


@pytest.mark.parametrize("score", sorted(wt.SCORES))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_heap_equals_counting_afresh(score, seed):
    words = some_words(seed)
    assert wt.train(words, 75, score=score) == naive(words, 75, score)


def test_scores_by_hand():
    """hug 10, pug 5, pun 12, bun 4, hugs 5: n(##u) = 36, n(##g) = 20, n(##s) = 5.

    (##g, ##s) has 5 / (20 * 5) = 1/20; (##u, ##g) 20 / (36 * 20) = 1/36.
    """
    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
    table = wt.Table(words, wt.ratio)
    assert table.value(("##g", "##s")) == 1 / 20
    assert table.value(("##u", "##g")) == 1 / 36
    assert table.best() == ("##g", "##s")
    assert wt.Table(words, wt.count).best() == ("##u", "##g")


def test_gain_is_the_likelihood_gained():
    from math import log

    words = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5, "sunny": 3}

    def likelihood(cut):
        units = Counter()
        for word, pieces in cut.items():
            for piece in pieces:
                units[piece] += words[word]
        N = sum(units.values())
        return sum(n * log(n / N) for n in units.values())

    cut = {word: wt.characters(word) for word in words}
    table = wt.Table(words, wt.gain)
    for pair in (("##u", "##g"), ("h", "##u"), ("##n", "##n")):
        after = {word: wt.merge(pieces, pair) for word, pieces in cut.items()}
        assert table.value(pair) == pytest.approx(likelihood(after) - likelihood(cut), abs=1e-9)


def test_a_learned_vocabulary_cuts_its_own_text():
    words = some_words(5)
    tokenizer = wp.WordPiece(wt.train(words, 60))
    for word in words:
        pieces = tokenizer.tokenize(word)
        assert wp.UNKNOWN not in pieces
        assert "".join(p.removeprefix("##") for p in pieces) == word
    assert tokenizer.tokenize("xyz") == [wp.UNKNOWN]


def test_training_stops_when_nothing_is_left():
    """The rare pair first: 1 / (1 * 1) against 3 / (3 * 3)."""
    assert wt.train({"ab": 3, "ba": 1}, 100)[5:] == ["##a", "##b", "a", "b", "ba", "ab"]


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match="'likelihood'"):
        wt.train({"a": 1}, 10, score="likelihood")
    with pytest.raises(ValueError, match="at least 7, for 5 special tokens and 2"):
        wt.train({"ab": 1}, 6)
    with pytest.raises(ValueError, match="at least once"):
        wt.train({}, 6)
    with pytest.raises(TypeError, match="sequence of tokens"):
        wt.word_counts("one bare string")
    with pytest.raises(TypeError, match="one string, got list"):
        wp.normalise(["a"])
    with pytest.raises(ValueError, match=r"\['\[MASK\]'\] are not"):
        wp.WordPiece(wp.SPECIALS[:-1])


def test_taught_longest_match_equals_the_library(ours):
    longest_match = taught("05c_wordpiece", "longest_match")
    for word in ("unaffable", "x" * 101, "x" * 100, "tokenization", "日x", "a", "龍馬"):
        assert longest_match(word, ours.vocabulary) == wp.longest_match(word, ours.vocabulary)
    assert longest_match("abc", {"a", "##b"}) == [wp.UNKNOWN]
