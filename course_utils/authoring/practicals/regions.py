"""Solution and hidden regions of a code cell, in nbgrader's notation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..blocks import Place

MARK = re.compile(r"^\s*### (BEGIN|END) (SOLUTION|HIDDEN TESTS|MARK SCHEME)\b")
DEFINES = re.compile(r"^(\s*)(?:async\s+)?(?:def|class)\s+(\w+)")


@dataclass(frozen=True)
class Line:
    """One line of a cell and the region it lies in ("" outside, "mark" for a marker)."""

    text: str
    region: str


def lines(source: str, place: Place) -> list[Line]:
    """The lines of a cell, each with its region.

    Raises
    ------
    CourseError
        If a region is not closed, closed twice, or opened inside another.
    """
    found, inside = [], ""
    for offset, text in enumerate(source.split("\n")):
        mark = MARK.match(text)
        if not mark:
            found.append(Line(text, inside))
            continue
        edge, kind = mark[1], mark[2].lower()
        if (edge == "BEGIN") == bool(inside) or (edge == "END" and inside != kind):
            raise place.at(offset).error(
                f"'### {edge} {mark[2]}' does not fit: expected "
                + (f"'### END {inside.upper()}' first." if inside else "a BEGIN before it.")
            )
        inside = kind if edge == "BEGIN" else ""
        found.append(Line(text, "mark"))
    if inside:
        raise place.error(f"'### END {inside.upper()}' is missing in this cell.")
    return found


def kinds(source: str, place: Place) -> set[str]:
    """The kinds of region that a cell has."""
    return {line.region for line in lines(source, place)} - {"", "mark"}


def without(source: str, place: Place, *, drop: tuple[str, ...]) -> str:
    """The cell without its markers and without the lines of the regions in `drop`."""
    kept = [
        line.text
        for line in lines(source, place)
        if line.region != "mark" and line.region not in drop
    ]
    return _trimmed(kept)


def stubbed(source: str, place: Place, question: str) -> str:
    """The cell as a student gets it: a stub in the place of each solution region.

    A stub is at the indent of its marker, names its question, and the function it stands in.
    """
    kept = []
    for line in lines(source, place):
        if line.region == "mark" and "BEGIN SOLUTION" in line.text:
            indent = line.text[: len(line.text) - len(line.text.lstrip())]
            name = _around(kept, indent)
            what = f"{name} is still to be written" if name else "still to be written"
            kept.append(f"{indent}# YOUR CODE HERE")
            kept.append(f'{indent}raise NotImplementedError("{question}: {what}.")')
        elif line.region == "":
            kept.append(line.text)
    return _trimmed(kept)


def inside(source: str, place: Place, *regions: str) -> list[str]:
    """The lines that lie in regions of these kinds."""
    return [line.text for line in lines(source, place) if line.region in regions]


def _around(above: list[str], indent: str) -> str:
    """Name of the function or class that a line with this indent belongs to."""
    names, limit = [], len(indent)
    for text in reversed(above):
        match = DEFINES.match(text)
        if match and len(match[1]) < limit:
            names.insert(0, match[2])
            limit = len(match[1])
    return ".".join(names)


def _trimmed(kept: list[str]) -> str:
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
