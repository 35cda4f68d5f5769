"""``course practical grade``: a folder of submissions in, grades and feedback out.

The solution is run first, under the same limits: if it has not all marks here, nothing is
graded. Then two workers take one submission after the other. A submission is done when its
record is written, after everything else: a batch that was killed goes on where it was.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path

import nbformat

from ..notebook import write_text
from ..project import CourseError, find_root
from . import executed, gradebook, master, matching, mutants, records, session, submissions
from . import running as runs
from . import versions
from .master import Master
from .records import Record
from .submissions import Submission


@dataclass
class Batch:
    """Everything that the workers share."""

    master: Master
    digest: str
    out: Path
    limits: runs.Limits
    surroundings: dict
    modules: list[str]


def run(options: argparse.Namespace) -> int:
    """Grade what is not graded yet, then write the lists and the report."""
    from . import exports

    root = (options.root or find_root()).resolve()
    (path,) = master.find(root, options.name)
    read = master.read(path, master.load_course(root))
    python = None if options.no_gradebook else gradebook.python(root)
    found = submissions.collect(options.path, read.name)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        book = gradebook.Gradebook(python, out, read.name) if python else None
        try:
            batch = prepare(read, root, out, options.cell_seconds, options.path)
            done = {} if options.again else finished(batch, found)
            left = [student for student in found if student.key not in done]
            print(f"{read.name}: {len(found)} submissions, {len(done)} done already.")
            grade(batch, left, workers=options.workers, book=book)
            exports.write_all(read, out, book)
        finally:
            if book:
                book.close()
    wrong = [r for r in records.read(out).values() if r.status != records.GRADED]
    print(f"Grades: {out / 'grades.csv'}; what to look at: {out / 'report.md'}.")
    if wrong:
        print(f"{len(wrong)} submissions have no grade: a person must look at them.")
    return 0


def _alone(out: Path):
    """Hold the folder of the batch: two runs at once would repeat grades."""
    import filelock

    lock = filelock.FileLock(out / ".lock")
    try:
        return lock.acquire(timeout=0)
    except filelock.Timeout as error:
        raise CourseError(f"{out}: another run is grading into this folder.") from error


def finished(batch: Batch, found: list[Submission]) -> dict[str, Record]:
    """The records that stand: same file, same master."""
    digests = {student.key: student.digest for student in found}
    return {
        key: record
        for key, record in records.read(batch.out).items()
        if digests.get(key) == record.digest and record.master == batch.digest
        and record.status != records.FAILED
    }


def prepare(read: Master, root: Path, out: Path, cell: float, handed: Path) -> Batch:
    """Run the solution as if it were a submission, and set the limits by it.

    Raises
    ------
    CourseError
        If the solution has not all marks on this machine.
    """
    around = session.surroundings(root / "practicals", root / ".git", root / "tests", out,
                                  read.path.parent, handed if handed.is_dir() else out)
    around["scratch"].append(str(root))
    limits = runs.Limits(cell, max(60.0, 10 * read.settings.seconds), read.settings.memory)
    batch = Batch(read, master.digest(read.path), out, limits, around, _modules(read))
    spent, wrong = _rehearse(batch)
    if wrong:
        _fetch(read)
        spent, wrong = _rehearse(batch)
    if wrong:
        raise CourseError(
            "the solution itself fails on this machine, so nothing was graded:\n  "
            + "\n  ".join(wrong)
        )
    batch.limits = limits.scaled(spent)
    for version, folder in ((versions.GRADING, "source"), (versions.STUDENT, "release")):
        write_text(versions.text(read, version), out / folder / read.name / f"{read.name}.ipynb")
    return batch


def solution_steps(read: Master) -> list[matching.Step]:
    """The solution as the steps of a submission."""
    return [
        matching.Step(part, part.kind, versions.source_of(read, part, versions.GRADING), True)
        for part in read.parts
        if part.kind in ("given", "answer", "marked", "check")
    ]


def _rehearse(batch: Batch) -> tuple[dict[str, float], list[str]]:
    """Run the solution within the fence: seconds of each cell, and what failed."""
    server, steps = session.Server(batch.modules), solution_steps(batch.master)
    try:
        outcomes = runs.Runner(server, batch.limits, batch.surroundings).run(steps)
    finally:
        server.close()
    pairs = [(step.part.name, outcome) for step, outcome in zip(steps, outcomes) if outcome]
    wrong = [
        f"{name}: {runs.reason(outcome, batch.limits)}"
        for name, outcome in pairs
        if outcome.status != "ok"
    ]
    return {name: outcome.seconds for name, outcome in pairs}, wrong


def _fetch(read: Master) -> None:
    """Run the solution without the fence, so that its data come into the cache."""
    sources = [step.source for step in solution_steps(read)]
    code = (
        "import json, sys\nfrom course_utils.authoring.practicals import shell\n"
        "run = shell.start().run\nfor source in json.load(sys.stdin): run(source)"
    )
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-c", code], input=json.dumps(sources), text=True, cwd=folder,
            capture_output=True, env=os.environ | session.FIXED,
        )


def _modules(read: Master) -> list[str]:
    """What the session imports: the header's modules, and the imports of given cells."""
    found = list(read.settings.modules)
    for part in read.parts:
        if part.kind == "given":
            for node in ast.walk(ast.parse(part.source)):
                if isinstance(node, ast.Import):
                    found += [name.name for name in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    found.append(node.module)
                    found += [f"{node.module}.{name.name}" for name in node.names]
    return [name for name in dict.fromkeys(found) if "google" not in name]


# ---- the workers -----------------------------------------------------------------------


def grade(batch: Batch, left: list[Submission], *, workers: int, book) -> None:
    """Grade these submissions, several at once, behind one progress bar."""
    from tqdm import tqdm

    waiting: queue.Queue = queue.Queue()
    for student in left:
        waiting.put(student)
    problems: list[BaseException] = []
    bar = tqdm(total=len(left), desc=batch.master.name, unit="submission", disable=not left)
    if book:
        gradebook.configure(batch.out)
        source = batch.out / "source" / batch.master.name / f"{batch.master.name}.ipynb"
        book.ask("open", source=str(source))
    threads = [
        threading.Thread(target=_work, args=(batch, waiting, book, slot, bar, problems))
        for slot in range(min(workers, len(left)))
    ]
    for thread in threads:
        thread.daemon = True
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(0.2)
    bar.close()
    if problems:
        raise problems[0]


def _work(batch: Batch, waiting: queue.Queue, book, slot: int, bar, problems: list) -> None:
    """One worker: its own server of processes."""
    server = None
    try:
        server = session.Server(batch.modules)
        while not problems:
            try:
                student = waiting.get_nowait()
            except queue.Empty:
                return
            one(batch, student, runs.Runner(server, batch.limits, batch.surroundings, slot), book)
            bar.update()
    except BaseException as error:
        problems.append(error)
    finally:
        if server:
            server.close()


def one(batch: Batch, student: Submission, runner: runs.Runner, book) -> Record:
    """Grade one submission, whatever it is; its record is written last."""
    try:
        record = _graded(batch, student, runner, book)
    except CourseError:
        raise
    except Exception as error:  # our mistake, not the student's: no grade, and a word why
        record = _record(batch, student)
        record.status = records.FAILED
        record.attention.append(f"the grader failed ({type(error).__name__}: {error})")
    record.write(batch.out)
    return record


def _record(batch: Batch, student: Submission) -> Record:
    return Record(
        student.key, student.name, student.file, student.digest, batch.digest,
        moodle=student.moodle, canvas=student.canvas, attention=list(student.remarks),
    )


def _graded(batch: Batch, student: Submission, runner: runs.Runner, book) -> Record:
    record = _record(batch, student)
    notebook, problem = submissions.parse(student.data) if student.data is not None else (
        {}, student.problem)
    if problem:
        record.status = records.UNREADABLE
        record.attention.append(problem)
        return record
    rebuilt = matching.rebuild(batch.master, notebook)
    if not rebuilt.recognised:
        record.status = records.OTHER
        record.attention.append(f"no cell of {batch.master.name} is in it")
        return record
    outcomes = runner.run(rebuilt.steps)
    executed.score(record, batch.master, rebuilt, outcomes, runner)
    made = executed.notebook(batch.master, rebuilt, outcomes, record)
    place = Path(batch.master.name) / f"{batch.master.name}.ipynb"
    full = batch.out / "autograded" / student.key / place
    shown = batch.out / "shown" / student.key / place
    handed = batch.out / "submitted" / student.key / place
    handed.parent.mkdir(parents=True, exist_ok=True)
    handed.write_bytes(student.data)
    write_text(nbformat.writes(made, version=4) + "\n", full)
    public = executed.public(batch.master, made, record)
    write_text(nbformat.writes(public, version=4) + "\n", shown)
    if book:
        book.ask("record", student=student.key, notebook=str(full), about=_about(student))
        page = batch.out / "feedback" / student.key / place.with_suffix(".html")
        book.ask("feedback", student=student.key, notebook=str(shown), page=str(page))
    return record


def _about(student: Submission) -> dict:
    first, _, last = student.name.rpartition(" ")
    return {"first_name": first, "last_name": last,
            "lms_user_id": student.moodle or student.canvas}
