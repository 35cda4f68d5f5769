"""Read the master of a practical session: questions, cells, points, hints.

The format is described in practicals/README.md. What breaks it is an error with file and
line, so that a session which can be released can also be graded.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from .. import blocks, pages
from ..blocks import Directive, Place
from ..flatten import Course, Flattener
from ..numbering import collect
from ..project import CourseError, address
from ..references import References
from . import regions

NAME = re.compile(r"^[a-z][a-z0-9_]*$")
OWN = ("question", "hint", "target", "answer", "rubric", "common-errors")
ROLES = ("given", "answer", "check", "experiment")
SETTINGS = {"chapters", "seconds", "memory", "modules", "packages"}


@dataclass(frozen=True)
class Question:
    """One question: its name (q1, q2, ...), title, points and minutes."""

    name: str
    title: str
    points: float
    minutes: int
    place: Place

    @property
    def number(self) -> int:
        return int(self.name[1:])

    @property
    def label(self) -> str:
        """What a student reads: Question 3."""
        return f"Question {self.number}"


@dataclass(frozen=True)
class Part:
    """One piece of a session, in order.

    `kind` is text, given, answer, marked (an answer that a person marks), check,
    experiment, written, rubric or common-errors; `name` is nbgrader's grade_id.
    """

    kind: str
    source: str
    place: Place
    question: str = ""
    name: str = ""
    points: float = 0


@dataclass(frozen=True)
class Settings:
    """The header's `practical:` block."""

    chapters: tuple[int, ...] = ()
    seconds: float = 30  # of a whole run of the solution on one core
    memory: float = 2  # GB, of one submission
    modules: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Master:
    """A session as its author wrote it, with flattened text."""

    path: Path
    digest: str
    title: str
    settings: Settings
    parts: tuple[Part, ...]
    questions: tuple[Question, ...]
    course: Course = field(hash=False, compare=False)

    @property
    def name(self) -> str:
        """The session's id: the name of its folder."""
        return self.path.parent.name

    @property
    def stored(self) -> Path:
        """The student notebook that belongs to it."""
        return self.path.with_name(f"{self.name}.ipynb")

    @property
    def points(self) -> float:
        return sum(question.points for question in self.questions)

    @property
    def minutes(self) -> int:
        return sum(question.minutes for question in self.questions)

    def of(self, question: str, *kinds: str) -> list[Part]:
        """The parts of one question, of these kinds (default: all)."""
        return [
            part
            for part in self.parts
            if part.question == question and (not kinds or part.kind in kinds)
        ]

    def question(self, name: str) -> Question:
        """The question called `name`."""
        return next(question for question in self.questions if question.name == name)


def load_course(root: Path) -> Course:
    """The course that masters refer to; chapters in the making are left out."""
    root = root.resolve()
    done = pages.notebooks(root)[:1]
    return Course(root, collect(root, done), References(root), address(root))


def find(root: Path, name: str | None = None) -> list[Path]:
    """The masters of the course by name, or the one called `name` (an id or a path)."""
    if name and Path(name).name == "master.md" and Path(name).is_file():
        return [Path(name).resolve()]
    if name and (Path(name) / "master.md").is_file():
        return [(Path(name) / "master.md").resolve()]
    found = sorted((root / "practicals").glob("*/master.md"))
    chosen = [path for path in found if name in (None, path.parent.name)]
    if name and not chosen:
        known = ", ".join(path.parent.name for path in found) or "none yet"
        raise CourseError(f"{name}: expected one of the practicals ({known}).")
    return chosen


def read(path: Path, course: Course) -> Master:
    """Read one master.

    Raises
    ------
    CourseError
        With file and line, on anything that breaks the format.
    """
    page = pages.read(path)
    if not NAME.match(path.parent.name):
        raise CourseError(f"{path.parent}: expected a name in small letters, digits and _.")
    reader = _Reader(page, course)
    reader.walk()
    master = Master(
        path.resolve(), page.digest, reader.title(), _settings(path),
        tuple(reader.parts), tuple(reader.questions), course,
    )
    _check_questions(master)
    return master


