"""The first pass over all notebooks: which number belongs to which label.

The site numbers equations, figures, exercises and theorems by chapter, each kind by
itself, and goes on counting over the pages of a chapter. So does this module, and a test
compares the two.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import blocks, pages
from .blocks import Place
from .project import CourseError

HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
THEOREMS = ("theorem", "proposition", "definition")


@dataclass(frozen=True)
class Label:
    """A label and what a reader sees of it."""

    name: str
    kind: str  # equation, figure, exercise, theorem, ..., section
    number: str  # "2.1", empty for a section
    title: str
    place: Place


class Labels:
    """All labels of the course, and the terms of its glossary."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.terms: set[str] = set()
        self._found: dict[str, Label] = {}

    def add(self, label: Label) -> None:
        """Keep a label; the same name twice is an error."""
        other = self._found.get(label.name)
        if other:
            raise label.place.error(
                f"the label '{label.name}' is taken by {other.place.path}, line "
                f"{other.place.line}. Choose another name for one of them."
            )
        self._found[label.name] = label

    def find(self, name: str, place: Place) -> Label:
        """The label `name` that is used at `place`."""
        if name not in self._found:
            close = [known for known in self._found if known.split("-")[0] == name.split("-")[0]]
            hint = f" Known are: {', '.join(sorted(close)[:8])}." if close else ""
            raise place.error(f"no page defines the label '{name}'.{hint}")
        return self._found[name]

    def of(self, path: Path) -> dict[str, Label]:
        """The labels that the page at `path` defines."""
        return {n: label for n, label in self._found.items() if label.place.path == path}


def page_numbers(root: Path, stem: str) -> dict[str, dict[str, str]]:
    """The numbers on one notebook's page, to be compared with the built site.

    Parameters
    ----------
    root : Path
        Folder of the course.
    stem : str
        Name of the notebook without ending.

    Returns
    -------
    dict
        For each kind (``equation``, ``figure``, ``exercise``, ``theorem``, ...) the
        number of each label, for instance ``{"equation": {"eq-cosine": "1.2"}}``.
    """
    numbers: dict[str, dict[str, str]] = {}
    for name, label in collect(root).of(root / "notebooks" / f"{stem}.md").items():
        if label.number:
            numbers.setdefault(label.kind, {})[name] = label.number
    return numbers


def collect(root: Path, paths: list[Path] | None = None) -> Labels:
    """Read every page of the course once and number what is numbered.

    Parameters
    ----------
    root : Path
        Folder of the course.
    paths : list of Path, optional
        Pages that must be sound, with their whole chapters (default: all). In another
        chapter, a page with an error is left out: its author mends it.
    """
    labels = Labels(root)
    sound = {pages.chapter_of(path) for path in paths or pages.notebooks(root)}
    counters: dict[int, Counter] = {}
    for path in pages.notebooks(root):
        chapter = pages.chapter_of(path)
        try:
            _number(pages.read(path), counters.setdefault(chapter, Counter()), labels)
        except CourseError:
            if chapter in sound:
                raise
    for path in sorted((root / "book").rglob("*.md")):
        _read_book_page(path, labels)
    return labels


def _number(page: pages.Page, counter: Counter, labels: Labels) -> None:
    for kind, name, title, place in _labelled(page):
        number = ""
        if kind != "section":
            counter[kind] += 1
            number = f"{page.chapter}.{counter[kind]}"
        if name:
            labels.add(Label(name, kind, number, title, place))


def check_order(root: Path) -> None:
    """The site counts chapters, file names number them: they must agree.

    Raises
    ------
    CourseError
        If a notebook is not in `_toc.yml`, or has another number there than in its name.
    """
    numbered = pages.numbered(root)
    for path in pages.notebooks(root):
        here = numbered.get(f"notebooks/{path.stem}")
        if here is None:
            raise CourseError(
                f"{path.relative_to(root)} is in no numbered part of _toc.yml, so the site "
                f"does not show it. Add '- file: notebooks/{path.stem}' there."
            )
        if here != pages.chapter_of(path):
            raise CourseError(
                f"{path.relative_to(root)} is called chapter {pages.chapter_of(path)}, but "
                f"_toc.yml makes it chapter {here}. Move it there or rename the file."
            )


def _labelled(page: pages.Page) -> Iterator[tuple[str, str, str, Place]]:
    """(kind, label, title, place) of all that may be referred to on a page, in order."""
    for cell in page.cells:
        if cell.kind == "code":
            if cell.figure.get("caption"):
                name = str(cell.figure.get("name", ""))
                yield "figure", name, str(cell.figure["caption"]), cell.place
        else:
            yield from _in_markdown(cell.source, cell.place)


def _in_markdown(text: str, place: Place) -> Iterator[tuple[str, str, str, Place]]:
    pending = None
    for block in blocks.split(text, place):
        if pending:
            yield "section", pending.label, _heading(block, pending), pending.place
        pending = block if isinstance(block, blocks.Target) else None
        if isinstance(block, blocks.Maths) and block.label:
            yield "equation", block.label, "", block.place
        elif isinstance(block, blocks.Directive):
            yield from _in_directive(block)
    if pending:
        yield "section", pending.label, _heading(None, pending), pending.place


def _in_directive(block: blocks.Directive) -> Iterator[tuple[str, str, str, Place]]:
    kind = block.name.removeprefix("prf:")
    if kind == "exercise" or (block.name.startswith("prf:") and kind in THEOREMS):
        yield kind, block.options.get("label", ""), block.argument, block.place
    if kind not in ("quiz", "bibliography", "glossary"):
        yield from _in_markdown(block.body, block.inside)


def _heading(block: blocks.Block | None, target: blocks.Target) -> str:
    """The heading that follows a target, or an empty string: then a link needs a text."""
    if not isinstance(block, blocks.Text):
        return ""
    first = next((line for line in block.lines if line.strip()), "")
    match = HEADING.match(first)
    return match[1] if match else ""


def _read_book_page(path: Path, labels: Labels) -> None:
    text = path.read_text(encoding="utf-8")
    front = re.match(r"---\n.*?\n---\n", text, re.S)
    skipped = front[0].count("\n") if front else 0
    body = text[len(front[0]) :] if front else text
    found = blocks.split(body, Place(path, 1 + skipped))
    for block, following in zip(found, [*found[1:], None]):
        if isinstance(block, blocks.Target):
            title = _heading(following, block)
            labels.add(Label(block.label, "section", "", title, block.place))
        elif isinstance(block, blocks.Directive) and block.name == "glossary":
            labels.terms.update(_terms(block.body))


def _terms(body: str) -> Iterator[str]:
    for line in body.split("\n"):
        if line.strip() and not line[0].isspace() and not line.startswith(".."):
            yield line.split(" : ")[0].strip().lower()
