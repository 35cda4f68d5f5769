"""The `course` command: one subcommand a job, each in the module that does it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The whole command line; every part states what it does in plain words."""
    from ..data import command as data
    from . import claims, lint, repository, skeleton, sync
    from .practicals import command as practicals

    top = argparse.ArgumentParser(
        prog="course",
        description="Keep the course in step: notebooks, data, claims, address.",
    )
    top.add_argument(
        "--root", type=Path, default=None,
        help="folder of the course (default: the one around the current folder)",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in (sync, lint, data, claims, skeleton, practicals, repository):
        module.add_parser(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; errors that a user can mend are printed without a traceback."""
    from ..data import DataError
    from .project import CourseError

    options = parser().parse_args(arguments)
    try:
        return options.run(options) or 0
    except (CourseError, DataError) as error:
        print(f"course: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of a pipe has seen enough
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        print("course: interrupted; what was finished is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
