"""Dates in many formats, their ISO form, and which character comes from which.

Introduced in chapter 10. Generated from a seed, so there is no corpus to fetch, and the
true alignment is known: the attention of a translator can be scored, not only looked at.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MONTHS = (
    "January February March April May June July August September October November December"
).split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()

FORMATS = (
    "{d} {M} {y}",
    "{M} {d}, {y}",
    "{d}.{m}.{y}",
    "{y}/{m}/{d}",
    "{d}{o} of {M} {y}",
    "{W}, {d} {M} {y}",
    "{w} {b} {d} {y}",
    "{b} {d}{o} in {y}",
    "{y}, {M} {d}",
)
"""d day, o its ending, m month, M its name, b its three letters, W and w weekday, y year.

Only one order of digits goes with each separator, so no date can be read in two ways."""

ALPHABET = sorted(
    set("".join(MONTHS + WEEKDAYS) + "0123456789 ,./-" + "stndrdth" + "of" + "in")
)


@dataclass(frozen=True)
class Date:
    """One date as it is written, as ISO has it, and the alignment."""

    source: str
    target: str  # ten characters, YYYY-MM-DD
    truth: np.ndarray  # (10, len(source)) bool: target i is read off source j

    def __post_init__(self) -> None:
        if self.truth.shape != (len(self.target), len(self.source)):
            raise ValueError(f"truth: shape {self.truth.shape} does not fit the date.")


def write(day: datetime.date, form: str) -> Date:
    """Write one date in one of `FORMATS`.

    A digit of the target is read off the same digit of the source. If the source has a
    name, or one digit where the target has a zero before it, the target character is read
    off the whole field. Hyphens are read off nothing: their rows of `truth` are False.

    >>> date = write(datetime.date(1999, 3, 5), "{d} {M} {y}")
    >>> date.source, date.target
    ('5 March 1999', '1999-03-05')
    >>> [int(j) for j in date.truth[6].nonzero()[0]]     # the 3 of the month: March
    [2, 3, 4, 5, 6]
    """
    name, weekday = MONTHS[day.month - 1], WEEKDAYS[day.weekday()]
    values = {
        "y": f"{day.year}", "d": f"{day.day}", "m": f"{day.month}", "M": name,
        "b": name[:3], "o": ending(day.day), "W": weekday, "w": weekday[:3],
    }
    source, fields = "", {}
    for piece in form.replace("{", "\0{").replace("}", "}\0").split("\0"):
        text = values[piece[1]] if piece.startswith("{") else piece
        if piece.startswith("{"):
            fields[piece[1]] = (len(source), len(source) + len(text))
        source += text
    month = next(key for key in "mMb" if key in fields)
    truth = np.zeros((10, len(source)), dtype=bool)
    for rows, key in ((range(0, 4), "y"), (range(5, 7), month), (range(8, 10), "d")):
        first, last = fields[key]
        digits = key in "ymd" and last - first == len(rows)
        for k, i in enumerate(rows):
            truth[i, slice(first + k, first + k + 1) if digits else slice(first, last)] = True
    return Date(source, day.isoformat(), truth)


def ending(day: int) -> str:
    """The two letters after the number of a day.

    >>> [ending(d) for d in (1, 2, 3, 4, 11, 12, 13, 21, 22)]
    ['st', 'nd', 'rd', 'th', 'th', 'th', 'th', 'st', 'nd']
    """
    return "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


FIRST, LAST = datetime.date(1800, 1, 1), datetime.date(2099, 12, 31)


def draw(n: int, rng: np.random.Generator, *, held_out: bool | None = None) -> list[Date]:
    """`n` random dates in random formats.

    Parameters
    ----------
    held_out : bool, optional
        True: only days of the test part; False: only days of the training part. A day is in
        the test part in *all* its formats, so that no target is seen in training: one day
        in five, by its number.
    """
    dates = []
    while len(dates) < n:
        number = int(rng.integers(FIRST.toordinal(), LAST.toordinal() + 1))
        if held_out is not None and in_test(number) != held_out:
            continue
        day = datetime.date.fromordinal(number)
        dates.append(write(day, FORMATS[int(rng.integers(len(FORMATS)))]))
    return dates


def in_test(number: int) -> bool:
    """Tell whether a day, by its ordinal, belongs to the test part (one in five)."""
    return (number * 2_654_435_761) % 2**32 % 5 == 0


def spread(truth: np.ndarray, reach: int) -> np.ndarray:
    """The alignment with `reach` more positions to either side, hyphens still empty.

    >>> spread(np.array([[0, 0, 1, 0, 0]], dtype=bool), 1).astype(int).tolist()
    [[0, 1, 1, 1, 0]]
    """
    wide = truth.copy()
    for k in range(1, reach + 1):
        wide[:, k:] |= truth[:, :-k]
        wide[:, :-k] |= truth[:, k:]
    return wide


def inside(weights: Sequence[np.ndarray], truths: Sequence[np.ndarray]) -> float:
    """Share of the attention that falls on true positions, over characters that have any.

    Parameters
    ----------
    weights, truths : sequences of arrays (T, S), one pair a date
        Weights may be wider than the truth (padding, which must have none).
    """
    found = []
    for A, truth in zip(weights, truths, strict=True):
        A = np.asarray(A)[: len(truth), : truth.shape[1]]
        rows = truth.any(1)
        found.append((A * truth).sum(1)[rows])
    return float(np.concatenate(found).mean())


def even(truths: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Uniform weights over each source: the control that knows nothing."""
    return [np.full(truth.shape, 1 / truth.shape[1]) for truth in truths]
