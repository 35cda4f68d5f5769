"""Citations in words, and the list of references of one page, from book/references.bib."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path

from .blocks import Place
from .project import CourseError

BRACES = re.compile(r"[{}]")


class References:
    """The entries of book/references.bib, read when the first citation asks for one."""

    def __init__(self, root: Path) -> None:
        self.path = root / "book" / "references.bib"

    @cached_property
    def _entries(self):
        from pybtex.database import parse_file
        from pybtex.exceptions import PybtexError

        if not self.path.is_file():
            raise CourseError(f"{self.path} does not exist, but a page cites something.")
        try:
            return parse_file(str(self.path), bib_format="bibtex").entries
        except PybtexError as error:
            raise CourseError(f"{self.path}: {error}") from error

    def textual(self, keys: list[str], place: Place) -> str:
        """Authors (year), as the subject of a sentence."""
        cited = [self._short(key, place) for key in keys]
        return ", ".join(f"{authors} ({year})" for authors, year in cited)

    def bracketed(self, keys: list[str], place: Place) -> str:
        """(Authors, year; Authors, year)."""
        cited = [self._short(key, place) for key in keys]
        return "(" + "; ".join(f"{authors}, {year}" for authors, year in cited) + ")"

    def listed(self, keys: list[str]) -> str:
        """A Markdown list of the entries `keys`, sorted by authors and year."""
        from pybtex.plugin import find_plugin

        style = find_plugin("pybtex.style.formatting", "unsrt")()
        formatted = {
            entry.key: entry.text.render(_markdown())
            for entry in style.format_entries([self._entries[key] for key in keys])
        }
        nowhere = Place(self.path, 1)
        order = sorted(keys, key=lambda key: (*self._short(key, nowhere), key))
        return "\n".join(f"- {' '.join(formatted[key].split())}" for key in order)

    def _short(self, key: str, place: Place) -> tuple[str, str]:
        if key not in self._entries:
            raise place.error(f"'{key}' is not in {self.path.name}. Add the entry there.")
        entry = self._entries[key]
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [_last_name(person) for person in people]
        year = entry.fields.get("year")
        if not names or not year:
            raise place.error(f"'{key}' in {self.path.name} lacks an author or a year.")
        if len(names) > 2:
            return f"{names[0]} et al.", year
        return " and ".join(names), year


def _last_name(person) -> str:
    from pybtex.richtext import Text

    words = [*person.prelast_names, *person.last_names]
    return str(Text.from_latex(" ".join(words)))


def _markdown():
    """Pybtex's Markdown, escaping only what would be read as mark-up."""
    from pybtex.backends.markdown import Backend

    class Plain(Backend):
        def format_str(self, text: str) -> str:
            return re.sub(r"([\\`*_\[\]<>])", r"\\\1", BRACES.sub("", text))

    return Plain()
