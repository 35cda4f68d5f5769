"""``course sync``: keep each stored notebook equal to the page it comes from.

A notebook is executed only if its code changed or it has no outputs yet; when just the
text changed, it is written again with the outputs it had.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from .project import CourseError, find_root

TIMEOUT = 600.0


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``course sync`` to the command line."""
    parser = commands.add_parser(
        "sync",
        help="write the notebooks again from their pages, and execute those that changed",
        description="Turn each notebooks/NN_name.md into the plain notebook beside it. "
        "Only notebooks whose code changed are executed. An interrupted run keeps what "
        "it has finished.",
    )
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="pages (default: all)"
    )
    how = parser.add_mutually_exclusive_group()
    how.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if stale"
    )
    how.add_argument("--force", action="store_true", help="execute in any case")
    how.add_argument(
        "--no-execute", action="store_true", help="execute nothing; keep fitting outputs"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        default=float(os.environ.get("COURSE_CELL_TIMEOUT", TIMEOUT)),
        help="what one cell may take (default: COURSE_CELL_TIMEOUT or 600)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Carry out ``course sync``."""
    root = (options.root or find_root()).resolve()
    paths = [find_page(path, root) for path in options.files] or None
    if options.check:
        wrong = problems(root, paths)
        if wrong:
            raise CourseError("the stored notebooks are stale:\n  " + "\n  ".join(wrong))
        print("sync: every stored notebook equals its page.")
        return 0
    how = "force" if options.force else "never" if options.no_execute else "changed"
    changed = sync(root, paths, execute=how, timeout=options.timeout)
    print(f"sync: {len(changed)} file(s) changed.")
    return 0


def find_page(path: Path, root: Path) -> Path:
    """The page that a user means: NN_name, NN_name.md or NN_name.ipynb, here or there."""
    for folder in (Path.cwd(), root / "notebooks"):
        page = (folder / path).with_suffix(".md").resolve()
        if page.is_file() and page.parent == root / "notebooks":
            return page
    raise CourseError(f"{path}: expected a page of {root / 'notebooks'}, found none.")


def sync(
    root: Path,
    paths: list[Path] | None = None,
    *,
    execute: str = "changed",
    timeout: float = TIMEOUT,
    say: Callable[[str], None] | None = None,
) -> list[Path]:
    """Bring stored notebooks and results files up to date.

    Parameters
    ----------
    root : Path
        Folder of the course.
    paths : list of Path, optional
        Pages to look at (default: all).
    execute : {"changed", "force", "never"}
        Which notebooks to execute.
    timeout : float
        Seconds that one cell may take.
    say : callable, optional
        Gets a line for each step (default: it is printed).

    Returns
    -------
    list of Path
        The files that changed.
    """
    from . import executing, notebook, results

    root, say, changed = root.resolve(), say or _progress, []
    for page, fresh in _flattened(root, paths):
        kept = notebook.keep_outputs(fresh, notebook.read(page.stored))
        if execute == "force" or (execute == "changed" and not kept):
            executing.execute(fresh, page.path, timeout=timeout, say=say)
            say(f"{page.stem}: executed in {fresh.metadata['course']['seconds']} s")
        if notebook.write(fresh, page.stored):
            changed.append(page.stored)
        changed += results.update(root)
    return changed


def reflatten(root: Path) -> list[str]:
    """Write all notebooks again without executing; the changed ones, relative to `root`."""
    root = root.resolve()
    changed = sync(root, execute="never")
    return [str(path.relative_to(root)) for path in changed]


def problems(root: Path, paths: list[Path] | None = None) -> list[str]:
    """What is stale, each with the command that mends it; an empty list if nothing is.

    Nothing is executed: cells (type, source, id), the digest of the page and the results
    files are compared.
    """
    from . import notebook, results

    root = root.resolve()
    wrong = []
    for page, fresh in _flattened(root, paths):
        stored = notebook.read(page.stored)
        reason = notebook.differences(fresh, stored) if stored else "it does not exist"
        if reason:
            file = page.path.relative_to(root)
            wrong.append(f"{file.with_suffix('.ipynb')}: {reason}. Run `course sync {file}`.")
    if paths is None:
        wrong += _orphans(root)
        wrong += [
            f"{path.relative_to(root)}: not what the notebooks say. Run `course sync`."
            for path in results.stale(root)
        ]
    return wrong


def _flattened(root: Path, paths: list[Path] | None) -> Iterator[tuple]:
    """Every page asked for, with its notebook freshly built from it."""
    from . import notebook, pages
    from .flatten import Course

    course = Course.load(root, paths)
    for path in paths or pages.notebooks(root):
        page = pages.read(path)
        yield page, notebook.build(page, course)


def _orphans(root: Path) -> list[str]:
    return [
        f"{path.relative_to(root)}: no page of this name. Delete it."
        for path in sorted((root / "notebooks").glob("*.ipynb"))
        if not path.with_suffix(".md").is_file()
    ]


def _progress(line: str) -> None:
    """One line a step; on a terminal, the next step takes the place of the last."""
    if not sys.stdout.isatty():
        print(line, flush=True)
        return
    end = "\n" if ": executed" in line else ""
    print(f"\r\x1b[2K{line[:79]}", end=end, flush=True)
