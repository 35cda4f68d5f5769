r"""Learning a vocabulary of word pieces from counts of words.

Introduced in chapter 5. Words start as single characters; the best pair of neighbours
becomes a new piece, and so on until the vocabulary is full. On top of `wordpiece` this
module adds three ways to say which pair is best, with n(.) the number of occurrences:

``ratio``
    :math:`n(ab) / (n(a)\,n(b))`, the formula that usually stands for WordPiece. It is
    pointwise mutual information, so it likes rare pairs.
``gain``
    The increase of the likelihood of the text under independent pieces, which is how
    Schuster and Nakajima (2012) and Wu et al. (2016) describe the choice in words.
``count``
    :math:`n(ab)`: byte-pair encoding (Sennrich et al., 2016), and also what the trainer of
    the ``tokenizers`` library does under the name WordPiece.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from .text import expect_tokens
from .wordpiece import MARK, SPECIALS, normalise, split_words

Pair = tuple[str, str]


def word_counts(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, normalised and split as the tokenizer will do it."""
    expect_tokens(texts)
    return Counter(word for text in texts for word in split_words(normalise(text)))


def characters(word: str) -> list[str]:
    """The first cut: one character a piece.

    >>> characters("hug")
    ['h', '##u', '##g']
    """
    return [word[0], *(MARK + c for c in word[1:])]


def joined(a: str, b: str) -> str:
    """The piece that two neighbours make: ``##ug`` from ``##u`` and ``##g``."""
    return a + b.removeprefix(MARK)


def merge(pieces: list[str], pair: Pair) -> list[str]:
    """Join the pair wherever it stands, from the left.

    >>> merge(["h", "##u", "##g"], ("##u", "##g"))
    ['h', '##ug']
    """
    out, i = [], 0
    while i < len(pieces):
        if tuple(pieces[i : i + 2]) == pair:
            out.append(joined(*pair))
            i += 2
        else:
            out.append(pieces[i])
            i += 1
    return out


def ratio(n_ab: int, n_a: int, n_b: int, *, N: int, same: bool = False) -> float:
    """n(ab) / (n(a) n(b))."""
    return n_ab / (n_a * n_b)


def count(n_ab: int, n_a: int, n_b: int, *, N: int, same: bool = False) -> float:
    """n(ab)."""
    return float(n_ab)


def gain(n_ab: int, n_a: int, n_b: int, *, N: int, same: bool = False) -> float:
    r"""Nats that the text gains when ab becomes a piece, each piece at its own share.

    The log-likelihood of N pieces is :math:`\sum_u n(u) \ln (n(u)/N)`. Afterwards a, b and
    N are n(ab) fewer (a is twice as many fewer if a = b), and ab is new.
    """
    if same:
        parts = _f(n_ab) + _f(max(0, n_a - 2 * n_ab)) - _f(n_a)
    else:
        parts = _f(n_ab) + _f(n_a - n_ab) + _f(n_b - n_ab) - _f(n_a) - _f(n_b)
    return parts + _f(N) - _f(N - n_ab)


def _f(n: int) -> float:
    return n * math.log(n) if n else 0.0


SCORES = {"ratio": ratio, "gain": gain, "count": count}


def train(counts: Mapping[str, int], size: int, *, score: str = "ratio") -> list[str]:
    """Learn a vocabulary.

    Parameters
    ----------
    counts : mapping of str to int
        Words and how often each occurs, from the training text only.
    size : int
        Entries in all: special tokens, characters, merges. Fewer come back if no two
        pieces are left to join.
    score : str
        ``"ratio"``, ``"gain"`` or ``"count"``; ties go to the first pair alphabetically.

    Returns
    -------
    list of str
        Special tokens, characters in alphabetical order, then pieces as they were made.

    >>> words = {"hug": 10, "pug": 5, "hugs": 5}
    >>> train(words, 11)[5:]                          # 5 / (20 * 5) beats 20 / (20 * 20)
    ['##g', '##s', '##u', 'h', 'p', '##gs']
    >>> train(words, 12, score="count")[10:]          # 20 times u g, then 15 times h ug
    ['##ug', 'hug']
    """
    if score not in SCORES:
        raise ValueError(f"score: expected one of {sorted(SCORES)}, got {score!r}.")
    table = Table(counts, SCORES[score])
    types = list(SPECIALS) + sorted(table.units)
    if size < len(types):
        raise ValueError(
            f"size: expected at least {len(types)}, for {len(SPECIALS)} special tokens "
            f"and {len(types) - len(SPECIALS)} characters, got {size}."
        )
    known = set(types)
    while len(types) < size and (pair := table.best()) is not None:
        table.join(pair)
        if (piece := joined(*pair)) not in known:  # two pairs can make the same piece
            types.append(piece)
            known.add(piece)
    return types


class Table:
    """Counts of pieces and of neighbours, kept up to date while pairs are joined.

    A heap holds an upper bound of each pair's score: a pair whose score rises is pushed
    again, one whose score falls is corrected when its turn comes (the total N only falls,
    which can only lower a gain). So the first entry that is still true is the best pair.
    """

    def __init__(self, counts: Mapping[str, int], score) -> None:
        if not counts or min(counts.values()) < 1 or "" in counts:
            raise ValueError("counts: expected words that occur at least once, got none.")
        self.score, self.n = score, list(counts.values())
        self.words = [characters(word) for word in counts]
        self.units: Counter[str] = Counter()
        self.pairs: Counter[Pair] = Counter()
        self.where: defaultdict[Pair, set[int]] = defaultdict(set)
        self.beside: defaultdict[str, set[Pair]] = defaultdict(set)
        for i in range(len(self.words)):
            self._count(i, +1)
        self.N = sum(self.units.values())
        self.bound = {pair: self.value(pair) for pair in self.pairs}
        self.heap = [(-bound, pair) for pair, bound in self.bound.items()]
        heapq.heapify(self.heap)

    def value(self, pair: Pair) -> float:
        """The pair's score from the present counts."""
        a, b = pair
        return self.score(
            self.pairs[pair], self.units[a], self.units[b], N=self.N, same=a == b
        )

    def best(self) -> Pair | None:
        """The pair with the highest score; None if no word has two pieces."""
        while self.heap:
            bound, pair = heapq.heappop(self.heap)
            if not self.pairs[pair]:
                continue
            value = self.value(pair)
            if value == -bound:
                return pair
            if value < -bound:  # lower than was thought
                self._push(pair, value)
        return None

    def _push(self, pair: Pair, value: float) -> None:
        self.bound[pair] = value
        heapq.heappush(self.heap, (-value, pair))

    def join(self, pair: Pair) -> None:
        """Make the pair one piece in every word."""
        for i in sorted(self.where[pair]):
            self._count(i, -1)
            self.words[i] = merge(self.words[i], pair)
            self._count(i, +1)
        self.N = sum(self.units.values())
        for p in set().union(*(self.beside[u] for u in (*pair, joined(*pair)))):
            if not self.pairs[p]:
                self.beside[p[0]].discard(p)
                self.beside[p[1]].discard(p)
            elif (value := self.value(p)) > self.bound.get(p, -math.inf):
                self._push(p, value)

    def _count(self, i: int, sign: int) -> None:
        """Add word i to all counts, or take it out."""
        pieces, n = self.words[i], sign * self.n[i]
        for piece in pieces:
            self.units[piece] += n
        for pair in zip(pieces, pieces[1:]):
            self.pairs[pair] += n
            if sign > 0:
                self.where[pair].add(i)
                self.beside[pair[0]].add(pair)
                self.beside[pair[1]].add(pair)
            else:
                self.where[pair].discard(i)
