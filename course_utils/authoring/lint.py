"""``course lint``: the authoring rules of CONTRIBUTING.md, checked on pages and outputs.

Each finding names file and line, the rule, and what to do. `lint_prose` and `lint_code`
hold the rules; this module collects what they find.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from .project import CourseError, find_root


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``course lint`` to the command line."""
    parser = commands.add_parser(
        "lint",
        help="check the pages against the rules for authors",
        description="Headings, length of lines and cells, captions, alternative texts, "
        "and what else CONTRIBUTING.md asks of a page.",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="pages (default: all)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carry out ``course lint``."""
    from .sync import find_page

    root = (options.root or find_root()).resolve()
    found = lint(root, [find_page(path, root) for path in options.files] or None)
    if found:
        raise CourseError("the pages break rules for authors:\n  " + "\n  ".join(found))
    print("lint: nothing to mend.")
    return 0


def lint(root: Path, paths: list[Path] | None = None) -> list[str]:
    """What the pages do not do right, one line each; an empty list if all is well.

    Parameters
    ----------
    root : Path
        Folder of the course.
    paths : list of Path, optional
        Pages to look at (default: all, and their order in `_toc.yml`).
    """
    from . import numbering, pages

    root = root.resolve()
    found = []
    if paths is None:
        try:
            numbering.check_order(root)
        except CourseError as error:
            found.append(str(error))
    for path in paths or pages.notebooks(root):
        found += _page(pages.read(path), root)
    return found


def _page(page, root: Path) -> Iterator[str]:
    from . import lint_code, lint_outputs, lint_prose

    try:
        for rules in (lint_prose, lint_code, lint_outputs):
            for place, rule, advice in rules.findings(page):
                file = place.path.relative_to(root)
                yield f"{file}, line {place.line} [{rule}]: {advice}"
    except CourseError as error:
        yield str(error)
