"""The scoreboard's source: book/results/NN.json, one file a chapter, from stored outputs."""

from __future__ import annotations

import json
from pathlib import Path

from ..ledger import SCORE
from . import notebook, pages
from .project import CourseError


def wanted(root: Path) -> dict[Path, str]:
    """Every results file that the stored notebooks ask for, and its text."""
    chapters: dict[int, list[dict]] = {}
    for path in pages.notebooks(root):
        stored = notebook.read(path.with_suffix(".ipynb"))
        for cell in notebook.code_cells(stored) if stored else []:
            for output in cell.outputs:
                if SCORE in output.get("data", {}):
                    line = output.data[SCORE] | {"notebook": path.stem}
                    chapters.setdefault(pages.chapter_of(path), []).append(line)
    return {
        root / "book" / "results" / f"{chapter:02d}.json": _text(lines)
        for chapter, lines in sorted(chapters.items())
    }


def _text(lines: list[dict]) -> str:
    """The lines as JSON, sorted by task, metric and model."""
    lines = sorted(lines, key=_key)
    for line, other in zip(lines, lines[1:]):
        if _key(line) == _key(other):
            raise CourseError(
                f"{other['notebook']}: two scores for task {line['task']!r} and model "
                f"{line['model']!r}. Give the models different names."
            )
    return json.dumps(lines, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _key(line: dict) -> tuple[str, str, str]:
    return line["task"], line["metric"], line["model"]


def stale(root: Path) -> list[Path]:
    """The results files that differ from what the stored notebooks say."""
    files = wanted(root)
    here = set((root / "book" / "results").glob("[0-9][0-9].json"))
    return sorted(
        path
        for path in here | set(files)
        if path not in files or not path.is_file() or path.read_text("utf-8") != files[path]
    )


def update(root: Path) -> list[Path]:
    """Write the results files that are stale, remove those without a score."""
    files, changed = wanted(root), stale(root)
    for path in changed:
        if path in files:
            notebook.write_text(files[path], path)
        else:
            path.unlink()
    return changed
