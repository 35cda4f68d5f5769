"""``course practical``: list, release, check, grade and export the practical sessions."""

from __future__ import annotations

import argparse
import base64
from pathlib import Path

from ..project import CourseError, find_root


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``course practical`` to the command line."""
    parser = commands.add_parser(
        "practical", help="release, prove and grade the practical sessions"
    )
    jobs = parser.add_subparsers(dest="job", required=True, metavar="JOB")
    for add in (_list, _release, _figures, _check, _grade, _export):
        add(jobs)


def _list(jobs) -> None:
    job = jobs.add_parser("list", help="say which sessions there are")
    job.set_defaults(run=run_list)


def _release(jobs) -> None:
    job = jobs.add_parser(
        "release",
        help="write the student version, or another one",
        description="Without options, write practicals/ID/ID.ipynb again, the student "
        "version that the site and Colab offer.",
    )
    job.add_argument("names", nargs="*", metavar="ID", help="sessions (default: all)")
    which = job.add_mutually_exclusive_group()
    which.add_argument("--solution", action="store_true", help="with solutions and model answers")
    which.add_argument(
        "--grading", action="store_true", help="with everything, for the instructor"
    )
    job.add_argument("--out", type=Path, help="folder to write into (needed for the last two)")
    job.set_defaults(run=run_release)


def _figures(jobs) -> None:
    job = jobs.add_parser("figures", help="draw the target figures from the solution")
    job.add_argument("name", metavar="ID")
    job.set_defaults(run=run_figures)


def _check(jobs) -> None:
    job = jobs.add_parser(
        "check",
        help="prove a session: solution, blank file, mutants, leaks",
        description="The solution must have all marks, a blank file none, every planted "
        "wrong answer must lose some, and the student file must be up to date.",
    )
    job.add_argument("names", nargs="*", metavar="ID", help="sessions (default: all)")
    job.set_defaults(run=run_check)


def _grade(jobs) -> None:
    job = jobs.add_parser(
        "grade",
        help="grade a zip or a folder of submissions",
        description="Submissions run fenced in: no network, limits of time and memory, a "
        "folder that is thrown away. A batch that was interrupted goes on where it was; "
        "marks given by hand are kept.",
    )
    job.add_argument("name", metavar="ID", help="the session")
    job.add_argument("path", type=Path, metavar="SUBMISSIONS", help="zip, folder or notebook")
    job.add_argument("--out", type=Path, required=True, help="folder of this batch")
    job.add_argument("--workers", type=int, default=2, help="submissions at once (default 2)")
    job.add_argument("--cell-seconds", type=float, default=10, help="least limit for a cell")
    job.add_argument("--again", action="store_true", help="grade what is graded already too")
    job.add_argument(
        "--no-gradebook", action="store_true", help="without nbgrader: grades, but no pages"
    )
    job.set_defaults(run=run_grade)


def _export(jobs) -> None:
    job = jobs.add_parser(
        "export",
        help="write the lists again, with the marks given by hand; or a Gradescope bundle",
        description="grades.csv, moodle.csv and canvas.csv in the folder of a batch, and "
        "the feedback pages again; with --gradescope, the zip to upload as an autograder.",
    )
    job.add_argument("name", metavar="ID", help="the session")
    job.add_argument("--out", type=Path, required=True, help="folder of the batch")
    job.add_argument(
        "--roster", type=Path, metavar="CSV",
        help="the list that Moodle (grading worksheet) or Canvas (gradebook) gives out; it "
        "is filled in and written beside the others",
    )
    job.add_argument("--gradescope", action="store_true", help="write gradescope_ID.zip instead")
    job.set_defaults(run=run_export)


def run_grade(options: argparse.Namespace) -> int:
    """Grade a batch."""
    from . import grading

    return grading.run(options)


def run_export(options: argparse.Namespace) -> int:
    """Write lists or a bundle."""
    from . import exports

    return exports.run(options)


def masters(options: argparse.Namespace, names: list[str]) -> list:
    """The masters that a user means, read."""
    from . import master

    root = (options.root or find_root()).resolve()
    course = master.load_course(root)
    paths = [path for name in names or [None] for path in master.find(root, name)]
    return [master.read(path, course) for path in paths]


def run_list(options: argparse.Namespace) -> int:
    """One line a session."""
    found = masters(options, [])
    for session in found:
        print(
            f"{session.name:16} {len(session.questions):2} questions, "
            f"{session.points:g} points, {session.minutes} minutes  {session.title}"
        )
    if not found:
        print("no practical sessions yet (practicals/README.md).")
    return 0


def run_release(options: argparse.Namespace) -> int:
    """Write one version of each session."""
    from ..notebook import write_text
    from . import versions

    version = (
        versions.SOLUTION if options.solution
        else versions.GRADING if options.grading else versions.STUDENT
    )
    if version != versions.STUDENT and not options.out:
        raise CourseError(f"--{version} needs --out FOLDER: it does not belong into the course.")
    for session in masters(options, options.names):
        ending = "" if version == versions.STUDENT else f"_{version}"
        path = session.stored
        if options.out:
            path = options.out / f"{session.name}{ending}.ipynb"
        changed = write_text(versions.text(session, version), path)
        print(f"{path}: {'written' if changed else 'up to date'}")
    return 0


def release_again(root: Path) -> list[str]:
    """Write every student file again; the changed ones, relative to `root`."""
    from ..notebook import write_text
    from . import master, versions

    course = master.load_course(root)
    changed = []
    for path in master.find(root):
        session = master.read(path, course)
        if write_text(versions.text(session, versions.STUDENT), session.stored):
            changed.append(str(session.stored.relative_to(root)))
    return changed


def stale(session) -> bool:
    """Whether the stored student file is not what the master says."""
    from . import versions

    wanted = versions.text(session, versions.STUDENT)
    return not session.stored.is_file() or session.stored.read_text("utf-8") != wanted


def run_check(options: argparse.Namespace) -> int:
    """Prove each session; what is wrong is listed."""
    from . import proof

    root = (options.root or find_root()).resolve()
    bad = []
    for session in masters(options, options.names):
        report = proof.prove(session.path, root)
        wrong = report["wrong"]
        if stale(session):
            wrong.append(f"{session.stored.name} is stale: run `course practical release`.")
        print(
            f"{session.name}: {session.points:g} points, solution in {report['seconds']:.1f} s, "
            f"{len(report['mutants'])} mutants: " + ("not sound" if wrong else "proved")
        )
        bad += [f"{session.name}: {line}" for line in wrong]
    if bad:
        raise CourseError("practicals are not sound:\n  " + "\n  ".join(bad))
    return 0


def run_figures(options: argparse.Namespace) -> int:
    """Write each question's target figures: the first ones that its solution draws."""
    from ..blocks import Directive, split
    from ..pages import read as read_page
    from . import master, proof

    root = (options.root or find_root()).resolve()
    (path,) = master.find(root, options.name)
    wanted, now = {}, ""
    for cell in read_page(path).cells:
        for block in split(cell.source, cell.place) if cell.kind == "markdown" else []:
            if isinstance(block, Directive) and block.name == "question":
                now = block.argument
            if isinstance(block, Directive) and block.name == "target":
                wanted.setdefault(now, []).append(path.parent / block.argument)
                wanted[now][-1].parent.mkdir(exist_ok=True)
                wanted[now][-1].touch()
    drawn = proof.figures(master.read(path, master.load_course(root)))
    for question, files in wanted.items():
        pictures = drawn.get(question, [])
        if len(pictures) < len(files):
            raise CourseError(
                f"{path}: {question} has {len(files)} targets, but its solution draws "
                f"{len(pictures)} figures."
            )
        for file, picture in zip(files, pictures):
            file.write_bytes(base64.b64decode(picture))
            print(file)
    return 0
