"""A task whose dependency can be longer than any window: recall the last flag.

Introduced in chapter 6. A line holds noise, the flags "a" and "b" in random order, and a
query "?" at its end. The answer is the flag that came last. `gap` noise symbols lie
between the flags, and again between the last flag and the query. So a window of
gap + 1 symbols or fewer never shows two of the three together: windows, and pools of
windows, can only guess.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

SYMBOLS = "ab?cdefgh"  # two flags, the query, six noise symbols
QUERY = SYMBOLS.index("?")
NOISE = (3, len(SYMBOLS))


class Recall(NamedTuple):
    """``x`` (B, T) symbols; ``y`` (B,) the last flag, 0 or 1, asked for at the end."""

    x: torch.Tensor
    y: torch.Tensor


def recall(B: int, gap: int, *, generator: torch.Generator, before: int = 0) -> Recall:
    """`before` noise symbols, one flag, `gap` noise, the other flag, `gap` noise, query.

    T = before + 2 gap + 3. Both flags occur once in every line, and the noise is
    independent of their order: who cannot see the order is right half of the time.

    >>> x, y = recall(2, 3, generator=torch.Generator().manual_seed(0))
    >>> tuple(x.shape), bool((x[:, 4] == y).all()), bool((x[:, 0] == 1 - y).all())
    ((2, 9), True, True)
    """
    if gap < 0 or before < 0:
        raise ValueError(f"gap, before: expected 0 or more, got {gap}, {before}.")
    T = before + 2 * gap + 3
    x = torch.randint(*NOISE, (B, T), generator=generator)  # (B, T)
    y = torch.randint(2, (B,), generator=generator)  # (B,)
    x[:, before] = 1 - y
    x[:, before + 1 + gap] = y
    x[:, -1] = QUERY
    return Recall(x, y)


def show(row: torch.Tensor) -> str:
    """One line as text.

    >>> show(torch.tensor([0, 3, 1, 8, 2]))
    'acbh?'
    """
    return "".join(SYMBOLS[i] for i in row.tolist())
