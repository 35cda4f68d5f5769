"""Figures of benchmark runs that are kept with the course.

Introduced in chapter 4. A long comparison runs once, by a script of ``benchmarks/``, and
leaves its figures there; a page that cites them reads the file. Where only the package is
installed, the files are not there, and the page says so.
"""

from __future__ import annotations

import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "results"


def benchmark(name: str, folder: Path | None = None) -> dict | None:
    """The figures of one benchmark, or None where the repository is not at hand.

    Parameters
    ----------
    name : str
        The file's name without its end, such as ``"poet"``.
    """
    folder = FOLDER if folder is None else folder
    path = folder / f"{name}.json"
    if path.is_file():
        return json.loads(path.read_text("utf-8"))
    if folder.is_dir():
        here = sorted(p.stem for p in folder.glob("*.json"))
        raise KeyError(f"{name!r}: expected one of {here}.")
    return None


def scores(task: str, folder: Path | None = None) -> list[dict]:
    """The lines that executed chapters left on the scoreboard for one task, best first.

    Each has ``model``, ``value``, ``low``, ``high``, ``seconds``, ``parameters``, ``metric``
    and ``notebook``. Empty where only the package is installed.
    """
    folder = ROOT / "book" / "results" if folder is None else folder
    lines = [
        line
        for path in sorted(folder.glob("[0-9][0-9].json"))
        for line in json.loads(path.read_text("utf-8"))
        if line["task"] == task
    ]
    return sorted(lines, key=lambda line: -line["value"])
