r"""Folk tunes in ABC notation: how long is each bar, and does it fill the metre?

Introduced in chapter 10, as the judge of generated tunes. It reads the part of ABC 2.1
that carries time: notes, rests, chords, lengths, broken rhythm, tuplets, bar lines, and
the header fields M (metre) and L (unit length). Pitches and ornaments pass by unread.
"""

from __future__ import annotations

import contextlib
import io
import re
from dataclasses import dataclass
from fractions import Fraction

# What each piece of a body is; the first pattern that fits is taken.
PIECES = re.compile(
    r"""(?P<line> \n )
      | (?P<skip> \{[^}]*\} | "[^"\n]*" | ![^!\n]*! | \[[A-Za-z]:[^\]\n]*\] | \\\n
          | [ \t\r]+ | [~.HLMOPSTuv`\\)y-]+ | \((?!\d) | %.*$ )
      | (?P<bar> :*\|+[\]:|]*\]? | :+ | \[\|+\]?:* )
      | (?P<ending> \[?\d(?:[,-]\d)* )
      | (?P<tuplet> \( [2-9] (?: : \d* (?: : \d* )? )? )
      | (?P<broken> >{1,3} | <{1,3} )
      | (?P<chord> \[ (?: [_^=]*[A-Ga-gzx][,']* [\d/]* )+ \] (?P<chord_length>[\d/]*) )
      | (?P<note> [_^=]*[A-Ga-gzx][,']* (?P<length>[\d/]*) )
    """,
    re.VERBOSE | re.MULTILINE,
)
IN_TIME_OF = {2: 3, 3: 2, 4: 3, 6: 2, 8: 3}  # (p means p notes in the time of q
FIELD = re.compile(r"(?m)^([A-Za-z]):\s*(.*)$")


@dataclass(frozen=True)
class Bars:
    """The bars of a tune, in whole notes, and the length its metre asks for."""

    metre: Fraction
    lengths: tuple[Fraction, ...]  # empty bars are left out
    notes: int
    ends: tuple[str, ...]  # the bar line behind each bar, "" after the last

    @property
    def full(self) -> tuple[bool, ...]:
        """For each bar: does it fill the metre?"""
        return tuple(length == self.metre for length in self.lengths)

    @property
    def add_up(self) -> bool:
        """At least four bars, and each fills the metre, but for pick-ups.

        The first bar may be shorter (a pick-up) and so may the last. At a double bar or
        a repeat sign one bar may be cut in two: two neighbours that add up to one.
        """
        lengths, inner = self.lengths, list(self.full)
        if len(lengths) < 4:
            return False
        inner[0] = inner[0] or lengths[0] < self.metre
        inner[-1] = inner[-1] or lengths[-1] < self.metre
        for i, end in enumerate(self.ends[:-1]):
            cut = len(end) > 1 and lengths[i] + lengths[i + 1] == self.metre
            if cut or (len(end) > 1 and i == len(lengths) - 2):
                inner[i] = inner[i] or lengths[i] < self.metre
                inner[i + 1] = inner[i + 1] or lengths[i + 1] < self.metre
        return all(inner)


def bars(tune: str) -> Bars:
    """Measure the bars of one tune.

    The Essen collection leaves out the bar line at the end of a line. So a line's end
    closes a bar that is full by then, and no other.

    >>> bars("M:3/4\\nL:1/8\\nK:G\\nd2 | B2A2G2 | A3BA2 | (3gfe d4 |").lengths
    (Fraction(1, 4), Fraction(3, 4), Fraction(3, 4), Fraction(3, 4))

    Raises
    ------
    ValueError
        Where something is no ABC, or a field is missing or makes no sense.
    """
    header, body = _parts(tune)
    metre = metre_of(header)
    state = _Reading(_unit(header, metre), metre)
    at = 0
    while at < len(body):
        piece = PIECES.match(body, at)
        if piece is None:
            raise ValueError(f"expected ABC, got {body[at : at + 12]!r} at place {at}.")
        state.take(piece)
        at = piece.end()
    state.close("")
    if not state.notes:
        raise ValueError("expected at least one note, got none.")
    return Bars(metre, tuple(state.lengths), state.notes, tuple(state.ends))


def is_tune(tune: str) -> bool:
    """Whether `bars` can read it."""
    try:
        bars(tune)
    except ValueError:
        return False
    return True


def by_music21(tune: str) -> Bars:
    """The bars of a tune as music21's own reader of ABC finds them.

    Its notes, lengths and bar lines; the metre is that of the header. It follows fields
    inside a tune, which `bars` passes by, and knows nothing of lines: where a bar line is
    left out at the end of one, it makes one long bar of two.

    Raises
    ------
    ValueError
        Where music21 cannot read it, or there is no metre or no note.
    ModuleNotFoundError
        If music21 is not installed; nothing else of this module needs it.
    """
    from music21 import abcFormat

    reading, metre = abcFormat.ABCHandler(), metre_of(_parts(tune)[0])
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it says what it guesses
            reading.process("X:1\n" + tune)
    except Exception as error:  # a parser of its own, with errors of many kinds
        raise ValueError(f"expected ABC, music21 says {error!r}.") from error
    found = _Reading(Fraction(1), metre)
    for token in reading.tokens:
        if isinstance(token, abcFormat.ABCBar):
            found.close(token.src)
        elif isinstance(token, abcFormat.ABCNote) and not token.inGrace:
            tuplet = token.activeTuplet
            factor = 1 if tuplet is None else _exact(tuplet.tupletMultiplier())
            found.bar += _exact(token.quarterLength) * factor / 4
            found.notes += 1
    found.close("")
    if not found.notes:
        raise ValueError("expected at least one note, got none.")
    return Bars(metre, tuple(found.lengths), found.notes, tuple(found.ends))


