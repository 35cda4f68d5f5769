r"""Counting rivals of a character model: interpolated Kneser-Ney n-grams, gzip and xz.

Introduced in chapter 10, beside `course_utils.charmodel`. A compressor is a model of text
as well: what it needs for a character is a cost in bits. All counting is sorting of
n-grams written as integers, so 5 million characters take seconds.
"""

from __future__ import annotations

import gzip
import lzma
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LARGEST = 2**62


@dataclass(frozen=True)
class Order:
    """Counts of the n-grams of one order, sorted by their integer."""

    keys: np.ndarray  # (types,) n-gram as an integer to the base N
    counts: np.ndarray  # (types,) occurrences; below the top order, distinct left neighbours
    contexts: np.ndarray  # (contexts,) n-gram without its last character
    totals: np.ndarray  # (contexts,) sum of counts
    followers: np.ndarray  # (contexts,) distinct next characters
    discount: float


class NGram:
    r"""Interpolated Kneser-Ney (Kneser and Ney, 1995; Chen and Goodman, 1999).

    .. math::
        p_k(c|h) = \frac{\max(n_k(hc) - d_k, 0)}{n_k(h)}
            + \frac{d_k\, t_k(h)}{n_k(h)}\, p_{k-1}(c|h')

    with :math:`n` the counts, :math:`t(h)` the number of distinct followers of h, and
    :math:`h'` the context without its oldest character. Below the highest order counts
    are of distinct left neighbours. The recursion ends in the uniform 1/N, an unseen
    context passes to the shorter one, and :math:`d = n_1 / (n_1 + 2 n_2)` with
    :math:`n_1, n_2` the number of n-grams counted once, twice.

    Parameters
    ----------
    ids : Tensor, shape (T,)
        The training text.
    N : int
        Size of the vocabulary.
    order : int
        Longest n-gram; order - 1 characters are the context.
    """

    def __init__(self, ids: Tensor, N: int, order: int):
        if order < 1 or N**order >= LARGEST or len(ids) < order:
            raise ValueError(
                f"order: expected at least 1, at most {len(ids)} and {N} ** order below "
                f"2 ** 62, got {order}."
            )
        self.N, self.order = N, order
        keys, counts = np.unique(_keys(_whole(ids), N, order), return_counts=True)
        orders = [_order(keys, counts, N)]
        for k in range(order - 1, 0, -1):
            keys, counts = np.unique(keys % N**k, return_counts=True)
            orders.append(_order(keys, counts, N))
        self.orders = orders[::-1]  # from 1 to `order`

    @property
    def parameters_stored(self) -> int:
        """Number of counts kept, over all orders."""
        return sum(len(table.keys) for table in self.orders)

    def probabilities(self, history: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """p(token | history): history (M, order - 1), oldest first, tokens (M, ...)."""
        more = (1,) * (tokens.ndim - 1)
        p = np.full(tokens.shape, 1 / self.N)
        context = np.zeros(len(history), dtype=np.int64)
        for k, table in enumerate(self.orders, start=1):
            if k > 1:
                oldest = history[:, self.order - k].astype(np.int64)
                context = oldest * self.N ** (k - 2) + context
            here, known = _find(table.contexts, context)
            total = np.where(known, table.totals[here], 1).reshape(-1, *more)
            followers = np.where(known, table.followers[here], 0).reshape(-1, *more)
            place, seen = _find(table.keys, context.reshape(-1, *more) * self.N + tokens)
            count = np.where(seen, table.counts[place], 0)
            d, known = table.discount, known.reshape(-1, *more)
            mixed = (np.maximum(count - d, 0) + d * followers * p) / total
            p = np.where(known, mixed, p)
        return p

    def nats_of(self, ids: Tensor, *, warm: int = 100) -> Tensor:
        """Cost of each character of ids (T,) from place `warm` on, (T - warm,)."""
        if warm < self.order - 1 or len(ids) <= warm:
            raise ValueError(
                f"warm: expected at least {self.order - 1} and below {len(ids)}, got {warm}."
            )
        text, k = _whole(ids), self.order - 1
        windows = np.lib.stride_tricks.sliding_window_view(text, k + 1)[warm - k :]
        return -torch.from_numpy(np.log(self.probabilities(windows[:, :k], windows[:, k])))

    def step(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """For `decoding`: state is the history (B, order - 1), zeros before the text."""
        if self.order == 1:
            history = tokens.new_zeros(len(tokens), 0)
        elif state is None:
            history = tokens.new_zeros(len(tokens), self.order - 1)
            history[:, -1] = tokens
        else:
            history = torch.cat([state[:, 1:], tokens[:, None]], 1)
        p = self.all_probabilities(history.numpy())
        return torch.from_numpy(np.log(p)).float(), history

    def all_probabilities(self, history: np.ndarray) -> np.ndarray:
        """`probabilities` of every character, (M, N), for history (M, order - 1).

        What follows a context stands side by side in a sorted table, so that two searches
        find all of it.
        """
        p = np.full((len(history), self.N), 1 / self.N)
        context = np.zeros(len(history), dtype=np.int64)
        for k, table in enumerate(self.orders, start=1):
            if k > 1:
                oldest = history[:, self.order - k].astype(np.int64)
                context = oldest * self.N ** (k - 2) + context
            first, last = (np.searchsorted(table.keys, (context + i) * self.N) for i in (0, 1))
            found, n = last > first, last - first
            rows = np.repeat(np.arange(len(history)), n)
            place = np.arange(n.sum()) - np.repeat(n.cumsum() - n - first, n)
            counts = np.zeros_like(p)
            counts[rows, table.keys[place] % self.N] = table.counts[place]
            total, d = counts.sum(1, keepdims=True), table.discount
            mixed = np.maximum(counts - d, 0) + d * n[:, None] * p
            p = np.where(found[:, None], mixed / np.maximum(total, 1), p)
        return p


def best_order(train: Tensor, held: Tensor, N: int, orders, warm: int = 100) -> dict:
    """Bits per character of a validation text for each order."""
    return {
        k: NGram(train, N, k).nats_of(held, warm=warm).mean().item() / math.log(2)
        for k in orders
    }


def compressed_bits(text: str, given: str, method: str = "xz") -> float:
    """Bits per character that a compressor needs for `text` after `given`.

    The size of both together less that of `given` alone. gzip looks back 32 kB only, xz
    as far as there is text.
    """
    methods = {
        "gzip": lambda data: gzip.compress(data, 9, mtime=0),
        "xz": lambda data: lzma.compress(data, preset=6),
    }
    if method not in methods:
        raise ValueError(f"method: expected one of {[*methods]}, got {method!r}.")
    if not text:
        raise ValueError("text: expected at least one character.")
    with ThreadPoolExecutor(2) as pool:  # both at the same time, where there are two cores
        both, before = pool.map(methods[method], ((given + text).encode(), given.encode()))
    return 8 * (len(both) - len(before)) / len(text)


class Copies:
    """Finds the longest pieces of a source that a text repeats.

    An index of all pieces of `least` characters gives the candidates, which are then
    followed character by character. Building it sorts the source once.

    >>> Copies("..abcdefghij").longest("xxabcdefgh!").tolist()
    [0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]
    """

    def __init__(self, source: str, *, least: int = 8):
        if not 1 <= least <= len(source):
            raise ValueError(f"least: expected 1 to {len(source)}, got {least}.")
        self.alphabet, codes = np.unique(_points(source), return_inverse=True)
        self.least, self.base = least, len(self.alphabet) + 1  # one for all others
        self.run = min(least, int(math.log(LARGEST) / math.log(self.base)))
        keys = _keys(codes.astype(np.int64), self.base, self.run)
        self.by_key = np.argsort(keys, kind="stable")
        self.keys = keys[self.by_key]
        self.codes = np.append(codes.astype(np.int64), -1)

    def longest(self, text: str) -> np.ndarray:
        """For each place of a text, the length of the longest piece from there on.

        Pieces shorter than `least` count as 0.
        """
        lengths = np.zeros(len(text), dtype=np.int64)
        if len(text) < self.least:
            return lengths
        place, known = _find(self.alphabet, _points(text))
        mine = np.where(known, place, self.base - 1)
        wanted = _keys(mine, self.base, self.run)
        first = np.searchsorted(self.keys, wanted)
        last = np.searchsorted(self.keys, wanted, "right")
        for i in np.flatnonzero(first < last):
            n = _follow(mine[i:], self.codes, self.by_key[first[i] : last[i]], self.run)
            lengths[i] = n if n >= self.least else 0
        return lengths


def _points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)


def _follow(mine: np.ndarray, other: np.ndarray, starts: np.ndarray, n: int) -> int:
    """Length of the longest common beginning of `mine` and a piece at one of the starts."""
    while n < len(mine):
        going = starts[other[starts + n] == mine[n]]
        if len(going) == 0:
            return n
        starts, n = going, n + 1
    return n


def _order(keys: np.ndarray, counts: np.ndarray, N: int) -> Order:
    contexts, first = np.unique(keys // N, return_index=True)
    totals = np.add.reduceat(counts, first)
    followers = np.diff(np.append(first, len(keys)))
    once, twice = (counts == 1).sum(), (counts == 2).sum()
    discount = once / (once + 2 * twice) if once and twice else 0.5
    return Order(keys, counts, contexts, totals, followers, float(discount))


def _keys(ids: np.ndarray, N: int, n: int) -> np.ndarray:
    """All runs of n characters as integers to the base N, (T - n + 1,)."""
    keys = np.zeros(len(ids) - n + 1, dtype=np.int64)
    for k in range(n):
        keys = keys * N + ids[k : len(ids) - n + 1 + k]
    return keys


def _find(table: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each wanted integer in a sorted table, and whether it is there."""
    place = np.searchsorted(table, wanted).clip(max=len(table) - 1)
    return place, table[place] == wanted


def _whole(ids: Tensor) -> np.ndarray:
    return ids.cpu().numpy().astype(np.int64)
