"""Where the course lies on disk, and what its two description files say.

`pyproject.toml` holds the public address (``[tool.course] repository``) and
`book/syllabus.yml` the chapters with their rows. Everything that asks for either asks here.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import yaml


class CourseError(Exception):
    """Something a user can mend: the message says what was expected, found, and to do."""


@dataclass(frozen=True)
class Row:
    """One row of the syllabus: an idea and the claim that the lecture makes of it."""

    key: str
    topic: str
    claim: str


@dataclass(frozen=True)
class Chapter:
    """One chapter: its rows and the notebooks (stems) that teach them, in order."""

    number: int
    title: str
    part: str
    complete: bool
    notebooks: tuple[str, ...]
    rows: tuple[Row, ...]


def find_root(start: Path | None = None) -> Path:
    """The nearest folder, from `start` (default: here) upwards, that holds the course."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "book" / "syllabus.yml").is_file():
            return folder
    raise CourseError(
        f"expected a folder of the course (with book/syllabus.yml) at or above {here}, "
        "found none. Run the command inside the course, or give --root FOLDER."
    )


def chapters(root: Path) -> tuple[Chapter, ...]:
    """All chapters of book/syllabus.yml, in order."""
    path = root / "book" / "syllabus.yml"
    described = yaml.safe_load(path.read_text(encoding="utf-8"))["chapters"]
    try:
        return tuple(_chapter(entry) for entry in described)
    except (KeyError, TypeError) as error:
        raise CourseError(f"{path}: a chapter lacks {error}.") from error


def _chapter(entry: dict) -> Chapter:
    return Chapter(
        number=entry["number"],
        title=entry["title"],
        part=entry["part"],
        complete=entry["complete"],
        notebooks=tuple(entry.get("notebooks") or ()),
        rows=tuple(
            Row(key, row["topic"], row["claim"]) for key, row in entry["rows"].items()
        ),
    )


def address(root: Path) -> str:
    """The repository's public address, or an empty string where none is set."""
    with open(root / "pyproject.toml", "rb") as file:
        return tomllib.load(file).get("tool", {}).get("course", {}).get("repository", "")
