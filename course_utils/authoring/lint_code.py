"""Rules for the code cells of a page."""

from __future__ import annotations

import ast
import re
import statistics
from collections.abc import Iterator

from .lint_prose import Finding
from .pages import Cell, Page

WIDTH, LENGTH, MEDIAN, SETUP = 79, 25, 6, 12
HISTORY = re.compile(r"^_(i{0,3}|_{1,2}|i?\d+|[io]h)$")
MAGIC = re.compile(r"^\s*[%!]")
BY_HAND = re.compile(r"^\s*(!|%pip|%conda|%%(bash|sh|capture)\b|%matplotlib)|sys\.path\b")
SILENCED = re.compile(r"\bfilterwarnings\(|\bsimplefilter\(\s*[\"']ignore|\bdisable_warnings\(")


def findings(page: Page) -> Iterator[Finding]:
    """What the code of `page` does not do right."""
    cells = [cell for cell in page.cells if cell.kind == "code"]
    for cell in cells:
        yield from _lines(cell)
        yield from _names(cell)
        yield from _figure(cell)
    yield from _lengths(cells)
    yield from _setup(page)


def _lines(cell: Cell) -> Iterator[Finding]:
    for offset, line in enumerate(cell.source.split("\n")):
        place = cell.place.at(offset)
        if len(line) > WIDTH:
            yield place, "long-line", f"{len(line)} signs; break it after at most {WIDTH}."
        if re.search(r";\s*(#.*)?$", line):
            yield place, "semicolon", (
                "a ';' at the end fails in the tests; give the value a name, or end with "
                "plt.show()."
            )
        if BY_HAND.search(line):
            yield place, "by-hand", (
                "nothing but the generated cell installs or changes paths; data come from "
                "course_utils.data."
            )
        if SILENCED.search(line):
            yield place, "warnings", "do not silence a warning; remove its cause."


def _names(cell: Cell) -> Iterator[Finding]:
    """`_`, `Out[3]` and the like exist in an interactive session only."""
    plain = "\n".join("" if MAGIC.match(s) else s for s in cell.source.split("\n"))
    try:
        nodes = list(ast.walk(ast.parse(plain)))
    except SyntaxError as error:
        if "raises-exception" not in cell.tags:
            yield cell.place.at((error.lineno or 1) - 1), "syntax", f"{error.msg}."
        return
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    for node in nodes:
        subscript = isinstance(node, ast.Subscript) and getattr(node.value, "id", "")
        name = node.id if isinstance(node, ast.Name) and node.id not in stored else ""
        if subscript in ("In", "Out") or HISTORY.match(name):
            place = cell.place.at(node.lineno - 1)
            yield place, "history", "do not use '_', In[] or Out[]; give the value a name."


def _figure(cell: Cell) -> Iterator[Finding]:
    figure = cell.figure
    if bool(figure) != bool(cell.alt):
        yield cell.place, "figure", (
            "a figure needs both 'figure: {name: fig-x, caption: ...}' and "
            "'image: {alt: ...}' under mystnb."
        )
    elif figure and not (figure.get("name") and figure.get("caption")):
        yield cell.place, "figure", "a figure needs a name (fig-...) and a caption."
    elif figure and len(cell.alt.split()) < 3:
        yield cell.place, "alt", (
            f"'{cell.alt}' says too little to someone who cannot see the figure: say what "
            "is drawn and what it shows."
        )


def _lengths(cells: list[Cell]) -> Iterator[Finding]:
    lengths = [cell.source.count("\n") + 1 for cell in cells]
    for cell, length in zip(cells, lengths):
        if length > LENGTH:
            yield cell.place, "long-cell", f"{length} lines; split it at {LENGTH} or less."
    if lengths and statistics.median(lengths) > MEDIAN:
        yield cells[0].place, "median", (
            f"half of the cells have more than {MEDIAN} lines; split some of them."
        )


def _setup(page: Page) -> Iterator[Finding]:
    """The first code cell is the setup cell, right under its heading."""
    for before, cell in zip(page.cells, page.cells[1:]):
        if cell.kind == "code":
            break
    else:
        return
    length = cell.source.count("\n") + 1
    headings = re.findall(r"^## (.*)$", before.source, re.M)
    if headings[-1:] != ["Setup"]:
        yield cell.place, "setup", "the first code cell stands under '## Setup'."
    elif length > SETUP:
        yield cell.place, "setup", f"{length} lines; the setup cell has at most {SETUP}."
