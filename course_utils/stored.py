"""Figures of benchmark runs that are kept with the course.

Introduced in chapter 10. A long comparison runs once, by a script of ``benchmarks/``, and
leaves its figures there; a page that cites them reads the file. Where only the package is
installed, the files are not there, and the page says so.
"""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "results"


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
