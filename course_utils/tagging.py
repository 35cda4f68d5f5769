"""One tagging task: find the words of a text whose spaces were removed.

Introduced in chapter 6 and used again in chapters 7 and 9. A line of a play becomes its
letters a to z, and each letter gets one of four tags: B begins a word, M is inside,
E ends it, S is a word of one letter. On top of `course_utils.data` this module adds the
splits (by play), ragged batches with their mask, and the two figures of merit: F1 over
words, and the number of illegal transitions.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch

TAGS = ("B", "M", "E", "S")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
N_LETTERS = 1 + len(LETTERS)  # 0 is padding, 1 to 26 are the letters
TAG_INDEX = {k: i for i, k in enumerate(TAGS)}
LETTER_INDEX = {c: i for i, c in enumerate(LETTERS, 1)}
PAD = 0

# ALLOWED[i, j]: may tag j follow tag i?  B, M go on; E, S must begin a new word.
ALLOWED = np.array(
    [[0, 1, 1, 0], [0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1]], dtype=bool
)
ALLOWED_START = np.array([1, 0, 0, 1], dtype=bool)
ALLOWED_END = np.array([0, 0, 1, 1], dtype=bool)


class Line(NamedTuple):
    """One sequence and the play it is from."""

    letters: str  # "thedog"
    tags: str  # "BMEBME"
    source: str  # title of the play


class Splits(NamedTuple):
    """Three lists of `Line` that share no play and no sequence of letters."""

    train: list[Line]
    validation: list[Line]
    test: list[Line]


class Batch(NamedTuple):
    """Lines padded on the right to the longest one."""

    x: torch.Tensor  # (B, T) letters as integers, 0 where padded
    y: torch.Tensor  # (B, T) tags as integers, 0 where padded
    mask: torch.Tensor  # (B, T) True on real letters

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return Batch(*(tensor.to(device) for tensor in self))


def tag_words(words: Sequence[str]) -> tuple[str, str]:
    """Letters without spaces, and their tags.

    >>> tag_words(["i", "am", "the", "king"])
    ('iamtheking', 'SBEBMEBMME')
    """
    if isinstance(words, str) or "" in words:
        raise TypeError(f"words: expected a list of words, none empty, got {words!r}.")
    inner = ("S" if len(w) == 1 else "B" + "M" * (len(w) - 2) + "E" for w in words)
    return "".join(words), "".join(inner)


def spans(tags: Sequence[int] | str) -> list[tuple[int, int]]:
    """Words as (start, end) pairs, end excluded; they always cover the whole line.

    Convention for illegal sequences: a word starts at every B or S and after every E or
    S. So the predictions of any model can be scored.

    >>> spans("SBEBMEBMME")
    [(0, 1), (1, 3), (3, 6), (6, 10)]
    >>> spans("MMBS")
    [(0, 2), (2, 3), (3, 4)]
    """
    names = tags if isinstance(tags, str) else "".join(TAGS[k] for k in tags)
    starts = [t for t in range(len(names))
              if t == 0 or names[t] in "BS" or names[t - 1] in "ES"]
    return list(zip(starts, [*starts[1:], len(names)]))


def span_counts(predicted, truth) -> tuple[int, int, int]:
    """(words found, words predicted, words in the truth) of one line."""
    if len(predicted) != len(truth):
        raise ValueError(
            f"expected one tag for each of {len(truth)} letters, got {len(predicted)}."
        )
    guess, gold = set(spans(predicted)), set(spans(truth))
    return len(guess & gold), len(guess), len(gold)


def span_f1(predicted: Iterable, truth: Iterable) -> float:
    """F1 over the words of many lines (counts are summed before dividing).

    .. math:: F_1 = 2 \\, hits / (predicted + true)

    the harmonic mean of precision and recall; a word counts if both ends are right.

    >>> span_f1(["SBEBMEBMME"], ["SBEBMEBMME"])
    1.0
    >>> span_f1(["BMEBMEBMME"], ["SBEBMEBMME"])   # finds 2, predicts 3, truth 4
    0.5714285714285714
    """
    counts = [span_counts(p, t) for p, t in zip(predicted, truth, strict=True)]
    hits, guessed, true = np.sum(counts, axis=0) if counts else (0, 0, 0)
    if true == 0:
        raise ValueError("expected at least one word in the truth, got none.")
    return float(2 * hits / (guessed + true))


def illegal(tags: Sequence[int] | str) -> int:
    """Number of illegal transitions of one line, its start and its end included.

    >>> illegal("BMEBMES"), illegal("MMBS")   # starts with M; M to B; B to S
    (0, 3)
    """
    ids = [TAGS.index(k) if isinstance(k, str) else int(k) for k in tags]
    if not ids:
        return 0
    wrong = sum(not ALLOWED[i, j] for i, j in zip(ids, ids[1:]))
    return int(wrong + (not ALLOWED_START[ids[0]]) + (not ALLOWED_END[ids[-1]]))


def lines_of(text: str, *, longest: int = 12) -> Iterator[list[str]]:
    """Spoken lines of one play as lists of words in a to z, at most `longest` words each.

    Headings, speakers' names and stage directions (marked by ``#``, ``*``, ``_``) are
    left out; apostrophes go ("told'st" is "toldst"), a hyphen separates words.
    """
    for raw in text.splitlines():
        if raw.startswith(("#", "*")):
            continue
        raw = re.sub(r"_[^_]*_|\[[^\]]*\]", " ", raw)
        plain = unicodedata.normalize("NFKD", raw.lower())
        plain = re.sub(r"['’‘\u0300-\u036f]", "", plain)
        words = re.findall("[a-z]+", plain)
        for i in range(0, len(words), longest):
            yield words[i : i + longest]


def split_plays(plays: Mapping[str, str], *, words: tuple[int, int] = (3, 12)) -> Splits:
    """Training, validation and test lines that share no play and no line.

    `plays` maps at least eight titles to texts. Sorted by title, of each eight in a row
    the fourth is for validation and the eighth for the test. A line whose letters occur
    in an earlier split, or earlier in its own, is dropped, so proverbs and songs cannot
    leak. `words` are the fewest and the most words of a line.
    """
    if len(plays) < 8:
        raise ValueError(f"plays: expected at least 8 to split, got {len(plays)}.")
    parts: tuple[list, list, list] = ([], [], [])
    for i, title in enumerate(sorted(plays)):
        part = {3: 1, 7: 2}.get(i % 8, 0)
        for line in lines_of(plays[title], longest=words[1]):
            if len(line) >= words[0]:
                parts[part].append(Line(*tag_words(line), title))
    seen: set[str] = set()
    kept = []
    for part in parts:
        unique = {}
        for line in part:
            if line.letters not in seen:
                unique.setdefault(line.letters, line)
        seen.update(unique)
        kept.append(list(unique.values()))
    return Splits(*kept)


def load() -> Splits:
    """The splits of the 38 plays of ``data.shakespeare()``; about 3 s once fetched."""
    from . import data

    works = data.shakespeare()
    return split_plays({**works.train, **works.held_out})


def sample(lines: Sequence[Line], n: int, generator: torch.Generator) -> list[Line]:
    """`n` different lines, in the generator's order."""
    if n > len(lines):
        raise ValueError(f"n: expected at most the {len(lines)} lines, got {n}.")
    order = torch.randperm(len(lines), generator=generator)[:n]
    return [lines[i] for i in order.tolist()]


