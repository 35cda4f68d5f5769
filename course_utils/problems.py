"""Three generated problems whose answer lies far back in the input.

Introduced in chapter 7 (training), used again in chapter 8 (LSTM, GRU). Each function
draws a batch from a generator; each problem has a figure for "has learned nothing" and
a criterion for "solved", so that a success rate against the length can be counted.

==================  =======================  ========================  ====================
problem             target                   nothing learned           solved
==================  =======================  ========================  ====================
`adding`            sum of 2 marked numbers  squared error 1/6         < 1 % off by > 0.08
`temporal_order`    which of 4 orders        accuracy 1/4, ln 4 nats   < 1 % wrong
`copying`           10 symbols seen before   see `copying_baseline`    < 1 % of symbols wrong
==================  =======================  ========================  ====================
"""

from __future__ import annotations

import math

import torch

ADDING_VARIANCE = 1 / 6
"""Squared error of answering 1: the variance of a sum of two uniform numbers."""

STRICT = 0.08
"""Hochreiter and Schmidhuber (1997): 0.04 on the mean of the two numbers."""

LENIENT = 0.4
"""Pascanu et al. (2013), their code: squared error 0.04 on the mean, so 0.2 on it."""

SOLVED = 0.01
"""Share of failures below which all three papers call a problem solved."""

TEMPORAL_ORDER_CHANCE = 1 / 4
SYMBOLS = "ABcdef"
ORDERS = ("AA", "AB", "BA", "BB")


