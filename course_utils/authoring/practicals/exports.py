"""Lists of grades: `grades.csv`, the report, Moodle, Canvas, Gradescope.

Points of checks come from the records, marks given by hand from nbgrader's gradebook. A
submission without a grade has an empty field, not a zero.
"""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path

from ..notebook import write_text
from ..project import CourseError, find_root
from . import gradebook, master, records
from .master import Master
from .records import Record


def run(options: argparse.Namespace) -> int:
    """Carry out ``course practical export``."""
    root = (options.root or find_root()).resolve()
    (path,) = master.find(root, options.name)
    read = master.read(path, master.load_course(root))
    out = options.out.resolve()
    if options.gradescope:
        from . import gradescope

        print(gradescope.bundle(read, root, out))
        return 0
    if not (out / "records").is_dir():
        raise CourseError(f"{out}: expected a folder that `course practical grade` has filled.")
    python = gradebook.python(root) if (out / "gradebook.db").is_file() else None
    book = gradebook.Gradebook(python, out, read.name) if python else None
    try:
        write_all(read, out, book, feedback=bool(book))
        if options.roster:
            print(roster(read, out, options.roster, book))
    finally:
        if book:
            book.close()
    print(f"{out}: grades.csv, moodle.csv, canvas.csv, report.md")
    return 0


# ---- what everyone has -----------------------------------------------------------------


def totals(read: Master, found: dict[str, Record], marks: dict) -> dict[str, dict]:
    """For each student: points by question, total, and the points that still wait.

    `marks` is what nbgrader's gradebook says (student, cell); a mark given by hand counts
    instead of what a check gave.
    """
    rows = {}
    for key, record in found.items():
        if record.status != records.GRADED:
            rows[key] = {"questions": {}, "total": None, "waiting": 0.0}
            continue
        given = marks.get(key, {})
        questions, waiting = {}, 0.0
        for question in read.questions:
            points = 0.0
            for part in read.of(question.name, "check", "marked", "written"):
                mark = given.get(part.name, {})
                if mark.get("manual") is not None:
                    points += mark["manual"]
                elif part.name in record.waiting:
                    waiting += part.points
                else:
                    points += record.cells.get(part.name, 0.0)
                points += mark.get("extra") or 0.0
            questions[question.name] = points
        rows[key] = {
            "questions": questions, "total": sum(questions.values()), "waiting": waiting,
        }
    return rows


def write_all(read: Master, out: Path, book=None, *, feedback: bool = False) -> None:
    """Write every list of a batch; with `feedback`, the pages too."""
    found = records.read(out)
    marks = _marks(read, out, book, found, feedback)
    rows = totals(read, found, marks)
    write_text(_grades(read, found, rows), out / "grades.csv")
    write_text(_moodle(read, found, rows), out / "moodle.csv")
    write_text(_canvas(read, found, rows), out / "canvas.csv")
    write_text(_report(read, found, rows), out / "report.md")


def _marks(read: Master, out: Path, book, found: dict[str, Record], feedback: bool) -> dict:
    """What nbgrader's gradebook says; nothing where there is none."""
    if book is None:
        return {}
    marks = book.ask("grades")["grades"]
    for key, record in found.items():
        _agree(key, record, marks.get(key, {}))
        if feedback and record.status == records.GRADED:
            shown = out / "shown" / key / read.name / f"{read.name}.ipynb"
            page = out / "feedback" / key / read.name / f"{read.name}.html"
            book.ask("feedback", student=key, notebook=str(shown), page=str(page))
    return marks


def _agree(key: str, record: Record, marks: dict) -> None:
    """nbgrader counts the same outputs by itself: the two must agree."""
    for name, points in record.cells.items():
        auto = marks.get(name, {}).get("auto")
        if record.status == records.GRADED and auto is not None and auto != points:
            raise CourseError(
                f"{key}, {name}: nbgrader says {auto:g} points, the record {points:g}. "
                "Grade this submission again with --again."
            )


def _table(header: list[str], lines: list[list]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_safe(value) for value in line] for line in lines])
    return file.getvalue()


def _safe(value) -> str:
    """A field that a spreadsheet does not take for a formula."""
    text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _comment(read: Master, record: Record, row: dict) -> str:
    """One line of feedback: points by question, and what is missing where."""
    if record.status != records.GRADED:
        return f"No grade yet: {record.status} ({'; '.join(record.attention)})."
    pieces = []
    for question in read.questions:
        reasons = [
            record.reasons[part.name] for part in read.of(question.name)
            if part.name in record.reasons
        ]
        points = f"{row['questions'][question.name]:g}/{question.points:g}"
        pieces.append(f"Q{question.number} {points}" + (f" ({reasons[0]})" if reasons else ""))
    waiting = f"; {row['waiting']:g} points still to be marked" if row["waiting"] else ""
    return ", ".join(pieces) + waiting