def encode(letters: str) -> list[int]:
    """Letters as integers: a is 1, z is 26 (0 is padding).

    >>> encode("abz")
    [1, 2, 26]
    """
    unknown = set(letters) - set(LETTERS)
    if unknown:
        raise ValueError(f"letters: expected a to z only, got {sorted(unknown)}.")
    return [LETTER_INDEX[c] for c in letters]


def collate(lines: Sequence[Line]) -> Batch:
    """Pad lines to the longest and stack them."""
    if not lines:
        raise ValueError("lines: expected at least one line, got none.")
    B, T = len(lines), max(len(line.letters) for line in lines)
    x = torch.zeros(B, T, dtype=torch.long)  # (B, T)
    y = torch.zeros(B, T, dtype=torch.long)  # (B, T)
    lengths = torch.tensor([len(line.letters) for line in lines])
    mask = torch.arange(T) < lengths[:, None]  # (B, T)
    x[mask] = torch.tensor(encode("".join(line.letters for line in lines)))
    y[mask] = torch.tensor([TAG_INDEX[k] for line in lines for k in line.tags])
    return Batch(x, y, mask)


def batches(
    lines: Sequence[Line], size: int, *, generator: torch.Generator | None = None
) -> Iterator[Batch]:
    """Batches of `size` lines: shuffled if a generator is given, else in order."""
    order = range(len(lines)) if generator is None else torch.randperm(
        len(lines), generator=generator).tolist()
    for i in range(0, len(lines), size):
        yield collate([lines[j] for j in order[i : i + size]])


def untag(predicted: torch.Tensor, mask: torch.Tensor) -> list[list[int]]:
    """Predicted tags (B, T) as one list for each line, without the padding."""
    return [row[keep].tolist() for row, keep in zip(predicted.cpu(), mask.cpu())]


class Report(NamedTuple):
    """Figures of one model on one set of lines."""

    accuracy: float  # share of letters
    f1: float  # over words
    illegal: float  # illegal transitions for each 100 lines
    letters: int
    words: int


def evaluate(predicted: Sequence[Sequence[int]], lines: Sequence[Line]) -> Report:
    """Compare predicted tags, one list for each line, with the lines' own."""
    truth = [[TAGS.index(k) for k in line.tags] for line in lines]
    letters = sum(map(len, truth))
    hits = sum(p == t for a, b in zip(predicted, truth) for p, t in zip(a, b))
    wrong = 100 * sum(map(illegal, predicted)) / len(lines)
    f1 = span_f1(predicted, truth)
    return Report(hits / letters, f1, wrong, letters, sum(len(spans(t)) for t in truth))
