"""The running text on which chapters 2 to 4 train their word vectors.

Introduced in chapter 2. Adds to `data`: one vocabulary, one array of integers, sentence
boundaries. About 3.4 million tokens: a sample of the English Wikipedia, and the training
part of 20 Newsgroups (the test part stays unseen, for the classifiers).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .text import Vocabulary, expect_tokens

LETTERS = re.compile(r"[^\W\d_]+")
PARTS = ("wikipedia", "newsgroups")


@dataclass(frozen=True)
class Corpus:
    """Sentence s is ``ids[offsets[s]:offsets[s + 1]]``; types come by falling count."""

    vocabulary: Vocabulary  # N types, and how often each occurs in `ids`
    ids: np.ndarray  # (T,) int32
    offsets: np.ndarray  # (S + 1,) int64

    @property
    def counts(self) -> np.ndarray:
        """How often each type occurs, shape (N,), int64."""
        return np.array(self.vocabulary.counts, dtype=np.int64)

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self.ids)

    def sentences(self) -> Iterator[list[str]]:
        """The sentences as lists of words, as other programs want them."""
        types = np.array(self.vocabulary.types, dtype=object)
        for start, stop in zip(self.offsets[:-1], self.offsets[1:]):
            yield types[self.ids[start:stop]].tolist()


def corpus_from_lines(
    lines: Iterable[Sequence[str]], *, min_count: int = 5, longest: int = 1000
) -> Corpus:
    """Keep the types that occur at least `min_count` times, and the tokens of those types.

    Rare words are removed before windows are laid, as in word2vec: their neighbours then
    stand closer together. Lines longer than `longest` tokens are cut, so that no sentence
    exceeds the batches of other programs; empty lines vanish.

    Raises
    ------
    ValueError
        If nothing is left.

    >>> corpus = corpus_from_lines([["a", "b", "a"], ["b", "c"]], min_count=2)
    >>> corpus.vocabulary.types, corpus.ids.tolist(), corpus.offsets.tolist()
    (('a', 'b'), [0, 1, 0, 1], [0, 3, 4])
    """
    expect_tokens(lines)
    lines = list(lines)
    vocabulary = Vocabulary.from_tokens(
        (token for line in lines for token in _checked(line)), min_count=min_count
    )
    number = {token: i for i, token in enumerate(vocabulary.types)}
    rows = ([number[t] for t in line if t in number] for line in lines)
    cut = [row[i : i + longest] for row in rows for i in range(0, len(row), longest)]
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in cut])])
    ids = np.concatenate([np.array(row, dtype=np.int32) for row in cut])
    return Corpus(vocabulary, ids, offsets.astype(np.int64))


def training_corpus(
    parts: Sequence[str] = PARTS, *, min_count: int = 5, longest: int = 1000
) -> Corpus:
    """The shared corpus: lower-case runs of letters, one line a paragraph or message.

    Parameters
    ----------
    parts : sequence of str
        ``"wikipedia"`` (0.4 M tokens), ``"newsgroups"`` (3.0 M), or both, in this order.
    min_count, longest : int
        As in `corpus_from_lines`.

    Notes
    -----
    Both parts: 3,391,979 tokens of 28,573 types, about 4 s. The Wikipedia sample lies
    inside the gensim package, which must be installed.
    """
    expect_tokens(parts)
    if not parts or set(parts) - set(PARTS):
        raise ValueError(f"parts: expected some of {PARTS}, got {tuple(parts)}.")
    lines = [line for part in parts for line in _lines(part)]
    return corpus_from_lines(lines, min_count=min_count, longest=longest)


def shuffled(corpus: Corpus, rng: np.random.Generator) -> Corpus:
    """The same tokens in random order: counts and sentence lengths stay, contexts go."""
    return Corpus(corpus.vocabulary, rng.permutation(corpus.ids), corpus.offsets)


def _lines(part: str) -> list[list[str]]:
    from . import data

    if part == "newsgroups":
        return [text.split() for text in data.newsgroups().train.texts]
    pages = (page.text.lower() for page in data.wikipedia_sample())
    return [LETTERS.findall(line) for page in pages for line in page.split("\n")]


def _checked(line: Sequence[str]) -> Sequence[str]:
    expect_tokens(line)
    return line