def adding(B: int, T: int, *, generator: torch.Generator) -> tuple[torch.Tensor, ...]:
    """The adding problem (Hochreiter and Schmidhuber, 1997, task 4).

    Channel 0 holds uniform numbers, channel 1 is 1 at two steps and 0 elsewhere. The
    target is the sum of the two marked numbers. The first mark lies in the first tenth,
    the second between there and the middle (Martens and Sutskever, 2011), so that the
    answer has to be carried over at least T/2 steps.

    Parameters
    ----------
    B, T : int
        Sequences, and steps of each (at least 10).
    generator : torch.Generator
        Its device is the device of the batch.

    Returns
    -------
    x : torch.Tensor, shape (B, T, 2)
    y : torch.Tensor, shape (B,)

    Notes
    -----
    Answering 1 always gives a squared error of 1/6 and fails on 85 % of the sequences
    at the tolerance `STRICT`, on 36 % at `LENIENT`.

    >>> x, y = adding(3, 10, generator=torch.Generator().manual_seed(0))
    >>> x.shape, x[..., 1].sum(1)
    (torch.Size([3, 10, 2]), tensor([2., 2., 2.]))
    """
    _expect_length(B, T)
    device = generator.device
    values = torch.rand(B, T, generator=generator, device=device)  # (B, T)
    first = _positions(B, 0, T // 10, generator)
    second = _positions(B, T // 10, T // 2, generator)
    marks = torch.zeros(B, T, device=device)
    rows = torch.arange(B, device=device)
    marks[rows, first] = 1.0
    marks[rows, second] = 1.0
    return torch.stack([values, marks], -1), (values * marks).sum(1)  # (B, T, 2), (B,)


def adding_failures(predicted: torch.Tensor, y: torch.Tensor, tolerance: float = STRICT):
    """Share of sequences whose answer is off by more than `tolerance`, last axis.

    >>> adding_failures(torch.tensor([1.0, 1.0]), torch.tensor([1.05, 1.3]))
    0.5
    """
    if predicted.shape != y.shape:
        raise ValueError(f"expected one shape, got {predicted.shape} and {y.shape}.")
    share = 1 - ((predicted - y).abs() <= tolerance).float().mean(-1)  # a NaN fails
    return share.item() if share.ndim == 0 else share


def temporal_order(
    B: int, T: int, *, generator: torch.Generator
) -> tuple[torch.Tensor, ...]:
    """The temporal order problem (Hochreiter and Schmidhuber, 1997, task 6a).

    Symbols A, B, c, d, e, f, one-hot. One of A, B stands at a random step of
    [T/10, 2T/10), another at one of [4T/10, 5T/10); all other steps are c to f. The class
    is the order: AA, AB, BA, BB (Pascanu et al., 2013, section 4.1). The answer has to be
    carried over at least T/2 steps.

    Returns
    -------
    x : torch.Tensor, shape (B, T, 6)
    y : torch.Tensor of int64, shape (B,)
        Index into `ORDERS`. Chance is 1/4, or ln 4 = 1.386 nats.

    >>> x, y = temporal_order(5, 20, generator=torch.Generator().manual_seed(0))
    >>> x.shape, x[..., :2].sum((1, 2))
    (torch.Size([5, 20, 6]), tensor([2., 2., 2., 2., 2.]))
    """
    _expect_length(B, T)
    device = generator.device
    drawn = torch.randint(2, 6, (B, T), generator=generator, device=device)  # (B, T)
    first = _positions(B, T // 10, 2 * (T // 10), generator)
    second = _positions(B, 4 * T // 10, 4 * T // 10 + T // 10, generator)
    letters = torch.randint(0, 2, (B, 2), generator=generator, device=device)
    rows = torch.arange(B, device=device)
    drawn[rows, first] = letters[:, 0]
    drawn[rows, second] = letters[:, 1]
    x = torch.nn.functional.one_hot(drawn, 6).float()  # (B, T, 6)
    return x, 2 * letters[:, 0] + letters[:, 1]  # (B,)


def copying(
    B: int, lag: int, *, generator: torch.Generator, length: int = 10, symbols: int = 8
) -> tuple[torch.Tensor, ...]:
    """The copy problem (Hochreiter and Schmidhuber, 1997; Arjovsky et al., 2016).

    Input: `length` symbols from 1 .. `symbols`, then `lag` - 1 blanks (0), then the
    signal ``symbols + 1``, then `length` blanks; so T = lag + 2 length. Target: blanks,
    and the symbols again over the last `length` steps.

    Returns
    -------
    x, y : torch.Tensor of int64, shape (B, lag + 2 length)
        Ids below ``symbols + 2``.

    >>> x, y = copying(1, 3, generator=torch.Generator(), length=2, symbols=1)
    >>> print(x.tolist(), y.tolist())
    [[1, 1, 0, 0, 2, 0, 0]] [[0, 0, 0, 0, 0, 1, 1]]
    """
    if min(B, lag, length, symbols) < 1:
        raise ValueError(
            f"expected B, lag, length, symbols >= 1, got {B}, {lag}, {length}, {symbols}."
        )
    device = generator.device
    seen = torch.randint(
        1, symbols + 1, (B, length), generator=generator, device=device
    )
    x = torch.zeros(B, lag + 2 * length, dtype=torch.int64, device=device)  # (B, T)
    x[:, :length] = seen
    x[:, length + lag - 1] = symbols + 1
    y = torch.zeros_like(x)
    y[:, -length:] = seen
    return x, y


def copying_baseline(lag: int, *, length: int = 10, symbols: int = 8) -> float:
    """Nats a step without memory: blanks for certain, then a uniform guess.

    length ln(symbols) / (lag + 2 length), Arjovsky et al. (2016), section 4.1.

    >>> round(copying_baseline(10), 4)     # 10 ln 8 / 30
    0.6931
    """
    return length * math.log(symbols) / (lag + 2 * length)


def _positions(B: int, low: int, high: int, generator: torch.Generator) -> torch.Tensor:
    """B positions, uniform in [low, high)."""
    return torch.randint(low, high, (B,), generator=generator, device=generator.device)


def _expect_length(B: int, T: int) -> None:
    if B < 1 or T < 10:
        raise ValueError(
            f"expected B >= 1 and T >= 10, got B={B}, T={T}: the places of the two "
            "marks are drawn in tenths of T."
        )
