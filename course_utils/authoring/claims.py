"""The claims ledger: what the executed notebooks say of each row of the syllabus.

A cell puts a claim on record with `course_utils.ledger.claim`. This module reads the calls
from the notebooks' sources and the results from their stored outputs: nothing is typed.
A row is *passing* if every call that names it left its record and no failure, *failing* if
one did not, *missing* if no notebook tests it.
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator
from pathlib import Path

import nbformat

from ..ledger import CLAIM
from .project import Chapter, CourseError, Row, chapters, find_root


def collect(root: Path) -> list[dict]:
    """All rows of the syllabus with the claims tested, in order.

    Returns
    -------
    list of dict
        ``row``, ``topic``, ``chapter``, ``claim``, ``status`` (passing, failing, missing;
        session where the row is a practical session), ``notebook``, ``cell`` (id),
        ``figure``, ``verdict``, ``control``. A row that is tested several times appears
        several times; one without a test once, with empty strings.
    """
    masters = (root / "practicals").glob("*/master.md")
    sessions = {path.parent.name.split("_")[0].upper() for path in masters}
    ledger = []
    for chapter in chapters(root):
        found = [fact for stem in chapter.notebooks for fact in _notebook(root, stem)]
        for row in chapter.rows:
            tests = [fact for fact in found if fact["row"] == row.key]
            untested = {"status": "session" if row.key in sessions else "missing"}
            ledger += [_line(chapter, row, fact) for fact in tests or [untested]]
        known = {row.key for row in chapter.rows}
        for fact in found:
            if fact["row"] not in known:
                raise CourseError(
                    f"{fact['notebook']}: expected a row of chapter {chapter.number} "
                    f"({', '.join(sorted(known))}), got {fact['row']!r}."
                )
    return ledger


def problems(root: Path) -> list[str]:
    """What keeps the ledger from being right; an empty list if nothing does.

    Every row of a chapter marked complete must pass, and no claim may fail anywhere.
    """
    complete = {c.number for c in chapters(root) if c.complete}
    return [
        f"{line['row']} ({line['topic']}): {line['status']}"
        + (f" in {line['notebook']}" if line["notebook"] else "")
        for line in collect(root)
        if line["status"] == "failing"
        or (line["status"] == "missing" and line["chapter"] in complete)
    ]


def _line(chapter: Chapter, row: Row, fact: dict) -> dict:
    line = {
        "row": row.key,
        "topic": row.topic,
        "chapter": chapter.number,
        "claim": row.claim,
        "status": "",
        "notebook": "",
        "cell": "",
        "figure": "",
        "verdict": "",
        "control": "",
    }
    return line | {k: fact[k] for k in line.keys() & fact.keys()}


def _notebook(root: Path, stem: str) -> Iterator[dict]:
    """One dict for each claim that a cell of this notebook declares or has recorded."""
    path = root / "notebooks" / f"{stem}.ipynb"
    if not path.is_file():
        raise CourseError(
            f"{path}: expected, since book/syllabus.yml lists it. Run `course sync`."
        )
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code" or "claim(" not in cell.source:
            continue
        declared = _declared(cell.source)
        records = [o.data[CLAIM] for o in cell.outputs if CLAIM in o.get("data", {})]
        for record in records:
            declared.pop(record["row"], None)
            status = "passing" if record["holds"] else "failing"
            yield record | {
                "claim": record["statement"],
                "status": status,
                "notebook": stem,
                "cell": cell.id,
            }
        for row, statement in declared.items():
            yield {
                "row": row,
                "claim": statement,
                "status": "failing",
                "notebook": stem,
                "cell": cell.id,
            }


def _declared(source: str) -> dict[str, str]:
    """Row and statement of each call of `claim` with a literal row in a cell's source."""
    plain = "\n".join(
        line for line in source.splitlines() if not line.lstrip().startswith(("%", "!"))
    )
    found = {}
    for node in ast.walk(ast.parse(plain)):
        name = getattr(getattr(node, "func", None), "attr", None) or getattr(
            getattr(node, "func", None), "id", None
        )
        if isinstance(node, ast.Call) and name == "claim" and node.args:
            values = [a.value if isinstance(a, ast.Constant) else "" for a in node.args]
            found[str(values[0])] = str(values[1]) if len(values) > 1 else ""
    found.pop("", None)
    return found


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``course claims`` to the command line."""
    parser = commands.add_parser(
        "claims",
        help="list what the executed notebooks say of each row of the syllabus",
        description="One line a claim: row, status, notebook, verdict, figure.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead")
    parser.add_argument(
        "--check", action="store_true",
        help="exit with 1 if a claim fails, or is missing in a complete chapter",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the ledger, or check it."""
    root = options.root or find_root()
    ledger = collect(root)
    if options.json:
        print(json.dumps(ledger, indent=2, ensure_ascii=False))
    elif not options.check:
        for line in ledger:
            print(
                f"{line['row']:<4} {line['status']:<8} {line['notebook'] or '-':<30} "
                f"{line['verdict'] or '-':<22} {line['figure'] or line['topic']}"
            )
    wrong = problems(root) if options.check else []
    if wrong:
        raise CourseError("the claims ledger is not right:\n  " + "\n  ".join(wrong))
    if options.check:
        done = sum(line["status"] == "passing" for line in ledger)
        print(f"claims: {done} tested and passing, none failing.")
    return 0