def digest(path: Path) -> str:
    """Digest of everything a session is made of: master and figures."""
    found = hashlib.sha1(path.read_bytes())
    for figure in sorted((path.parent / "figures").glob("*.png")):
        found.update(figure.name.encode() + figure.read_bytes())
    return found.hexdigest()


def _settings(path: Path) -> Settings:
    header = path.read_text(encoding="utf-8").split("\n---", 1)[0].removeprefix("---")
    given = yaml.safe_load(header).get("practical") or {}
    strange = sorted(set(given) - SETTINGS)
    if strange:
        raise CourseError(
            f"{path}: the setting '{strange[0]}' is unknown. Known are: "
            f"{', '.join(sorted(SETTINGS))}."
        )
    many = {"chapters", "modules", "packages"}
    return Settings(**{
        key: tuple(value or ()) if key in many else float(value)
        for key, value in given.items()
    })


class _Reader(Flattener):
    """Walks over the cells of a master and collects its parts."""

    def __init__(self, page: pages.Page, course: Course) -> None:
        super().__init__(course, page.path)
        self.page = page
        self.parts: list[Part] = []
        self.questions: list[Question] = []
        self.now = ""
        self.counts: dict[tuple[str, str], int] = {}

    def title(self) -> str:
        first = self.parts[0] if self.parts else None
        match = re.match(r"# +(.+)", first.source) if first and first.kind == "text" else None
        if not match:
            raise CourseError(f"{self.path}: expected '# Title' below the header.")
        return match[1].strip()

    def walk(self) -> None:
        for cell in self.page.cells:
            if cell.kind == "markdown":
                for block in blocks.split(cell.source, cell.place):
                    self._markdown(block)
            else:
                self._code(cell)

    def _markdown(self, block: blocks.Block) -> None:
        if isinstance(block, Directive) and block.name in OWN:
            getattr(self, "_" + block.name.replace("-", "_"))(block)
            return
        if isinstance(block, blocks.Maths) and block.label:
            raise block.place.error("formulas of a practical have no label; take it away.")
        if isinstance(block, blocks.Text):
            heading = any(re.match(r"##? ", line) for line in block.lines)
            self.now = "" if heading else self.now
        text = self._block(block, False).strip("\n")
        self._add("text", text, block.place)

    def _add(self, kind: str, source: str, place: Place, points: float = 0) -> None:
        name = self._name(kind) if kind not in ("text", "rubric", "common-errors") else ""
        if source.strip():
            self.parts.append(Part(kind, source, place, self.now, name, points))

    def _name(self, kind: str) -> str:
        """nbgrader's grade_id: q1_answer1, q1_check2, given3."""
        group = "answer" if kind in ("answer", "marked") else kind
        where = self.now if kind != "given" else ""
        self.counts[where, group] = self.counts.get((where, group), 0) + 1
        return f"{where}{'_' if where else ''}{group}{self.counts[where, group]}"

    # ---- directives of practicals ----------------------------------------------------

    def _question(self, block: Directive) -> None:
        wanted = f"q{len(self.questions) + 1}"
        if block.argument != wanted:
            raise block.place.error(f"expected the question {wanted}, got '{block.argument}'.")
        self.now = wanted
        title = self.line(block.options.get("title", ""), block.place)
        points, minutes = (_number(block, key) for key in ("points", "minutes"))
        if not title:
            raise block.place.error("a question needs ':title: ...'.")
        question = Question(wanted, title, points, round(minutes), block.place)
        self.questions.append(question)
        amount = f"{points:g} point{'s' if points != 1 else ''}"
        head = f"## {question.label}: {title}\n\n*{amount}, about {question.minutes} minutes.*"
        self._add("text", head, block.place)

    def _hint(self, block: Directive) -> None:
        number = sum(
            part.question == self.now and part.source.startswith("<details>\n<summary>Hint")
            for part in self.parts
        ) + 1
        if not self.now or block.argument != str(number) or number > 3:
            raise block.place.error(
                f"expected hints 1, 2 and 3 below a question, got '{block.argument}'."
            )
        body = self.blocks(block.body, block.inside)
        text = f"<details>\n<summary>Hint {number} of 3</summary>\n\n{body}\n\n</details>"
        self._add("text", text, block.place)

    def _target(self, block: Directive) -> None:
        file = self.path.parent / block.argument
        if file.suffix != ".png" or not file.is_file():
            raise block.place.error(
                f"expected a PNG file at {block.argument}. `course practical figures` "
                "draws the targets from the solution."
            )
        alt = block.options.get("alt", "")
        if len(alt.split()) < 3:
            raise block.place.error("a target figure needs ':alt: what it shows'.")
        data = base64.b64encode(file.read_bytes()).decode()
        caption = self.line(block.body, block.inside)
        self._add("text", f"![{alt}](data:image/png;base64,{data})\n\n*{caption}*", block.place)

    def _answer(self, block: Directive) -> None:
        if not self.now:
            raise block.place.error("an answer belongs below a question.")
        body = self.blocks(block.body, block.inside)
        self._add("written", body, block.place, _number(block, "points"))

    def _rubric(self, block: Directive) -> None:
        self._add("rubric", self.blocks(block.body, block.inside), block.place)

    def _common_errors(self, block: Directive) -> None:
        self._add("common-errors", self.blocks(block.body, block.inside), block.place)

    # ---- code cells ------------------------------------------------------------------

    def _code(self, cell: pages.Cell) -> None:
        role, points = cell.metadata.get("role", "given"), cell.metadata.get("points", 0)
        strange = sorted(set(cell.metadata) - {"role", "points", "tags"})
        if role not in ROLES or strange:
            what = f"the option '{strange[0]}'" if strange else f"the role '{role}'"
            raise cell.place.error(f"{what} is unknown. Roles are: {', '.join(ROLES)}.")
        if role != "given" and not self.now:
            raise cell.place.error(f"a cell with the role '{role}' belongs below a question.")
        if bool(points) != (role == "check") and not (role == "answer" and points):
            raise cell.place.error("a check has points: n, and so may an answer; no other cell.")
        _check_regions(role, cell)
        kind = "marked" if role == "answer" and points else role
        self._add(kind, cell.source, cell.place, float(points))


