"""Read the course's pages: which there are, in which order, and their cells with lines."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .blocks import Place
from .project import CourseError

NAME = re.compile(r"^(\d\d)([a-z]?)_\w+$")
HEADER = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---
"""


@dataclass(frozen=True)
class Cell:
    """One cell of a page as its author wrote it; `place` is its first line."""

    kind: str
    source: str
    place: Place
    metadata: dict = field(hash=False)

    @property
    def figure(self) -> dict:
        """Name and caption of the figure this cell draws; empty if it draws none."""
        return self._mystnb("figure")

    @property
    def alt(self) -> str:
        """The alternative text of the figure this cell draws."""
        return str(self._mystnb("image").get("alt", ""))

    @property
    def tags(self) -> list[str]:
        return list(self.metadata.get("tags", []))

    def _mystnb(self, key: str) -> dict:
        value = (self.metadata.get("mystnb") or {}).get(key) or {}
        if not isinstance(value, dict):
            raise self.place.error(f"mystnb, {key}: expected 'key: value' lines.")
        return value


@dataclass(frozen=True)
class Page:
    """One notebook in its MyST form."""

    path: Path
    digest: str
    kernelspec: dict = field(hash=False)
    cells: tuple[Cell, ...]
    packages: tuple[str, ...] = ()  # that Colab installs for this page; `packages:` on top

    @property
    def stem(self) -> str:
        return self.path.stem

    @property
    def chapter(self) -> int:
        return chapter_of(self.path)

    @property
    def stored(self) -> Path:
        """The notebook generated from this page."""
        return self.path.with_suffix(".ipynb")


def chapter_of(path: Path) -> int:
    """The chapter a notebook belongs to: the two digits its name starts with."""
    match = NAME.match(path.stem)
    if not match:
        raise CourseError(
            f"{path}: expected a name like 03_name.md or 03b_name.md (chapter 3), "
            "in small letters, digits and underscores. Rename the file."
        )
    return int(match[1])


def read(path: Path) -> Page:
    """Read one notebook in MyST form.

    Raises
    ------
    CourseError
        If its header is not the one `course new` writes, or an option is not valid YAML.
    """
    from jupytext.myst import MystMetadataParsingError, myst_to_notebook

    text = path.read_text(encoding="utf-8")
    if not text.startswith("---\n") or "format_name: myst" not in text.split("\n---", 1)[0]:
        raise CourseError(f"{path}: the header is missing. Start the file with:\n{HEADER}")
    try:
        notebook = myst_to_notebook(text, add_source_map=True)
    except MystMetadataParsingError as error:
        raise CourseError(f"{path}: {error}") from error
    lines = text.splitlines()
    cells = tuple(
        _cell(cell, start, lines, path)
        for cell, start in zip(notebook.cells, notebook.metadata["source_map"])
    )
    kernelspec = dict(notebook.metadata.get("kernelspec", {}))
    if kernelspec.get("name") != "python3":
        raise CourseError(f"{path}: expected the kernel python3. The header is:\n{HEADER}")
    packages = notebook.metadata.get("packages", [])
    if not isinstance(packages, list) or not all(isinstance(p, str) for p in packages):
        raise CourseError(f"{path}: packages: expected a list of names, got {packages!r}.")
    digest = hashlib.sha1(text.encode()).hexdigest()
    return Page(path, digest, kernelspec, cells, tuple(packages))


def _cell(cell, start: int, lines: list[str], path: Path) -> Cell:
    if cell.cell_type == "raw":
        raise Place(path, start + 1).error("raw cells do not show on Colab; use Markdown.")
    wanted = cell.source.split("\n")
    while start < len(lines) and lines[start : start + len(wanted)] != wanted:
        start += 1
    return Cell(cell.cell_type, cell.source, Place(path, start + 1), dict(cell.metadata))


def notebooks(root: Path) -> list[Path]:
    """All notebooks, those of `_toc.yml` first in its order, drafts after them by name."""
    listed = [root / f"{entry}.md" for entry in toc(root) if entry.startswith("notebooks/")]
    found = sorted((root / "notebooks").glob("*.md"))
    missing = [path for path in listed if path not in found]
    if missing:
        raise CourseError(
            f"_toc.yml lists {missing[0].relative_to(root)}, which does not exist. "
            "Write it, or take it out of _toc.yml."
        )
    return listed + [path for path in found if path not in listed]


def toc(root: Path) -> list[str]:
    """All files of `_toc.yml` in the order of the site, without their endings."""
    path = root / "_toc.yml"
    if not path.is_file():
        return []
    return _files(yaml.safe_load(path.read_text(encoding="utf-8")))


def numbered(root: Path) -> dict[str, int]:
    """The chapter number that the site gives to each file of a numbered part."""
    path = root / "_toc.yml"
    contents = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    numbers, count = {}, 0
    for part in contents.get("parts", []):
        for chapter in part.get("chapters", []) if part.get("numbered") else []:
            count += 1
            numbers.update(dict.fromkeys(_files(chapter), count))
    return numbers


def _files(entry: dict) -> list[str]:
    found = [entry[key] for key in ("root", "file") if key in entry]
    for key in ("parts", "chapters", "sections", "entries"):
        for part in entry.get(key) or []:
            found += _files(part)
    return [re.sub(r"\.(md|ipynb)$", "", name) for name in found]