def _grades(read: Master, found: dict[str, Record], rows: dict) -> str:
    names = [question.name for question in read.questions]
    header = ["student", "name", "status", *names, "total", "of", "waiting", "attention"]
    lines = []
    for key, record in found.items():
        row = rows[key]
        lines.append([
            key, record.name, record.status, *(row["questions"].get(name) for name in names),
            row["total"], read.points, row["waiting"], "; ".join(record.attention),
        ])
    return _table(header, lines)


def _moodle(read: Master, found: dict[str, Record], rows: dict) -> str:
    header = ["Identifier", "Full name", "Grade", "Maximum Grade", "Feedback comments"]
    return _table(header, [
        [f"Participant {record.moodle}" if record.moodle else "", record.name,
         rows[key]["total"], read.points, _comment(read, record, rows[key])]
        for key, record in found.items()
    ])


def _canvas(read: Master, found: dict[str, Record], rows: dict) -> str:
    header = ["Student", "ID", "SIS User ID", "SIS Login ID", "Section", read.title]
    possible = ["    Points Possible", "", "", "", "", read.points]
    return _table(header, [possible, *(
        [record.name, record.canvas, "", "" if record.canvas else key, "", rows[key]["total"]]
        for key, record in found.items()
    )])


def _report(read: Master, found: dict[str, Record], rows: dict) -> str:
    """What a person should know of the batch: no grade, remarks, how it was fenced in."""
    graded = [record for record in found.values() if record.status == records.GRADED]
    lines = [
        f"# {read.title}: report of a batch", "",
        f"{len(found)} submissions, {len(graded)} graded, {len(found) - len(graded)} without "
        f"a grade; {sum(bool(r.attention) for r in graded)} graded ones with remarks.", "",
        "## Without a grade", "",
        *([f"- **{r.key}** ({r.file}): {r.status}; {'; '.join(r.attention)}"
           for r in found.values() if r.status != records.GRADED] or ["None."]), "",
        "## With remarks", "",
        *([line for r in graded if r.attention for line in _remarks(r, rows[r.key], read)]
          or ["None."]), "",
        "## Zero points", "",
        *([f"- **{r.key}**: " + "; ".join(f"{name}: {why}" for name, why in r.reasons.items())
           for r in graded if rows[r.key]["total"] == 0] or ["None."]), "",
        "## How submissions were fenced in", "",
        *sorted({f"- {kind}: {what}" for r in graded for kind, what in r.fences.items()}), "",
    ]
    return "\n".join(lines)


def _remarks(record: Record, row: dict, read: Master) -> list[str]:
    head = f"- **{record.key}**: {row['total']:g} of {read.points:g} points"
    return [head, *(f"  - {line}" for line in record.attention)]


# ---- filling in the lists that Moodle and Canvas give out ------------------------------


def roster(read: Master, out: Path, path: Path, book=None) -> Path:
    """Fill the grades into a list that Moodle or Canvas gave out.

    Raises
    ------
    CourseError
        If it is neither, or a graded student is not in it.
    """
    found = records.read(out)
    rows = totals(read, found, _marks(read, out, book, found, False))
    with open(path, encoding="utf-8-sig", newline="") as file:
        table = list(csv.DictReader(file))
    header = list(table[0]) if table else []
    if "Identifier" in header:
        column, number, grade = "Identifier", "moodle", "Grade"
    elif "ID" in header and "Student" in header:
        column, number = "ID", "canvas"
        grade = next((name for name in header if name.startswith(read.title)), read.title)
    else:
        raise CourseError(f"{path}: expected Moodle's grading worksheet or Canvas's gradebook.")
    by_number = {getattr(record, number): key for key, record in found.items()}
    by_number.pop("", None)
    for line in table:
        key = by_number.pop((line[column] or "").removeprefix("Participant ").strip(), None)
        if key is not None and rows[key]["total"] is not None:
            line[grade] = f"{rows[key]['total']:g}"
            if "Feedback comments" in header:
                line["Feedback comments"] = _comment(read, found[key], rows[key])
    if by_number:
        raise CourseError(f"{path}: not in this list: {', '.join(sorted(by_number.values()))}.")
    target = out / f"filled_{path.name}"
    header += [] if grade in header else [grade]
    write_text(_table(header, [[line.get(name) for name in header] for line in table]), target)
    return target