def _number(block: Directive, key: str) -> float:
    try:
        return float(block.options[key])
    except (KeyError, ValueError) as error:
        raise block.place.error(f"{{{block.name}}} needs ':{key}: a number'.") from error


def _check_regions(role: str, cell: pages.Cell) -> None:
    allowed = {"answer": {"solution", "mark scheme"}, "check": {"hidden tests"}}.get(role, set())
    found = regions.kinds(cell.source, cell.place)
    if found - allowed:
        raise cell.place.error(f"a cell with the role '{role}' cannot hold {found - allowed}.")
    if role == "answer" and "solution" not in found:
        raise cell.place.error("an answer needs '### BEGIN SOLUTION' ... '### END SOLUTION'.")
    if role == "check":
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Assert) and node.msg is None:
                raise cell.place.at(node.lineno - 1).error(
                    "an assert of a check needs a message: expected, got, where to look."
                )


def _check_questions(master: Master) -> None:
    if not master.questions:
        raise CourseError(f"{master.path}: no question (```{{question}} q1).")
    for question in master.questions:
        parts = master.of(question.name)
        total = sum(part.points for part in parts)
        if abs(total - question.points) > 1e-9:
            raise question.place.error(
                f"{question.name} has {question.points:g} points, its cells {total:g}."
            )
        marked = any(part.kind in ("marked", "written") for part in parts)
        hints = sum("<summary>Hint" in part.source for part in parts if part.kind == "text")
        kinds = {part.kind for part in parts}
        for wrong, what in (
            (hints != 3, "hints 1, 2 and 3"),
            ("common-errors" not in kinds, "a {common-errors} block"),
            (marked and "rubric" not in kinds, "a {rubric}: a person marks a part of it"),
            ("check" in kinds and "answer" not in kinds | {
                "answer" for part in parts if part.kind == "marked"
            }, "an answer cell for its checks"),
        ):
            if wrong:
                raise question.place.error(f"{question.name} needs {what}.")