def _exact(length) -> Fraction:
    return Fraction(length).limit_denominator(1000)


def only_music(tune: str) -> str:
    """A tune with its fields M, L and K alone: what has to do with the notes.

    >>> only_music("X:1\\nT:A\\nM:2/4\\nL:1/8\\nK:C\\nC4|\\n")
    'M:2/4\\nL:1/8\\nK:C\\nC4|\\n'
    """
    header, body = _parts(tune)
    kept = "".join(f"{name}:{header[name]}\n" for name in "MLK" if name in header)
    return kept + body.strip() + "\n"


def metre_of(header: dict[str, str]) -> Fraction:
    """The metre in whole notes: ``M:6/8`` is 3/4; C is 4/4 and C| is 2/2."""
    wanted = header.get("M", "").strip()
    wanted = {"C": "4/4", "C|": "2/2"}.get(wanted, wanted)
    found = re.fullmatch(r"(\d+)/(\d+)", wanted)
    if found is None or 0 in map(int, found.groups()):
        raise ValueError(f"M: expected a metre such as 6/8, got {header.get('M')!r}.")
    return Fraction(int(found[1]), int(found[2]))


class _Reading:
    """Where we are in a body: the bar so far, and what the next note owes."""

    def __init__(self, unit: Fraction, metre: Fraction):
        self.unit, self.metre, self.bar, self.notes = unit, metre, Fraction(0), 0
        self.lengths: list[Fraction] = []
        self.ends: list[str] = []
        self.tuplet = (0, Fraction(1))  # notes left, factor
        self.last: Fraction | None = None
        self.next = Fraction(1)  # factor of a broken rhythm

    def take(self, piece: re.Match) -> None:
        kind = piece.lastgroup
        if piece["bar"]:
            self.close(piece["bar"])
        elif piece["line"]:
            if self.bar == self.metre:
                self.close("")
        elif piece["tuplet"]:
            self.tuplet = _tuplet(piece["tuplet"])
        elif piece["broken"]:
            self.broken(piece["broken"])
        elif piece["note"]:
            self.note(piece["length"])
        elif piece["chord"]:
            inner = re.search(r"[A-Ga-gzx][,']*([\d/]*)", piece["chord"])[1]
            self.note(piece["chord_length"], _length(inner))
        elif not (piece["skip"] or piece["ending"]):
            raise ValueError(f"expected ABC, got {piece[0]!r} ({kind}).")

    def note(self, length: str, inner: Fraction = Fraction(1)) -> None:
        left, factor = self.tuplet
        time = self.unit * _length(length) * inner * self.next
        time *= factor if left else 1
        self.tuplet = (max(0, left - 1), factor)
        self.bar, self.last, self.next = self.bar + time, time, Fraction(1)
        self.notes += 1

    def broken(self, signs: str) -> None:
        if self.last is None:
            raise ValueError(f"{signs!r}: expected a note before it.")
        part = Fraction(1, 2 ** len(signs))
        mine, other = (2 - part, part) if signs[0] == ">" else (part, 2 - part)
        self.bar += self.last * (mine - 1)
        self.next, self.last = other, None

    def close(self, sign: str) -> None:
        if self.bar:
            self.lengths.append(self.bar)
            self.ends.append(sign)
        elif self.ends and sign:
            self.ends[-1] += sign  # one bar line written in two parts
        self.bar, self.last = Fraction(0), None


def _parts(tune: str) -> tuple[dict[str, str], str]:
    """Header fields (the first of each name), and the body behind ``K:``."""
    header: dict[str, str] = {}
    lines = tune.split("\n")
    for k, line in enumerate(lines):
        field = FIELD.match(line)
        if field is None:
            raise ValueError(f"expected a header up to K:, got {line[:40]!r}.")
        header.setdefault(field[1], field[2].strip())
        if field[1] == "K":
            rest = [line for line in lines[k + 1 :] if not FIELD.match(line)]
            return header, "\n".join(rest)
    raise ValueError("expected a field K: at the end of the header, got none.")


def _unit(header: dict[str, str], metre: Fraction) -> Fraction:
    """The unit length; without L: it is 1/8, or 1/16 below a metre of 3/4."""
    if "L" not in header:
        return Fraction(1, 8) if metre >= Fraction(3, 4) else Fraction(1, 16)
    found = re.fullmatch(r"(\d+)/(\d+)", header["L"])
    if found is None or 0 in map(int, found.groups()):
        raise ValueError(f"L: expected a length such as 1/8, got {header['L']!r}.")
    return Fraction(int(found[1]), int(found[2]))


def _length(text: str) -> Fraction:
    """A length behind a note: 3, 3/2, /4, / (a half), // (a quarter)."""
    over, slash, under = text.partition("/")
    top = int(over) if over else 1
    if not slash:
        return Fraction(top)
    if set(under) <= {"/"}:
        return Fraction(top, 2 ** (1 + len(under)))
    if not under.isdigit() or int(under) == 0:
        raise ValueError(f"expected a length such as 3/2, got {text!r}.")
    return Fraction(top, int(under))


def _tuplet(text: str) -> tuple[int, Fraction]:
    p, q, r = (text[1:].split(":") + ["", ""])[:3]
    p = int(p)
    q = int(q) if q else IN_TIME_OF.get(p, 2)
    return (int(r) if r else p), Fraction(q, p)
