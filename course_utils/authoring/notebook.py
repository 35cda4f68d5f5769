"""Build the plain notebook of a page, compare it with the stored one, write it.

Nothing in the file depends on when or where it was written: ids come from the cells'
sources, and there is no time stamp.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from . import colab
from .flatten import Course, Flattener
from .pages import Cell, Page
from .project import CourseError

LIMIT = 1_000_000
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def build(page: Page, course: Course) -> NotebookNode:
    """The notebook that belongs to `page`, without outputs.

    Raises
    ------
    CourseError
        With file and line, on anything that Colab cannot show.
    """
    flattener = Flattener(course, page.path)
    cells = [new for cell in page.cells for new in _plain(cell, flattener)]
    cells = _with_install_cell(cells, page, course)
    seen: dict[str, int] = {}
    for cell in cells:
        cell.id = _identity(cell.source, seen)
    metadata = {
        "course": {"source_sha1": page.digest},
        "kernelspec": KERNEL,
        "language_info": {"name": "python"},
    }
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _plain(cell: Cell, flattener: Flattener) -> list[NotebookNode]:
    """A cell in plain form: a code cell is followed by the caption of its figure."""
    if cell.kind == "markdown":
        text = flattener.blocks(cell.source, cell.place)
        return [_new("markdown", text)] if text else []
    plain = [_new("code", cell.source, tags=cell.tags)]
    if cell.figure.get("caption"):
        name = cell.figure.get("name")
        if not name:
            raise cell.place.error("the figure has a caption but no 'name: fig-...'.")
        number = flattener.label(str(name), cell.place).number
        caption = flattener.line(str(cell.figure["caption"]), cell.place)
        text = f"**Figure {number}.** {caption}"
        plain.append(_new("markdown", text, generated=True))
    return plain


def _with_install_cell(
    cells: list[NotebookNode], page: Page, course: Course
) -> list[NotebookNode]:
    """The install cell under the title, above the first section."""
    if not cells or cells[0].cell_type != "markdown" or not cells[0].source.startswith("# "):
        raise CourseError(f"{page.path}: expected '# Title' as the first line below the header.")
    title, *rest = re.split(r"\n+(?=## )", cells[0].source, maxsplit=1)
    if course.site:
        title += (
            f"\n\n[This page on the site]({course.page_address(page.path)}) · "
            f"[Open in Colab]({course.colab_address(page.stem)})"
        )
    install = _new(
        "code", colab.install_cell(course.address, page.packages), tags=colab.TAGS,
        generated=True,
    )
    return [
        _new("markdown", title),
        install,
        *(_new("markdown", text) for text in rest),
        *cells[1:],
    ]


def _new(kind: str, source: str, *, tags=(), generated: bool = False) -> NotebookNode:
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    metadata: dict = {"tags": list(tags)} if tags else {}
    if generated:
        metadata["course"] = {"generated": True}
    return make(source=source, metadata=metadata)


def _identity(source: str, seen: dict[str, int]) -> str:
    """A cell id from its source alone, so that a new cell leaves all other ids alone."""
    digest = hashlib.sha1(source.encode()).hexdigest()[:8]
    seen[digest] = seen.get(digest, 0) + 1
    return digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"


# ---- the stored notebook ----------------------------------------------------------------


def read(path: Path) -> NotebookNode | None:
    """The notebook stored at `path`, or None if there is none."""
    if not path.is_file():
        return None
    try:
        return nbformat.read(path, 4)
    except (ValueError, nbformat.ValidationError) as error:
        raise CourseError(
            f"{path}: not a notebook ({error}). Delete it and run `course sync`."
        ) from error


def generated(cell: NotebookNode) -> bool:
    """Whether the generator added this cell."""
    return bool(cell.metadata.get("course", {}).get("generated"))


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """The author's code cells: those that the page has too."""
    return [c for c in notebook.cells if c.cell_type == "code" and not generated(c)]


def keep_outputs(fresh: NotebookNode, stored: NotebookNode | None) -> bool:
    """Copy outputs from `stored` into `fresh` if both have the same code.

    Returns
    -------
    bool
        False if the code differs or was never executed; `fresh` is then unchanged.
    """
    if stored is None or "seconds" not in stored.metadata.get("course", {}):
        return False
    old, new = code_cells(stored), code_cells(fresh)
    if [_runs(cell) for cell in old] != [_runs(cell) for cell in new]:
        return False
    for cell, source in zip(new, old):
        cell.outputs = source.outputs
        cell.execution_count = source.execution_count
    fresh.metadata["course"]["seconds"] = stored.metadata["course"]["seconds"]
    return True


def _runs(cell: NotebookNode) -> tuple:
    """What decides how a cell runs."""
    return cell.source, "raises-exception" in cell.metadata.get("tags", [])


def differences(fresh: NotebookNode, stored: NotebookNode) -> str:
    """In words, the first difference between two notebooks; outputs do not count."""
    for number, (new, old) in enumerate(zip(fresh.cells, stored.cells), start=1):
        for key in ("cell_type", "source", "id", "metadata"):
            if new.get(key) != old.get(key):
                return f"cell {number} has another {key.replace('cell_', '')}"
    if len(fresh.cells) != len(stored.cells):
        return f"{len(stored.cells)} cells instead of {len(fresh.cells)}"
    course = stored.metadata.get("course", {})
    if course.get("source_sha1") != fresh.metadata["course"]["source_sha1"]:
        return "its text was edited"
    return "" if "seconds" in course else "it was never executed"


def write(notebook: NotebookNode, path: Path) -> bool:
    """Write a notebook whole or not at all; returns whether the file changed.

    Raises
    ------
    CourseError
        If it would be larger than one megabyte; the file is then left as it was.
    """
    nbformat.validate(notebook)
    text = nbformat.writes(notebook, version=4) + "\n"
    if len(text.encode()) >= LIMIT:
        largest = max(code_cells(notebook), key=lambda cell: len(str(cell.outputs)))
        raise CourseError(
            f"{path}: {len(text.encode()) / 1e6:.2f} MB, but a stored notebook stays under "
            f"{LIMIT / 1e6:.0f} MB. Its largest output comes from the cell that starts with "
            f"{largest.source.splitlines()[0]!r}: draw fewer points, or print less."
        )
    return write_text(text, path)


def write_text(text: str, path: Path) -> bool:
    """Replace a text file in one step; returns whether it changed."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(part, 0o644)
        os.replace(part, path)
    except BaseException:
        os.unlink(part)
        raise
    return True
