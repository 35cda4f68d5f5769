"""Split MyST Markdown into blocks: text, code fences, maths, targets, directives.

Every block remembers the line of the file on which it starts, so that a message can say
where something is wrong. What is inside a line is the business of `inline`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .project import CourseError

FENCE = re.compile(r"^(\s*)(`{3,}|~{3,}|:{3,})(.*)$")
DIRECTIVE = re.compile(r"^\s*\{([\w:.-]+)\}\s*(.*)$")
OPTION = re.compile(r"^:([\w-]+):(?:\s+(.*))?$")
TARGET = re.compile(r"^\s*\(([^()\s]+)\)=\s*$")
MATHS_LINE = re.compile(r"^\s*\$\$(.+?)\$\$\s*(?:\(([^()\s]+)\))?\s*$")
MATHS_END = re.compile(r"^(.*?)\$\$\s*(?:\(([^()\s]+)\))?\s*$")


@dataclass(frozen=True)
class Place:
    """A file and a line in it, from 1."""

    path: Path
    line: int

    def error(self, message: str) -> CourseError:
        """The error to raise for something found here."""
        return CourseError(f"{self.path}, line {self.line}: {message}")

    def at(self, offset: int) -> Place:
        """The place `offset` lines below."""
        return Place(self.path, self.line + offset)


@dataclass(frozen=True)
class Text:
    """Paragraphs, lists, headings, tables: anything without a fence."""

    place: Place
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Verbatim:
    """A plain code fence; nothing in it is MyST."""

    place: Place
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Maths:
    """A display formula between double dollars, and its label or an empty string."""

    place: Place
    indent: str
    body: str
    label: str


@dataclass(frozen=True)
class Target:
    """A label for what follows it: ``(label)=``."""

    place: Place
    label: str


@dataclass(frozen=True)
class Directive:
    """A fenced directive; `body` starts at place `inside`."""

    place: Place
    indent: str
    name: str
    argument: str
    options: dict[str, str] = field(hash=False)
    body: str
    inside: Place


Block = Text | Verbatim | Maths | Target | Directive


def split(text: str, place: Place) -> list[Block]:
    """The blocks of `text`, whose first line is at `place`, in order.

    Raises
    ------
    CourseError
        If a fence or a formula is not closed, or a formula shares its lines with text.
    """
    return _Splitter(text, place).blocks()


class _Splitter:
    """Walks down the lines; each method reads one kind of block and moves on."""

    def __init__(self, text: str, place: Place) -> None:
        self.lines = text.split("\n")
        self.place = place
        self.now = 0
        self.found: list[Block] = []
        self.text: list[str] = []
        self.text_start = 0

    def blocks(self) -> list[Block]:
        while self.now < len(self.lines):
            line = self.lines[self.now]
            if self._opens(line):
                self._fence()
            elif TARGET.match(line):
                self._add(Target(self._here(), TARGET.match(line)[1]))
                self.now += 1
            elif line.lstrip().startswith("$$"):
                self._maths()
            elif line.lstrip().startswith("%"):
                self._flush()  # a comment of the author
                self.now += 1
            else:
                self._text(line)
        self._flush()
        return self.found

    def _here(self) -> Place:
        return self.place.at(self.now)

    def _add(self, block: Block) -> None:
        self._flush()
        self.found.append(block)

    def _text(self, line: str) -> None:
        if not self.text:
            self.text_start = self.now
        self.text.append(line)
        self.now += 1

    def _flush(self) -> None:
        if any(line.strip() for line in self.text):
            self.found.append(Text(self.place.at(self.text_start), tuple(self.text)))
        self.text = []

    def _opens(self, line: str) -> bool:
        match = FENCE.match(line)
        if not match:
            return False
        if match[2][0] == ":":
            return bool(DIRECTIVE.match(match[3]))
        if match[2][0] == "`" in match[3]:
            if DIRECTIVE.match(match[3]):
                raise self._here().error("a title in this line cannot hold backticks.")
            return False
        return True

    def _fence(self) -> None:
        indent, fence, info = FENCE.match(self.lines[self.now]).groups()
        end = self._closing(fence)
        inner = [_dedent(line, indent) for line in self.lines[self.now + 1 : end]]
        directive = DIRECTIVE.match(info)
        if directive:
            self._add(_directive(self._here(), indent, directive, inner))
        else:
            self._add(Verbatim(self._here(), tuple(self.lines[self.now : end + 1])))
        self.now = end + 1

    def _closing(self, fence: str) -> int:
        closes = re.compile(rf"^\s*{re.escape(fence[0])}{{{len(fence)},}}\s*$")
        for number in range(self.now + 1, len(self.lines)):
            if closes.match(self.lines[number]):
                return number
        raise self._here().error(
            f"the fence {fence} is not closed. Close it with {fence}; a fence around "
            "another one needs more signs than the inner one."
        )

    def _maths(self) -> None:
        line, place = self.lines[self.now], self._here()
        indent = line[: len(line) - len(line.lstrip())]
        if self.text and self.text[-1].strip():
            raise place.error("a blank line is missing above the display formula $$.")
        single = MATHS_LINE.match(line)
        if single:
            self._add(Maths(place, indent, single[1].strip(), single[2] or ""))
            self.now += 1
            return
        body, label, end = self._formula(line.strip()[2:], place)
        self._add(Maths(place, indent, "\n".join(body).strip("\n"), label))
        self.now = end + 1

    def _formula(self, first: str, place: Place) -> tuple[list[str], str, int]:
        if "$$" in first:
            raise place.error("a display formula $$...$$ needs its lines to itself.")
        body = [first] if first.strip() else []
        for number in range(self.now + 1, len(self.lines)):
            line = self.lines[number]
            end = MATHS_END.match(line) if "$$" in line else None
            if end:
                body += [end[1].strip()] if end[1].strip() else []
                return body, end[2] or "", number
            if "$$" in line or not line.strip():
                break
            body.append(line.strip())
        raise place.error("the display formula $$ is not closed before a blank line.")


def _dedent(line: str, indent: str) -> str:
    return line[len(indent) :] if line.startswith(indent) else line.lstrip()


def _directive(place: Place, indent: str, opening: re.Match, inner: list[str]) -> Directive:
    options, used = _options(place, inner)
    if used < len(inner) and not inner[used].strip():
        used += 1
    body = "\n".join(inner[used:]).rstrip()
    argument = opening[2].strip()
    return Directive(
        place, indent, opening[1], argument, options, body, place.at(1 + used)
    )


def _options(place: Place, inner: list[str]) -> tuple[dict[str, str], int]:
    """The options at the head of a directive, and how many lines they take."""
    if inner and inner[0].strip() == "---":
        end = next((n for n, line in enumerate(inner[1:], 1) if line.strip() == "---"), 0)
        options = yaml.safe_load("\n".join(inner[1:end])) if end else None
        if not isinstance(options, dict):
            raise place.error("expected options between two lines '---'.")
        return {key: str(value) for key, value in options.items()}, end + 1
    options = {}
    for number, line in enumerate(inner):
        match = OPTION.match(line.strip())
        if not match:
            return options, number
        options[match[1]] = (match[2] or "").strip()
    return options, len(inner)
