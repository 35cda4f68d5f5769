"""Rules for the text of a page: its headings, formulas, exercises, and how much there is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import blocks
from .blocks import Block, Directive, Maths, Place, Text
from .pages import NAME, Page

Finding = tuple[Place, str, str]

OPENING = ("Question", "Objectives", "Prerequisites", "Notation", "Setup")
CLOSING = ("Exercises", "Quiz", "Summary", "References")
FURTHER = ("Question", "Setup", "Summary")
ENVIRONMENT = re.compile(r"\\begin\{(align|equation|gather|multline|eqnarray)\*?\}")
MACRO = re.compile(
    r"\\(newcommand|renewcommand|def|let|DeclareMathOperator|require|label|tag|eqref|ref)\b"
)


def findings(page: Page) -> Iterator[Finding]:
    """What the text of `page` does not do right."""
    found = [block for cell in _markdown(page) for block in _all(cell)]
    yield from _headings(page, found)
    yield from _formulas(found)
    yield from _exercises(found)
    yield from _cited(page, found)
    yield from _balance(page, found)


def _markdown(page: Page) -> Iterator[list[Block]]:
    for cell in page.cells:
        if cell.kind == "markdown":
            yield blocks.split(cell.source, cell.place)


def _all(found: list[Block]) -> Iterator[Block]:
    """The blocks and those inside directives."""
    for block in found:
        yield block
        if isinstance(block, Directive) and block.name != "quiz":
            yield from _all(blocks.split(block.body, block.inside))


def _titles(found: list[Block], level: str) -> list[tuple[str, Place]]:
    return [
        (line.removeprefix(level).strip(), block.place.at(offset))
        for block in found
        if isinstance(block, Text)
        for offset, line in enumerate(block.lines)
        if line.startswith(level)
    ]


def _headings(page: Page, found: list[Block]) -> Iterator[Finding]:
    top = Place(page.path, 1)
    titles = _titles(found, "# ")
    if len(titles) != 1:
        yield top, "title", f"expected one '# Title', found {len(titles)}."
    sections = _titles(found, "## ")
    names = [name for name, _ in sections]
    if NAME.match(page.stem)[2] in ("", "a"):
        yield from _fixed(names, sections, top)
    else:
        kept = [name for name in names if name in FURTHER]
        if kept != list(FURTHER):
            yield top, "headings", (
                f"a further section of a chapter has the headings {_listed(FURTHER)} in "
                f"this order, others between them; found {_listed(kept)}."
            )


def _fixed(names: list[str], sections: list[tuple[str, Place]], top: Place) -> Iterator[Finding]:
    wanted = OPENING + CLOSING
    for name in wanted:
        if names.count(name) != 1:
            yield top, "headings", f"expected '## {name}' once, found {names.count(name)}."
    kept = [(name, place) for name, place in sections if name in wanted]
    for (name, place), expected in zip(kept, wanted):
        if name != expected and len(kept) == len(wanted):
            yield place, "headings", f"expected '## {expected}' here, found '## {name}'."
            break
    if tuple(names[:5]) == OPENING and tuple(names[5:]) == CLOSING:
        yield top, "headings", "no section of its own between Setup and Exercises."
    elif set(wanted) <= set(names) and (
        tuple(names[:5]) != OPENING or tuple(names[-4:]) != CLOSING
    ):
        yield top, "headings", (
            f"sections of its own stand between Setup and Exercises; found {_listed(names)}."
        )


def _listed(names) -> str:
    return " · ".join(names) or "none"


def _formulas(found: list[Block]) -> Iterator[Finding]:
    for block in found:
        if isinstance(block, Maths):
            environment, macro = ENVIRONMENT.search(block.body), MACRO.search(block.body)
            if environment:
                yield block.place, "align", (
                    f"the site numbers {environment[0]} by itself. Write "
                    r"\begin{aligned}...\end{aligned} between the $$."
                )
            if macro:
                yield block.place, "macro", (
                    f"{macro[0]} does not work on Colab. Write the formula out; its label "
                    "stands after the closing $$: $$ (eq-name)."
                )


def _exercises(found: list[Block]) -> Iterator[Finding]:
    solved = {
        block.argument
        for block in found
        if isinstance(block, Directive) and block.name in ("solution", "solution-start")
    }
    for block in found:
        if isinstance(block, Directive) and block.name == "exercise":
            if block.options.get("label") not in solved:
                yield block.place, "solution", "this exercise has no explained solution."


def _cited(page: Page, found: list[Block]) -> Iterator[Finding]:
    if any("{cite:" in cell.source for cell in page.cells if cell.kind == "markdown"):
        return
    for block in found:
        if isinstance(block, Directive) and block.name == "bibliography":
            yield block.place, "references", "the page cites nothing: {cite:t}`key`."


def _balance(page: Page, found: list[Block]) -> Iterator[Finding]:
    """At least as many words of prose as of code."""
    prose = sum(len(" ".join(b.lines).split()) for b in found if isinstance(b, Text))
    code = sum(len(cell.source.split()) for cell in page.cells if cell.kind == "code")
    if prose < code:
        yield Place(page.path, 1), "prose", (
            f"{prose} words of prose beside {code} of code. Explain more, or move code "
            "that is not on a slide into course_utils."
        )
