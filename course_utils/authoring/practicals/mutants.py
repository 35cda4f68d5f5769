"""Planted wrong answers: read them, and put them in the place of the right ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from ..project import CourseError
from . import versions
from .master import Master, Part

KEYS = {"name", "replace", "by", "code", "cell"}
LEAST = 3


@dataclass(frozen=True)
class Mutant:
    """One wrong answer: which cell of which question gets which source."""

    question: str
    name: str
    part: Part
    source: str


def read(master: Master) -> list[Mutant]:
    """The mutants of a session.

    Raises
    ------
    CourseError
        If one does not fit its question, or a question with checks has fewer than three.
    """
    path = master.path.with_name("mutants.yml")
    if not path.is_file():
        raise CourseError(f"{path}: expected planted wrong answers (practicals/README.md).")
    planted = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    for question in master.questions:
        given = len(planted.get(question.name) or [])
        if master.of(question.name, "check") and given < LEAST:
            raise CourseError(
                f"{path}: {question.name} has checks and {given} mutants; expected {LEAST}."
            )
    known = {question.name for question in master.questions}
    for name in set(planted) - known:
        raise CourseError(f"{path}: there is no question {name}.")
    return [_mutant(master, path, name, entry) for name in planted for entry in planted[name]]


def _mutant(master: Master, path: Path, question: str, entry: dict) -> Mutant:
    what = f"{path}, {question}, {entry.get('name', '(no name)')!r}"
    strange = sorted(set(entry) - KEYS)
    if strange or "name" not in entry or ("code" in entry) == ("replace" in entry):
        raise CourseError(
            f"{what}: expected a name and either 'replace' and 'by' or 'code'"
            + (f"; '{strange[0]}' is unknown." if strange else ".")
        )
    parts = master.of(question, "answer", "marked")
    if "code" in entry:
        number = entry.get("cell", 1)
        if len(parts) < number or (len(parts) > 1 and "cell" not in entry):
            raise CourseError(f"{what}: there are {len(parts)} answer cells; say 'cell: n'.")
        part, source = parts[number - 1], str(entry["code"])
    else:
        part, source = _replaced(parts, str(entry["replace"]), str(entry["by"]), what)
    if source == part.source:
        raise CourseError(f"{what}: it changes nothing.")
    lead = versions.title_line(master, part)
    return Mutant(question, str(entry["name"]), part, f"# {lead}\n{source}")


def _replaced(parts: list[Part], old: str, new: str, what: str) -> tuple[Part, str]:
    found = sum(part.source.count(old) for part in parts)
    if found != 1:
        raise CourseError(
            f"{what}: {old!r} occurs {found} times in the answer cells, expected once."
        )
    part = next(part for part in parts if old in part.source)
    return part, part.source.replace(old, new)
