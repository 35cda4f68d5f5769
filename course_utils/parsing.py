"""Sentences with their parse, from a small grammar, and bracket F1.

Introduced in chapter 10. The parse is written as a sequence, as in Vinyals et al. (2015):
``(S (NP XX XX )NP (VP XX )VP )S``, where each ``XX`` stands for the next word. So a
translator from words to such sequences is a parser.

The grammar has no ambiguity, but a phrase may belong to a verb far back:

    S  -> NP VP
    NP -> pronoun | det (adj) noun (PP(of) | SBAR(that, VP without with))
    VP -> verb NP | verb NP PP(with) | says SBAR(that, S)

*of* always belongs to the noun before it, *with* to the verb of its own clause, never to
the verb of a relative clause.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

WORDS = {
    "det": ("the", "a", "every"),
    "adj": ("old", "small", "red", "loud"),
    "noun": ("dog", "cat", "girl", "boy", "poet", "king", "bird", "tree"),
    "pronoun": ("everybody", "nobody", "somebody"),
    "verb": ("sees", "likes", "follows", "draws", "hears"),
    "says": ("says", "thinks"),
    "of": ("of",),
    "with": ("with",),
    "that": ("that",),
}
LABELS = ("S", "NP", "VP", "PP", "SBAR")
WORD = "XX"
TARGETS = (WORD, *(f"({k}" for k in LABELS), *(f"){k}" for k in LABELS))

Choose = Callable[[Sequence], object]


@dataclass(frozen=True)
class Sentence:
    """Words and the sequence of brackets that is their parse."""

    words: tuple[str, ...]
    tree: tuple[str, ...]


def draw(
    n: int, rng: np.random.Generator, *, shortest: int = 5, longest: int = 12,
    held_out: bool | None = None,
) -> list[Sentence]:
    """`n` random sentences of `shortest` to `longest` words.

    Parameters
    ----------
    held_out : bool, optional
        True: only trees of the test part, False: only of the training part; one tree in
        five, by its SHA-256. No tree of the test is seen in training, with any words.
    """
    found: list[Sentence] = []
    while len(found) < n:
        classes, tree = clause(rng, longest)
        if not shortest <= len(classes) <= longest:
            continue
        if held_out is not None and in_test(tree) != held_out:
            continue
        words = tuple(WORDS[k][int(rng.integers(len(WORDS[k])))] for k in classes)
        found.append(Sentence(words, tuple(tree)))
    return found


def in_test(tree: Sequence[str]) -> bool:
    """Tell whether a tree belongs to the test part."""
    return int(hashlib.sha256(" ".join(tree).encode()).hexdigest(), 16) % 5 == 0


def clause(rng: np.random.Generator, room: int) -> tuple[list[str], list[str]]:
    """Word classes and brackets of a random S; gives up early beyond `room` words."""
    return wrapped("S", noun_phrase(rng, room), verb_phrase(rng, room))


def noun_phrase(rng: np.random.Generator, room: int) -> tuple[list[str], list[str]]:
    """NP: a pronoun; or a noun, perhaps *of* something, or *that* does something."""
    if rng.random() < 0.25:
        return wrapped("NP", leaf("pronoun"))
    kind = int(rng.choice(3, p=(0.5, 0.25, 0.25)))
    parts = [leaf("det"), leaf("noun")]
    if rng.random() < 0.3:
        parts.insert(1, leaf("adj"))
    if kind == 1 and room > 0:
        parts.append(wrapped("PP", leaf("of"), noun_phrase(rng, room - 3)))
    if kind == 2 and room > 0:
        inner = wrapped("VP", leaf("verb"), noun_phrase(rng, room - 4))
        parts.append(wrapped("SBAR", leaf("that"), inner))
    return wrapped("NP", *parts)


def verb_phrase(rng: np.random.Generator, room: int) -> tuple[list[str], list[str]]:
    """VP: a verb with its object, perhaps *with* something; or *says that* S."""
    kind = int(rng.choice(3, p=(0.4, 0.35, 0.25)))
    if kind == 2 and room > 0:
        return wrapped(
            "VP", leaf("says"), wrapped("SBAR", leaf("that"), clause(rng, room - 5))
        )
    parts = [leaf("verb"), noun_phrase(rng, room - 3)]
    if kind == 1:
        parts.append(wrapped("PP", leaf("with"), noun_phrase(rng, room - 4)))
    return wrapped("VP", *parts)


def leaf(word_class: str) -> tuple[list[str], list[str]]:
    """One word."""
    return [word_class], [WORD]


def wrapped(label: str, *parts: tuple[list[str], list[str]]) -> tuple[list[str], list[str]]:
    """Put parts side by side and brackets around them.

    >>> wrapped("NP", leaf("det"), leaf("noun"))
    (['det', 'noun'], ['(NP', 'XX', 'XX', ')NP'])
    """
    classes = [c for part in parts for c in part[0]]
    return classes, [f"({label}", *(t for part in parts for t in part[1]), f"){label}"]


def brackets(tree: Sequence[str]) -> Counter:
    """Labelled spans (label, first word, last word + 1) of a sequence, well formed or not.

    A closing bracket closes the innermost open one if the labels agree, and is ignored
    otherwise; what is never closed does not count. So a malformed output loses recall, and
    is not thrown away whole.

    >>> sorted(brackets("(S (NP XX XX )NP (VP XX )VP )S".split()))
    [('NP', 0, 2), ('S', 0, 3), ('VP', 2, 3)]
    """
    open_, found, n = [], Counter(), 0
    for token in tree:
        if token == WORD:
            n += 1
        elif token.startswith("("):
            open_.append((token[1:], n))
        elif open_ and open_[-1][0] == token[1:]:
            label, first = open_.pop()
            found[label, first, n] += 1
    return found


def well_formed(tree: Sequence[str], n_words: int) -> bool:
    """Tell whether every bracket is closed in order and there is one XX a word."""
    open_: list[str] = []
    for token in tree:
        if token.startswith("("):
            open_.append(token[1:])
        elif token.startswith(")") and (not open_ or open_.pop() != token[1:]):
            return False
    return not open_ and list(tree).count(WORD) == n_words


def f1(found: Sequence[Sequence[str]], true: Sequence[Sequence[str]]) -> float:
    """Bracket F1 of a set of sentences: sums first, then one division.

    >>> tree = "(S (NP XX XX )NP (VP XX )VP )S".split()
    >>> f1([tree], ["(S (NP XX )NP (VP XX XX )VP )S".split()])     # only S agrees: 2 / 6
    0.3333333333333333
    """
    if len(found) != len(true) or not true:
        raise ValueError(f"expected pairs of trees, got {len(found)} and {len(true)}.")
    hits = guessed = wanted = 0
    for one, other in zip(found, true):
        a, b = brackets(one), brackets(other)
        hits, guessed, wanted = hits + (a & b).total(), guessed + a.total(), wanted + b.total()
    return 2 * hits / (guessed + wanted)


def by_length(train: Sequence[Sentence]) -> dict[int, tuple[str, ...]]:
    """The most frequent tree of each number of words: the baseline that reads no word."""
    counts: dict[int, Counter] = {}
    for one in train:
        counts.setdefault(len(one.words), Counter())[one.tree] += 1
    return {n: min(c.items(), key=lambda item: (-item[1], item[0]))[0] for n, c in counts.items()}
