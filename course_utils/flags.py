"""A task whose dependency can be longer than any window: recall the last flag.

Introduced in chapter 6. A line holds noise, the flags "a" and "b" in random order, and a
query "?" at its end. The answer is the flag that came last. At least `gap` noise symbols
lie between the flags, and `gap` between the last flag and the query. So a window of
gap + 1 symbols or fewer never shows two of the three together, and can only guess. The
set of all windows of a line does in principle determine the order of the flags; a maximum
over a few detectors does not find it. The three models here are the ones that guess; the
recurrent network that does not is in the chapter.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from . import crf

SYMBOLS = "ab?cdefgh"  # two flags, the query, six noise symbols
QUERY = SYMBOLS.index("?")
NOISE = (3, len(SYMBOLS))


class Recall(NamedTuple):
    """``x`` (B, T) symbols; ``y`` (B,) the last flag, 0 or 1, asked for at the end."""

    x: torch.Tensor
    y: torch.Tensor


def recall(
    B: int, gap: int, *, generator: torch.Generator, before: int = 0, spread: int = 4
) -> Recall:
    """`before` noise symbols, one flag, noise, the other flag, `gap` noise, query.

    Between the flags lie `gap` to `gap` + `spread` noise symbols, the same number for
    all lines of a call; if it were always `gap`, a network could answer by the parity of
    the time since the first flag. T = before + 3 + 2 gap, up to `spread` more. Both flags
    occur once in every line, and the noise is independent of their order: who cannot see
    the order is right half of the time.

    >>> x, y = recall(2, 3, generator=torch.Generator().manual_seed(0), spread=0)
    >>> tuple(x.shape), bool((x[:, 4] == y).all()), bool((x[:, 0] == 1 - y).all())
    ((2, 9), True, True)
    """
    if min(gap, before, spread) < 0:
        raise ValueError(
            f"gap, before, spread: expected 0 or more, got {gap}, {before}, {spread}."
        )
    second = before + 1 + gap + int(torch.randint(spread + 1, (), generator=generator))
    T = second + 1 + gap + 1
    x = torch.randint(*NOISE, (B, T), generator=generator)  # (B, T)
    y = torch.randint(2, (B,), generator=generator)  # (B,)
    x[:, before] = 1 - y
    x[:, second] = y
    x[:, -1] = QUERY
    return Recall(x, y)


def show(row: torch.Tensor) -> str:
    """One line as text.

    >>> show(torch.tensor([0, 3, 1, 8, 2]))
    'acbh?'
    """
    return "".join(SYMBOLS[i] for i in row.tolist())


def one_hot(x: torch.Tensor) -> torch.Tensor:
    """Symbols (B, T) as one-hot vectors (B, T, N)."""
    return F.one_hot(x, len(SYMBOLS)).float()


def last_windows(x: torch.Tensor, L: int) -> torch.Tensor:
    """The L symbols that end at each step, one-hot: (B, T, N L); zeros before the line."""
    return F.pad(one_hot(x), (0, 0, L - 1, 0)).unfold(1, L, 1).flatten(2)


class Model(nn.Module):
    """Scores of the two answers (B, 2) from a line; cross-entropy as loss."""

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(self(x), y)


class Window(Model):
    """A fully connected network on the last `L` symbols."""

    def __init__(self, L: int, H: int = 32):
        super().__init__()
        self.L = L
        self.net = nn.Sequential(
            nn.Linear(len(SYMBOLS) * L, H), nn.ReLU(), nn.Linear(H, 2)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(last_windows(x, self.L)[:, -1])


class Pooled(Model):
    """A convolution of width `L` inside the line (no padding), maximum over time."""

    def __init__(self, L: int, H: int = 32):
        super().__init__()
        self.C, self.V = nn.Conv1d(len(SYMBOLS), H, L), nn.Linear(H, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.V(torch.relu(self.C(one_hot(x).transpose(1, 2))).amax(2))


class ChainOnWindows(Model):
    """A linear-chain CRF with the tags: first answer, second answer, nothing yet."""

    def __init__(self, L: int):
        super().__init__()
        self.L = L
        self.net, self.crf = nn.Linear(len(SYMBOLS) * L, 3), crf.CRF(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        unary, _ = crf.marginals(self.net(last_windows(x, self.L)), self.crf.chain)
        return unary[:, -1, :2].clamp(min=1e-30).log()

    def loss(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        tags = torch.full_like(x, 2)
        tags[:, -1] = y
        return self.crf(self.net(last_windows(x, self.L)), tags)
