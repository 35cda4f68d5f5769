"""From text to integers: tokens, types and the vocabulary.

Introduced in chapter 1. A *token* is an occurrence, a *type* is an entry of the
vocabulary: "the dog is on the table" has six tokens and five types.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")

UNKNOWN = "<unk>"


def words(text: str) -> list[str]:
    """Split text into word tokens and single punctuation tokens, case kept.

    An apostrophe inside a word stays in it. Lower-casing is a decision of the caller.
    Accents must be composed (``unicodedata.normalize("NFC", text)``); scripts that write
    vowels as combining marks, such as Devanagari, need a tokeniser of their own.

    >>> words("The dog isn't on the table.")
    ['The', 'dog', "isn't", 'on', 'the', 'table', '.']
    """
    _expect_text(text)
    return WORD.findall(text)


def characters(text: str) -> list[str]:
    """Split text into its characters (Unicode code points).

    >>> characters("été")
    ['é', 't', 'é']
    """
    _expect_text(text)
    return list(text)


def ngrams(tokens: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """All runs of `n` consecutive tokens, in order; none if there are fewer than `n`.

    >>> ngrams(["a", "b", "c"], 2)
    [('a', 'b'), ('b', 'c')]
    """
    expect_tokens(tokens)
    if n < 1:
        raise ValueError(f"n: expected at least 1, got {n}.")
    return list(zip(*(tokens[start:] for start in range(n))))


@dataclass(frozen=True)
class Vocabulary:
    """A fixed list of types and the integer of each.

    Order: specials first, then by count descending, ties in alphabetical order. So the
    same training tokens give the same integers everywhere. Build it from the training
    split only.

    Parameters
    ----------
    types : tuple of str
        The entries; ``types[i]`` has integer ``i``.
    counts : tuple of int
        How often each entry occurred (0 for specials), same order.
    """

    types: tuple[str, ...]
    counts: tuple[int, ...]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {token: i for i, token in enumerate(self.types)}
        if len(ids) != len(self.types):
            twice = [t for t, n in Counter(self.types).items() if n > 1]
            raise ValueError(f"types: expected distinct entries, got twice: {twice[:5]}.")
        if len(self.counts) != len(self.types):
            raise ValueError(
                f"counts: expected {len(self.types)} numbers, got {len(self.counts)}."
            )
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def from_tokens(
        cls,
        tokens: Iterable[str],
        *,
        min_count: int = 1,
        max_size: int | None = None,
        specials: Sequence[str] = (),
    ) -> Vocabulary:
        """Count tokens and keep the types seen at least `min_count` times.

        `max_size` bounds the whole list, specials included.

        >>> Vocabulary.from_tokens("the dog is on the table".split()).types
        ('the', 'dog', 'is', 'on', 'table')
        """
        expect_tokens(tokens)
        counter = Counter(tokens)
        for special in specials:
            counter.pop(special, None)
        ranked = sorted(counter.items(), key=lambda item: (-item[1], item[0]))
        kept = [(t, n) for t, n in ranked if n >= min_count]
        if max_size is not None:
            kept = kept[: max(0, max_size - len(specials))]
        types = tuple(specials) + tuple(t for t, _ in kept)
        if not types:
            raise ValueError(
                "tokens: expected at least one type to keep, got none. "
                "Is the text empty, or min_count too high?"
            )
        return cls(types, (0,) * len(specials) + tuple(n for _, n in kept))

    def __len__(self) -> int:
        return len(self.types)

    def __contains__(self, token: object) -> bool:
        return token in self._ids

    def __getitem__(self, token: str) -> int:
        """The integer of one type; KeyError with advice if it is unknown."""
        try:
            return self._ids[token]
        except KeyError:
            raise KeyError(
                f"{token!r} is not among the {len(self)} types. Encode with "
                f"unknown={UNKNOWN!r} and that special in the vocabulary, or skip it."
            ) from None

    def encode(
        self, tokens: Iterable[str], *, unknown: str | None = None, skip: bool = False
    ) -> list[int]:
        """Integers of the tokens.

        Parameters
        ----------
        unknown : str, optional
            The entry that stands for tokens outside the vocabulary.
        skip : bool
            Leave out tokens outside the vocabulary instead.

        Raises
        ------
        KeyError
            At a token outside the vocabulary, if neither option is chosen.
        TypeError
            If `tokens` is a bare string.
        """
        expect_tokens(tokens)
        if skip:
            return [self._ids[t] for t in tokens if t in self._ids]
        if unknown is not None:
            fallback = self[unknown]
            return [self._ids.get(t, fallback) for t in tokens]
        return [self[t] for t in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """Types of the integers: the inverse of `encode` on known tokens."""
        return [self.types[i] for i in ids]


def expect_tokens(tokens: object) -> None:
    """Refuse a bare string where a sequence of tokens is meant."""
    if isinstance(tokens, (str, bytes)):
        raise TypeError(
            f"expected a sequence of tokens, got the string {tokens[:30]!r}. "
            "Split it first, with words(...) or characters(...)."
        )


def _expect_text(text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(
            f"expected one string, got {type(text).__name__}. "
            "For several texts, call this once for each."
        )
