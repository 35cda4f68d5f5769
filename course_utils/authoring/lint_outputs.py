"""Rules for the stored outputs of a page; they need an up-to-date notebook."""

from __future__ import annotations

import re
from collections.abc import Iterator

from . import notebook
from .lint_prose import Finding
from .pages import Cell, Page

IMAGES = ("image/png", "image/svg+xml", "image/jpeg", "image/gif")
OBJECT = re.compile(r"<[\w.]+ (object )?at 0x[0-9a-f]+>|Axes?\([\d., ]+;")


def findings(page: Page) -> Iterator[Finding]:
    """What the outputs stored for `page` do not do right."""
    stored = notebook.read(page.stored)
    cells = [cell for cell in page.cells if cell.kind == "code"]
    outputs = notebook.code_cells(stored) if stored else []
    if [c.source for c in outputs] != [c.source for c in cells]:
        return  # stale: `course sync --check` says so
    for cell, executed in zip(cells, outputs):
        yield from _drawn(cell, executed.outputs)
        yield from _printed(cell, executed.outputs)


def _drawn(cell: Cell, outputs: list) -> Iterator[Finding]:
    shown = [o for o in outputs if o.output_type in ("display_data", "execute_result")]
    images = [o for o in shown if any(kind in o.data for kind in IMAGES)]
    if images and not (cell.figure.get("caption") and cell.alt):
        yield cell.place, "figure", (
            "this cell draws: give it 'figure: {name: fig-x, caption: ...}' and "
            "'image: {alt: ...}' under mystnb."
        )
    if cell.figure and (len(images), len(shown)) != (1, 1):
        yield cell.place, "one-figure", (
            f"a cell with a caption shows one image and nothing else; this one shows "
            f"{len(images)} image(s) among {len(shown)} output(s). Split it."
        )


def _printed(cell: Cell, outputs: list) -> Iterator[Finding]:
    for output in outputs:
        if output.output_type == "stream" and output.name == "stderr":
            first = output.text.strip().splitlines()[0]
            yield cell.place, "stderr", f"the cell warns ({first}); remove the cause."
        text = output.get("data", {}).get("text/plain", "")
        if output.output_type == "execute_result" and OBJECT.search(str(text)):
            yield cell.place, "object", (
                f"the cell shows {str(text)[:40]!r}; end it with plt.show() or a value."
            )
