"""The three notebooks of a session: student, solution, grading.

All come from the master alone: no date, no random id, no output. The cells carry nbgrader's
metadata (schema 3), so that nbgrader can read all three.
"""

from __future__ import annotations

import hashlib
import re

import nbformat
from nbformat import NotebookNode

from .. import colab
from ..notebook import KERNEL, _identity
from . import regions
from .master import Master, Part

STUDENT, SOLUTION, GRADING = "student", "solution", "grading"
HOW = """\
**How it works.** Write your code where a cell says `YOUR CODE HERE`, and run the check below
it: it prints *passed*, or says what it expected and what it got. When the sessions are
marked, the checks also try other inputs. Cells without that line are given; do not change
checks. Text answers go where it says *Your answer*. Each question has three hints, folded
away: open one only when you are stuck. Before you hand in, restart the kernel, run all cells
from top to bottom, and save."""
EMPTY = "*Your answer goes here, in place of this line.*"
INSTRUCTOR = {"rubric": "Rubric", "common-errors": "Common errors"}


def build(master: Master, version: str) -> NotebookNode:
    """One version of a session as a notebook without outputs."""
    cells = [cell for cell in _cells(master, version) if cell.source]
    seen: dict[str, int] = {}
    for cell in cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id") or _experiment(cell)
        cell.id = name.replace("_", "-") if name else _identity(cell.source, seen)
    metadata = {
        "course": {"practical": master.name, "version": version} | _facts(master),
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _facts(master: Master) -> dict:
    """What a list of sessions says of one; the site reads it here."""
    return {
        "title": master.title, "points": master.points, "minutes": master.minutes,
        "chapters": list(master.settings.chapters),
        "questions": [q.title for q in master.questions],
    }


def text(master: Master, version: str) -> str:
    """One version as the text of its file."""
    notebook = build(master, version)
    nbformat.validate(notebook)
    return nbformat.writes(notebook, version=4) + "\n"


def _experiment(cell: NotebookNode) -> str:
    match = re.match(r"# Question (\d+), experiment (\d+)", cell.source)
    return f"q{match[1]}_experiment{match[2]}" if match else ""


def _cells(master: Master, version: str):
    waiting: list[str] = []
    parts = list(master.parts)
    head, rest = _head(master, parts.pop(0).source)
    yield nbformat.v4.new_markdown_cell(head)
    yield _install(master)
    waiting += [rest] if rest else []
    for part in parts:
        if part.kind == "text":
            if part.source.startswith("#") and waiting:
                yield nbformat.v4.new_markdown_cell("\n\n".join(waiting))
                waiting = []
            waiting.append(part.source)
            continue
        if part.kind in INSTRUCTOR and version != GRADING:
            continue
        yield nbformat.v4.new_markdown_cell("\n\n".join(waiting))
        waiting = []
        yield cell(master, part, version)
    yield nbformat.v4.new_markdown_cell("\n\n".join(waiting))


def cell(master: Master, part: Part, version: str) -> NotebookNode:
    """The cell that one part becomes."""
    if part.kind in INSTRUCTOR:
        title = f"**{INSTRUCTOR[part.kind]} of {master.question(part.question).label}** "
        return nbformat.v4.new_markdown_cell(f"{title}(for the instructor)\n\n{part.source}")
    source = source_of(master, part, version)
    make = nbformat.v4.new_markdown_cell if part.kind == "written" else nbformat.v4.new_code_cell
    new = make(source=source)
    if part.kind != "experiment":
        _describe(new, part, checksum=version == STUDENT)
    return new


def source_of(master: Master, part: Part, version: str) -> str:
    """Source of a cell in one version: with its first line that says whose cell it is."""
    if part.kind == "given":
        return part.source
    question = master.question(part.question)
    lead = title_line(master, part)
    if part.kind == "written":
        body = EMPTY if version == STUDENT else part.source
        return f"**{lead}**\n\n{body}"
    if part.kind == "experiment":
        return f"# {lead}\n{part.source}"
    if part.kind == "check":
        kept = (
            part.source if version == GRADING
            else regions.without(part.source, part.place, drop=("hidden tests",))
        )
        say = f'print("{lead.split(" (")[0]}: passed.")'
        return f"# {lead}\n{kept}\n{say}"
    if version == STUDENT:
        kept = regions.stubbed(part.source, part.place, question.label)
    elif version == SOLUTION:
        kept = regions.without(part.source, part.place, drop=("mark scheme",))
    else:
        kept = part.source
    return f"# {lead}\n{kept}"


def title_line(master: Master, part: Part) -> str:
    """What the first line of a cell says; grading finds a stripped cell by it."""
    label, number = master.question(part.question).label, part.name.rsplit("_", 1)[1]
    number = number.lstrip("abcdefghijklmnopqrstuvwxyz")
    points = f"{part.points:g} point{'s' if part.points != 1 else ''}"
    return {
        "answer": f"{label}, your answer {number}",
        "marked": f"{label}, your answer {number} ({points}, marked by a person)",
        "written": f"{label}, your text {number} ({points}, marked by a person)",
        "check": f"{label}, check {number} ({points}): run it, do not edit it",
        "experiment": f"{label}, experiment {number}: change what you like",
    }[part.kind]


def _head(master: Master, source: str) -> tuple[str, str]:
    """The first cell (title, links, table of questions), and what follows its sections."""
    first, *others = re.split(r"\n+(?=## )", source, maxsplit=1)
    title, _, opening = first.partition("\n")
    course = master.course
    links = []
    if course.site:
        links = [f"[The sessions on the site]({course.site}book/practicals.html)"]
        links.append(f"[Open in Colab]({colab_address(master)})")
    rows = [
        f"| {q.number} | {q.title} | {q.points:g} | {q.minutes} |" for q in master.questions
    ]
    table = "\n".join([
        "| question | subject | points | minutes |", "|---|---|---|---|", *rows,
        f"| | together | {master.points:g} | {master.minutes} |",
    ])
    pieces = title, " · ".join(links), opening.strip("\n"), table, HOW
    return "\n\n".join(piece for piece in pieces if piece), "".join(others)


def colab_address(master: Master) -> str:
    """Where Colab opens the student version; empty without a public address."""
    opened = master.course.colab_address(master.name)
    return opened.replace(
        f"/notebooks/{master.name}.ipynb", f"/practicals/{master.name}/{master.name}.ipynb"
    )


def _install(master: Master) -> NotebookNode:
    source = colab.install_cell(master.course.address, master.settings.packages)
    cell = nbformat.v4.new_code_cell(source)
    cell.metadata = nbformat.from_dict({"tags": colab.TAGS, "course": {"generated": True}})
    return cell


# ---- nbgrader's metadata -----------------------------------------------------------------


def _describe(cell: NotebookNode, part: Part, *, checksum: bool) -> None:
    graded = part.kind in ("check", "marked", "written")
    locked = part.kind in ("check", "given")
    data = {
        "grade": graded,
        "grade_id": part.name,
        "locked": locked,
        "schema_version": 3,
        "solution": part.kind in ("answer", "marked", "written"),
        "task": False,
    }
    if graded:
        data["points"] = int(part.points) if part.points == int(part.points) else part.points
    cell.metadata["nbgrader"] = nbformat.from_dict(data)
    if checksum:
        cell.metadata["deletable"] = False
        if locked:
            cell.metadata["editable"] = False
        cell.metadata["nbgrader"]["checksum"] = fingerprint(cell)
        cell.metadata["nbgrader"]["cell_type"] = cell.cell_type


def fingerprint(cell: NotebookNode) -> str:
    """nbgrader's checksum of a cell: it tells an untouched answer from a given one."""
    data = cell.metadata["nbgrader"]
    pieces = [cell.source, cell.cell_type]
    pieces += [str(data[key]) for key in ("grade", "solution", "locked")]
    pieces.append(data["grade_id"])
    if data["grade"]:
        pieces.append(str(float(data["points"])))
    return hashlib.md5("".join(pieces).encode()).hexdigest()
