"""The second pass: MyST Markdown of a page to plain Markdown for Colab and GitHub.

Only the subset of MyST that CONTRIBUTING.md lists is known. Everything else is an error
with file and line, so that no directive ever reaches a reader who sees it raw.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from . import blocks, directives, inline
from .blocks import Place
from .numbering import Label, Labels, collect
from .project import address
from .references import References
from .repository import colab

Form = Callable[[list[str], Place], str]
TITLE = re.compile(r"^# +(.*?) *$", re.M)
EXTERNAL = re.compile(r"^(https?|mailto):")
LEFTOVER = re.compile(
    r"""^\s*(?: :{3,} | \+\+\+ | \{\S+\}\s*$ | \\begin\{ | :\s+\S
        | (?:>|[-*+]\s|\d+\.\s).*?(?:`{3,}\{|\$\$|:{3,}) )""",
    re.X,
)


@dataclass(frozen=True)
class Course:
    """What a page needs to know of the rest of the course."""

    root: Path
    labels: Labels
    references: References
    address: str

    @classmethod
    def load(cls, root: Path, paths: list[Path] | None = None) -> Course:
        """Read every page once; those of `paths` must be sound (see `numbering.collect`)."""
        root = root.resolve()
        return cls(root, collect(root, paths), References(root), address(root))

    @property
    def site(self) -> str:
        """Address of the published site, ending in a slash; empty where there is none."""
        parts = urlsplit(self.address)
        if parts.netloc != "github.com":
            return ""
        owner, name = parts.path.strip("/").split("/")
        return f"https://{owner}.github.io/{name}/"

    def page_address(self, path: Path) -> str:
        """Address of one page on the published site, or an empty string."""
        page = path.resolve().relative_to(self.root).with_suffix(".html").as_posix()
        return self.site + page if self.site else ""

    def colab_address(self, stem: str) -> str:
        """Where Colab opens a notebook, or an empty string."""
        return colab(self.address, stem) if self.site else ""


class Flattener:
    """Flattens the Markdown cells of one page, in order; it remembers what they cite."""

    def __init__(self, course: Course, path: Path) -> None:
        self.course = course
        self.path = path
        self.cited: list[str] = []
        self.questions = 0

    def line(self, text: str, place: Place) -> str:
        """A title, a caption, an option: inline Markdown only, without line ends."""
        return " ".join(inline.rewrite(text, self, place).split())

    def blocks(self, text: str, place: Place, tight: bool = False) -> str:
        """The blocks of `text`, flattened; `tight` sets formulas on one line.

        In a quotation, the Markdown of notebooks would take the ``>`` of a second line
        for a part of the formula.
        """
        found = [self._block(block, tight) for block in blocks.split(text, place)]
        return "\n\n".join(piece.strip("\n") for piece in found if piece.strip())

    def label(self, name: str, place: Place) -> Label:
        """The label `name`, used at `place`."""
        return self.course.labels.find(name, place)

    def _block(self, block: blocks.Block, tight: bool) -> str:
        if isinstance(block, blocks.Text):
            return self._text(block)
        if isinstance(block, blocks.Verbatim):
            return "\n".join(block.lines)
        if isinstance(block, blocks.Maths):
            return self._maths(block, tight or bool(block.indent))
        if isinstance(block, blocks.Target):
            return ""
        return textwrap.indent(directives.flatten(block, self), block.indent)

    def _text(self, block: blocks.Text) -> str:
        for offset, line in enumerate(block.lines):
            if LEFTOVER.match(line):
                raise block.place.at(offset).error(
                    f"'{line.strip()}' is not in the subset of MyST that Colab can show "
                    "(see CONTRIBUTING.md). Display formulas stand between $$ and $$."
                )
        return inline.rewrite("\n".join(block.lines), self, block.place)

    def _maths(self, block: blocks.Maths, tight: bool) -> str:
        body = block.body
        if block.label:
            body += rf" \tag{{{self.label(block.label, block.place).number}}}"
        if tight:
            return f"{block.indent}$${' '.join(body.split())}$$"
        return f"$$\n{body}\n$$"

    # ---- rules of `inline` ----------------------------------------------------------

    def role(self, name: str, content: str, place: Place) -> str:
        """What becomes of one role."""
        known = {
            "eq": self._equation,
            "numref": self._numbered,
            "prf:ref": self._numbered,
            "ref": self._reference,
            "term": self._term,
            "cite:t": partial(self._cite, self.course.references.textual),
            "cite:p": partial(self._cite, self.course.references.bracketed),
        }
        if name not in known:
            raise place.error(
                f"the role {{{name}}} is not in the subset. Known are: {', '.join(known)}."
            )
        return known[name](content, place)

    def link(self, shown: str, address: str, place: Place) -> str:
        """What becomes of ``[shown](address)``; without a text, a page shows its title."""
        if EXTERNAL.match(address):
            return f"[{shown}]({address})" if shown else f"<{address}>"
        if address.startswith("#"):
            label = self.label(address[1:], place)
            return self._to_label(shown or self._title(label, place), label)
        target, _, anchor = address.partition("#")
        path = (self.path.parent / target).resolve()
        if path.suffix != ".md" or not path.is_file():
            raise place.error(
                f"the link to '{address}' leads to no page: expected the .md file of a page, "
                f"seen from {self.path.parent.name}/, or an address that starts with https."
            )
        title = TITLE.search(path.read_text(encoding="utf-8"))
        return self._to_page(shown or (title[1] if title else target), path, anchor)

    def _title(self, label: Label, place: Place) -> str:
        if not label.title:
            raise place.error(f"'{label.name}' stands above no heading: give the link a text.")
        return self.line(label.title, label.place)

    def _to_page(self, shown: str, path: Path, anchor: str) -> str:
        page = self.course.page_address(path)
        if not page:
            return shown
        return f"[{shown}]({page}{'#' + anchor if anchor else ''})"

    def _to_label(self, shown: str, label: Label) -> str:
        if label.place.path.resolve() == self.path.resolve():
            return shown
        return self._to_page(shown, label.place.path, label.name)

    def _equation(self, content: str, place: Place) -> str:
        label = self.label(content, place)
        if label.kind != "equation":
            raise place.error(f"'{content}' labels no equation ({label.kind}). Use {{ref}}.")
        return f"({label.number})"

    def _numbered(self, content: str, place: Place) -> str:
        shown, name = inline.parts(content)
        label = self.label(name, place)
        if not label.number:
            raise place.error(f"'{name}' has no number ({label.kind}). Use {{ref}}.")
        if shown:
            return shown.replace("%s", label.number).replace("{number}", label.number)
        return f"{label.kind.capitalize()} {label.number}"

    def _reference(self, content: str, place: Place) -> str:
        shown, name = inline.parts(content)
        label = self.label(name, place)
        if shown:
            return self._to_label(self.line(shown, place), label)
        if label.number:
            return self._numbered(content, place)
        return self._to_label(self._title(label, place), label)

    def _term(self, content: str, place: Place) -> str:
        shown, term = inline.parts(content)
        if self.course.labels.terms and term.lower() not in self.course.labels.terms:
            raise place.error(f"'{term}' is not in book/glossary.md. Add it there.")
        return shown or term

    def _cite(self, form: Form, content: str, place: Place) -> str:
        keys = [key.strip() for key in content.split(",")]
        text = form(keys, place)
        self.cited += [key for key in keys if key not in self.cited]
        return text
