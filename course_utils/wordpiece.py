"""WordPiece: from raw text to the integers that BERT reads.

Introduced in chapter 5. Three steps, each a function: `normalise` (no control characters,
no accents, lower case), `split_words` (at white space, around punctuation and Chinese
characters), `longest_match` (the longest known beginning, again and again). `WordPiece`
joins them, adds [CLS], [SEP] and segments, and reads the published vocabulary of 30,522
entries. On top of `text.Vocabulary`; learning a vocabulary is in `wordpiece_training`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from .text import Vocabulary

PAD, UNKNOWN, CLS, SEP, MASK = SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MARK = "##"  # a piece that continues a word
LONGEST = 100  # a word of more characters becomes [UNK], unread
WRITTEN = re.compile("|".join(map(re.escape, SPECIALS)))

# Blocks of Chinese characters (CJK ideographs); Japanese syllables and Korean are not here.
CHINESE = (
    (0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F),
)


def is_chinese(character: str) -> bool:
    """A Chinese character: BERT makes each one a word of its own."""
    point = ord(character)
    return any(first <= point <= last for first, last in CHINESE)


def is_punctuation(character: str) -> bool:
    """Unicode's punctuation, and every printable ASCII sign that is no letter or digit."""
    ascii_sign = "!" <= character <= "~" and not character.isalnum()
    return ascii_sign or unicodedata.category(character).startswith("P")


def is_control(character: str) -> bool:
    """Control, format, private and surrogate characters, but for tab and line ends."""
    category = unicodedata.category(character)
    return character not in "\t\n\r" and category in ("Cc", "Cf", "Co", "Cs")


def normalise(text: str) -> str:
    """Text as the uncased BERT sees it.

    Drops control characters and U+FFFD, makes all white space a space, sets spaces around
    Chinese characters, takes off accents (decompose, drop combining marks), lowers case.

    >>> normalise("Les Misérables\\tÀ 5\\u200b€")
    'les miserables a 5€'
    """
    if not isinstance(text, str):
        raise TypeError(f"expected one string, got {type(text).__name__}.")
    kept = []
    for c in text:
        if c == "\0" or c == "\ufffd" or is_control(c):
            continue
        kept.append(" " if c.isspace() else f" {c} " if is_chinese(c) else c)
    bare = (
        c for c in unicodedata.normalize("NFD", "".join(kept))
        if unicodedata.category(c) != "Mn"
    )
    return "".join(c.lower() for c in bare)  # one by one: no final sigma


def split_words(text: str) -> list[str]:
    """Split at white space; every punctuation sign is a word of its own.

    >>> split_words("don't stop")
    ['don', "'", 't', 'stop']
    """
    spaced = (f" {c} " if is_punctuation(c) else c for c in text)
    return "".join(spaced).split()


def longest_match(word: str, vocabulary, *, longest: int = LONGEST) -> list[str]:
    """Cut a word into pieces, at each place the longest piece that is known.

    Wu et al. (2016), section 4.1; one failure makes the whole word [UNK]. At most n^2 / 2
    look-ups for n characters.

    >>> longest_match("unaffable", {"un", "##aff", "##able", "##a"})
    ['un', '##aff', '##able']
    >>> longest_match("unaffably", {"un", "##aff", "##able", "##a"})
    ['[UNK]']
    """
    if len(word) > longest:
        return [UNKNOWN]
    pieces, start = [], 0
    while start < len(word):
        prefix = MARK if start else ""
        for end in range(len(word), start, -1):
            piece = prefix + word[start:end]
            if piece in vocabulary:
                break
        else:
            return [UNKNOWN]
        pieces.append(piece)
        start = end
    return pieces


class Input(NamedTuple):
    """What BERT reads for one text or one pair."""

    ids: list[int]  # T tokens
    segments: list[int]  # T times 0 (first text) or 1 (second)


class WordPiece:
    """A tokenizer with a fixed vocabulary of pieces.

    Parameters
    ----------
    types : sequence of str
        The pieces, `SPECIALS` among them; the place of each is its integer.
    """

    def __init__(self, types: Sequence[str]) -> None:
        self.vocabulary = Vocabulary(tuple(types), (0,) * len(types))
        absent = [special for special in SPECIALS if special not in self.vocabulary]
        if absent:
            raise ValueError(f"types: expected {SPECIALS} among them, {absent} are not.")
        self._cut: dict[str, list[str]] = {}

    @classmethod
    def read(cls, path: Path) -> WordPiece:
        """From a file with one piece a line."""
        return cls(Path(path).read_text("utf-8").removesuffix("\n").split("\n"))

    @classmethod
    def minilm(cls) -> WordPiece:
        """The vocabulary of the uncased English BERT, 30,522 entries."""
        from . import data

        return cls.read(data.minilm_files()["vocab.txt"])

    def __len__(self) -> int:
        return len(self.vocabulary)

    @property
    def special_ids(self) -> tuple[int, ...]:
        """Integers of [PAD], [UNK], [CLS], [SEP], [MASK]: never to be masked or drawn."""
        return tuple(self.vocabulary.encode(SPECIALS))

    def tokenize(self, text: str, *, read_specials: bool = False) -> list[str]:
        """The pieces of a text, without [CLS] and [SEP].

        With `read_specials`, a special token that is written in the text, such as
        ``[MASK]``, is one. Without it a text is only text: nobody can smuggle a
        separator into it.
        """
        if not read_specials:
            return [p for word in split_words(normalise(text)) for p in self._pieces(word)]
        pieces, start = [], 0
        for found in WRITTEN.finditer(text):
            pieces += self.tokenize(text[start : found.start()]) + [found[0]]
            start = found.end()
        return pieces + self.tokenize(text[start:])

    def _pieces(self, word: str) -> list[str]:
        if word not in self._cut:
            self._cut[word] = longest_match(word, self.vocabulary)
        return self._cut[word]

    def encode(
        self, text: str, second: str | None = None, *,
        max_length: int | None = None, read_specials: bool = False,
    ) -> Input:
        """[CLS] text [SEP], or [CLS] text [SEP] second [SEP], as integers.

        `max_length` counts all tokens; what is too much goes from the end of the longer
        text (of the second at a tie), one token after the other.
        """
        texts = [text] if second is None else [text, second]
        parts = [
            self.vocabulary.encode(self.tokenize(t, read_specials=read_specials))
            for t in texts
        ]
        if max_length is not None:
            shorten(parts, max_length - 1 - len(parts))
        return self.join(*parts)

    def join(self, first: Sequence[int], second: Sequence[int] | None = None) -> Input:
        """Integers of one or two texts, with [CLS], [SEP] and segments."""
        cls, sep = self.vocabulary[CLS], self.vocabulary[SEP]
        ids, segments = [cls, *first, sep], [0] * (len(first) + 2)
        if second is not None:
            ids, segments = [*ids, *second, sep], segments + [1] * (len(second) + 1)
        return Input(ids, segments)

    def decode(self, ids: Sequence[int]) -> str:
        """Pieces joined to words; accents, case and spacing are lost for good."""
        pieces = [p for p in self.vocabulary.decode(ids) if p not in (PAD, CLS, SEP)]
        return " ".join(pieces).replace(f" {MARK}", "")


def shorten(parts: list[list[int]], room: int) -> None:
    """Cut the longer part, token by token from its end, until all fit into `room`."""
    if room < len(parts):
        raise ValueError(f"max_length: expected room for a token a text, got {room}.")
    while sum(map(len, parts)) > room:
        longer = max(reversed(range(len(parts))), key=lambda i: len(parts[i]))
        del parts[longer][-1]
