r"""A recurrent network with hand-set rational weights that keeps a stack in one number.

Introduced in chapter 6, after Siegelmann and Sontag (1995). The network is an Elman
network whose `f` and `f'` are the saturated-linear unit
:math:`\sigma(a) = \min(1, \max(0, a))`. It reads brackets, one a step, and its output is 1
exactly when what it has read so far is balanced: ``([])`` is, ``([)]`` is not.

The stack is a fraction in base 4: digit 1 is an open ``(``, digit 3 an open ``[``, the
first digit is the top, 0 is the empty stack.

.. math:: push\ d: q \to (q + d)/4 \qquad pop\ d: q \to 4q - d
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import torch

SYMBOLS = "([)]"
UNITS = ("push (", "push [", "pop )", "pop ]", "empty", "not [", "dead")


class Weights(NamedTuple):
    """Rows of fractions: ``U`` (7, 4), ``W`` (7, 7), ``b_h`` (7,), ``V`` (7,), ``b_y``."""

    U: tuple[tuple[Fraction, ...], ...]
    W: tuple[tuple[Fraction, ...], ...]
    b_h: tuple[Fraction, ...]
    V: tuple[Fraction, ...]
    b_y: Fraction


def saturate(a: Fraction) -> Fraction:
    """min(1, max(0, a)).

    >>> saturate(Fraction(5, 4)), saturate(Fraction(-1)), saturate(Fraction(1, 3))
    (Fraction(1, 1), Fraction(0, 1), Fraction(1, 3))
    """
    return min(Fraction(1), max(Fraction(0), a))


def weights() -> Weights:
    """The machine.

    The first four units share the stack: at any time at most one is not 0, and their
    sum is q. Each line of the table is one unit, as coefficients of
    (q, errors so far, "(", "[", ")", "]", 1). Closing ")" on a "[" needs no unit of its
    own: 4 q - 1 is then at least 2, the stack is stuck at 1 and never empty again.
    """
    quarter = Fraction(1, 4)
    table = (
        (quarter, 0, 1, 0, 0, 0, quarter - 1),  # push (: (q + 1) / 4 if x is (
        (quarter, 0, 0, 1, 0, 0, 3 * quarter - 1),  # push [: (q + 3) / 4 if x is [
        (4, 0, 0, 0, 4, 0, -5),  # pop ): 4 q - 1 if x is )
        (4, 0, 0, 0, 0, 4, -7),  # pop ]: 4 q - 3 if x is ]
        (-4, 0, 0, 0, 1, 0, 0),  # empty: 1 if x is ) and q = 0
        (-4, 0, 0, 0, 0, 3, 0),  # not [: 1 if x is ] and the top is ( or nothing
        (0, 1, 0, 0, 0, 0, 0),  # dead: an error has happened
    )
    rows = [[Fraction(c) for c in row] for row in table]
    return Weights(
        U=tuple(tuple(row[2:6]) for row in rows),
        W=tuple((row[0],) * 4 + (row[1],) * 3 for row in rows),
        b_h=tuple(row[6] for row in rows),
        V=(Fraction(-4),) * 4 + (Fraction(-1),) * 3,  # 1 - 4 q - errors
        b_y=Fraction(1),
    )


def step(h_prev: tuple, symbol: str, p: Weights) -> tuple[Fraction, ...]:
    """h_t = saturate(U x_t + W h_{t-1} + b_h), x_t one-hot, in exact arithmetic."""
    if symbol not in SYMBOLS:
        raise ValueError(f"symbol: expected one of {SYMBOLS!r}, got {symbol!r}.")
    d = SYMBOLS.index(symbol)
    live = [(i, value) for i, value in enumerate(h_prev) if value]
    return tuple(
        saturate(sum((w[i] * v for i, v in live), u[d] + b))
        for u, w, b in zip(p.U, p.W, p.b_h)
    )


def output(h: tuple, p: Weights) -> Fraction:
    """y_t = saturate(V h_t + b_y): 1 if balanced so far, else 0."""
    return saturate(sum((v * value for v, value in zip(p.V, h)), p.b_y))


def initial() -> tuple[Fraction, ...]:
    """h_0: the empty stack."""
    return (Fraction(0),) * len(UNITS)


def run(string: str, p: Weights) -> Fraction:
    """The exact output after the whole string.

    >>> run("([])", weights()), run("([)]", weights())
    (Fraction(1, 1), Fraction(0, 1))
    """
    h_t = initial()
    for symbol in string:
        h_t = step(h_t, symbol, p)
    return output(h_t, p)


def walk(alphabet: str, longest: int, p: Weights) -> Iterator[tuple[str, Fraction]]:
    """Every string over `alphabet` up to length `longest`, with the exact output.

    The strings are the nodes of a tree: each is one step beyond its prefix. A step is a
    function of the state and the symbol, so a pair met before is looked up.
    """
    states, number, moves, outputs = [initial()], {initial(): 0}, {}, {}
    level = [("", 0)]
    for length in range(longest + 1):
        for string, s in level:
            if s not in outputs:
                outputs[s] = output(states[s], p)
            yield string, outputs[s]
        if length == longest:
            return
        for s in {s for _, s in level}:
            for symbol in alphabet:
                if (s, symbol) not in moves:
                    h_t = step(states[s], symbol, p)
                    moves[s, symbol] = number.setdefault(h_t, len(number))
                    if len(number) > len(states):
                        states.append(h_t)
        level = [(w + a, moves[s, a]) for w, s in level for a in alphabet]


def census(longest: int, p: Weights) -> tuple[int, int, int]:
    """(strings, accepted, misjudged) over all strings of both pairs up to `longest`.

    Exact: states are whole numbers of 4^-(longest + 1). Strings that lead the machine
    and a reference to the same pair of states are counted together, so their number may
    be in the billions. The reference is a stack of bits in an integer (1: empty, 0:
    spoilt) and shares nothing with the weights.

    >>> census(2, weights())   # of 1 + 4 + 16: the empty one, (), []
    (21, 3, 0)
    """
    one = 4 ** (longest + 1)
    rows = np.array([[0] * len(UNITS) + [1]])  # (pairs, 8): state, reference
    n, total = np.ones(1, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for length in range(longest + 1):
        h, stack = rows[:, :-1], rows[:, -1]
        y = np.clip(one * int(p.b_y) + h @ np.array(p.V, dtype=np.int64), 0, one)
        wrong = (y == one) != (stack == 1)
        wrong |= (y != 0) & (y != one)
        total += n.sum(), n[y == one].sum(), n[wrong].sum()
        if length < longest:
            rows, n = _merged(
                np.concatenate([_moved(h, stack, s, p, one) for s in SYMBOLS]),
                np.tile(n, len(SYMBOLS)),
            )
    return tuple(total.tolist())


def _moved(h: np.ndarray, stack: np.ndarray, symbol: str, p: Weights, one: int):
    """All pairs (machine, reference) one symbol on: (pairs, 8)."""
    W, U, b = (
        np.array([[int(4 * v) for v in row] for row in t], dtype=np.int64)
        for t in (p.W, p.U, [[v] for v in p.b_h])
    )  # in quarters
    a = h @ W.T + (U[:, SYMBOLS.index(symbol)] + b[:, 0]) * one
    if (a % 4).any():
        raise ValueError("weights: expected multiples of 1/4 that keep the scale.")
    bit = int(symbol in "[]")
    pushed = np.where(stack > 0, 2 * stack + bit, 0)
    popped = np.where((stack > 1) & (stack % 2 == bit), stack // 2, 0)
    return np.column_stack(
        [np.clip(a // 4, 0, one), pushed if symbol in "([" else popped]
    )


def _merged(rows: np.ndarray, n: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Different rows, and how many strings lead to each."""
    rows, inverse = np.unique(rows, axis=0, return_inverse=True)
    counts = np.zeros(len(rows), dtype=np.int64)
    np.add.at(counts, inverse.ravel(), n)
    return rows, counts


