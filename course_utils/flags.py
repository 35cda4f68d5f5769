"""A task whose dependency can be longer than any window: recall the last flag.

Introduced in chapter 6. A line holds noise, flags "a" and "b", and queries "?". At a
query the answer is the last flag; everywhere else there is nothing to say. Between flag
and query lie `gap` noise symbols, so a window of fewer than gap + 2 symbols that ends at
the query does not reach the flag.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

SYMBOLS = "ab?cdefgh"  # two flags, the query, six noise symbols
QUERY = SYMBOLS.index("?")
NOISE = tuple(range(3, len(SYMBOLS)))


class Recall(NamedTuple):
    """``x`` (B, T) symbols; ``y`` (B,) the flag, 0 or 1, asked for at the last step."""

    x: torch.Tensor
    y: torch.Tensor


def recall(B: int, gap: int, *, generator: torch.Generator, before: int = 0) -> Recall:
    """`before` noise symbols, a random flag, `gap` noise symbols, a query.

    The noise is independent of the flag, so without the flag the best guess is right
    half of the time.

    >>> x, y = recall(2, 3, generator=torch.Generator().manual_seed(0))
    >>> tuple(x.shape), bool((x[:, 0] == y).all()), bool((x[:, -1] == QUERY).all())
    ((2, 5), True, True)
    """
    if gap < 0 or before < 0:
        raise ValueError(f"gap, before: expected 0 or more, got {gap}, {before}.")
    T = before + 1 + gap + 1
    x = torch.randint(min(NOISE), max(NOISE) + 1, (B, T), generator=generator)  # (B, T)
    y = torch.randint(2, (B,), generator=generator)  # (B,)
    x[:, before] = y
    x[:, -1] = QUERY
    return Recall(x, y)


def show(row: torch.Tensor) -> str:
    """One line as text.

    >>> show(torch.tensor([0, 3, 8, 2]))
    'ach?'
    """
    return "".join(SYMBOLS[i] for i in row.tolist())