def balanced(string: str) -> bool:
    """The language's own definition: deleting () and [] again and again leaves nothing.

    >>> balanced("([])[]"), balanced("([)]")
    (True, False)
    """
    while (shorter := string.replace("()", "").replace("[]", "")) != string:
        string = shorter
    return not string


def run_float(strings: list[str], p: Weights, dtype: torch.dtype) -> torch.Tensor:
    """The same machine in floating point: outputs (B,) of strings of one length.

    Every weight is a binary fraction, so the weights are exact in any float type. Only
    the state can be rounded.
    """
    ids = torch.tensor([[SYMBOLS.index(s) for s in string] for string in strings])
    x = torch.nn.functional.one_hot(ids, len(SYMBOLS)).to(dtype)  # (B, T, 4)
    U, W, b_h, V = (_tensor(t, dtype) for t in p[:4])
    h_t = x.new_zeros(len(strings), len(b_h))
    for x_t in x.unbind(1):
        h_t = (x_t @ U.T + h_t @ W.T + b_h).clamp(0, 1)  # (B, 7)
    return (h_t @ V + float(p.b_y)).clamp(0, 1)  # (B,)


def _tensor(rows, dtype: torch.dtype) -> torch.Tensor:
    nested = [[float(v) for v in r] if isinstance(r, tuple) else float(r) for r in rows]
    return torch.tensor(nested, dtype=dtype)
