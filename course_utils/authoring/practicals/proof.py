"""Prove a master: the solution has all marks, a blank file none, every mutant loses some.

The solution is executed once. Before each answer cell the process is copied (`fork`), and a
copy goes on with each wrong answer, up to the checks of that question: what a mutant costs
is its own question.

    python -m course_utils.authoring.practicals.proof FOLDER_OF_A_PRACTICAL

writes the findings as JSON; `prove` does this in a clean process.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ..project import CourseError, find_root
from . import mutants, regions, versions
from .master import Master, Part, load_course, read

PATIENCE = 60  # seconds that one mutant may take
SHORT = 8  # a line with fewer signs says nothing


def prove(path: Path, root: Path) -> dict:
    """Run the proof of one master in a process of its own.

    Returns
    -------
    dict
        ``wrong`` (a list of sentences, empty if all is well), ``solution``, ``blank`` and
        ``mutants`` (name, points lost), ``seconds`` of the solution's run.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [sys.executable, "-m", __name__, str(path.parent), "--root", str(root)]
        done = subprocess.run(
            [*command, "--out", str(report)], cwd=folder, capture_output=True, text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        if not report.is_file():
            tail = (done.stderr or done.stdout).strip()[-2000:]
            raise CourseError(f"{path}: the proof could not be run.\n{tail}")
        return json.loads(report.read_text(encoding="utf-8"))


class Run:
    """One pass over the cells of a session in this process."""

    def __init__(self, master: Master) -> None:
        from .shell import start

        self.master = master
        self.shell = start()
        self.failures: dict[str, tuple[str, str]] = {}
        self.seconds: dict[str, float] = {}
        self.figures: dict[str, list[str]] = {}

    def cell(self, part: Part, version: str, source: str | None = None) -> None:
        """Execute one part (or `source` in its place) and note how it went."""
        source = source or versions.source_of(self.master, part, version)
        began = time.perf_counter()
        success, outputs = self.shell.run(source)
        self.seconds[part.name] = round(time.perf_counter() - began, 3)
        errors = [out for out in outputs if out["output_type"] == "error"]
        if not success:
            last = errors[-1] if errors else {"ename": "Error", "evalue": ""}
            self.failures[part.name] = last["ename"], last["evalue"]
        pictures = [
            out["data"]["image/png"] for out in outputs if "image/png" in out.get("data", {})
        ]
        self.figures.setdefault(part.question, []).extend(pictures)


def runnable(master: Master) -> list[Part]:
    """The code that a grading run executes, in order."""
    return [part for part in master.parts if part.kind in ("given", "answer", "marked", "check")]


def solution(master: Master, planted: list[mutants.Mutant]) -> dict:
    """Run the solution with hidden checks, and each mutant on the way."""
    run, found = Run(master), {}
    began = time.perf_counter()
    spent = 0.0
    for part in runnable(master):
        here = [mutant for mutant in planted if mutant.part == part]
        aside = time.perf_counter()
        for mutant in here:
            found[f"{mutant.question}: {mutant.name}"] = _lost(run, mutant)
        spent += time.perf_counter() - aside
        run.cell(part, versions.GRADING)
    return {
        "failures": run.failures,
        "mutants": found,
        "seconds": round(time.perf_counter() - began - spent, 2),
        "cells": run.seconds,
    }


def _lost(run: Run, mutant: mutants.Mutant) -> float:
    """Points that a mutant loses in its question, found out in a copy of this process."""
    rest = runnable(run.master)
    rest = rest[rest.index(mutant.part) + 1 :]
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(PATIENCE)
        lost = 0.0
        run.cell(mutant.part, versions.GRADING, mutant.source)
        for part in [part for part in rest if part.question == mutant.question]:
            run.cell(part, versions.GRADING)
            lost += part.points * (part.kind == "check" and part.name in run.failures)
        os.write(writing, json.dumps(lost).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    checks = run.master.of(mutant.question, "check")
    return json.loads(told) if told else sum(part.points for part in checks)


def blank(master: Master) -> dict:
    """Run the file as a student gets it, with the hidden checks."""
    run = Run(master)
    for part in runnable(master):
        given = part.kind in ("given", "check")
        run.cell(part, versions.GRADING if given else versions.STUDENT)
    return {"failures": run.failures}


def figures(master: Master) -> dict[str, list[str]]:
    """The figures that each question's solution draws (PNG in base64), experiments too."""
    run = Run(master)
    for part in master.parts:
        if part.kind in ("given", "answer", "marked", "check", "experiment"):
            run.cell(part, versions.GRADING)
            if part.name in run.failures:
                kind, said = run.failures[part.name]
                raise CourseError(f"{master.path}: {part.name} fails: {kind}: {said}")
    return run.figures


# ---- what the findings mean --------------------------------------------------------------


def verdict(master: Master, right: dict, empty: dict) -> list[str]:
    """What is wrong with a session, one sentence each."""
    wrong = [
        f"the solution fails in {name}: {kind}: {said}"
        for name, (kind, said) in right["failures"].items()
    ]
    defined = _names(master)
    for part in runnable(master):
        kind, said = empty["failures"].get(part.name, ("", ""))
        if part.kind == "check":
            if not kind:
                wrong.append(f"{part.name}: a blank file passes it.")
            elif not _excused(kind, said, defined):
                wrong.append(f"{part.name}: a blank file fails for another reason: {kind}: {said}")
        elif part.kind == "given" and kind and not _excused(kind, said, defined):
            wrong.append(f"{part.name}: fails in a blank file: {kind}: {said}")
    wrong += [
        f"mutant '{name}' loses no mark." for name, lost in right["mutants"].items() if not lost
    ]
    return wrong + leaks(master)


def _excused(kind: str, said: str, defined: set[str]) -> bool:
    """A stub's own error, or a name that only an answer would have defined."""
    if kind == "NotImplementedError":
        return bool(re.match(r"Question \d+: .*still to be written\.$", said))
    name = re.match(r"name '(\w+)' is not defined", said)
    return kind == "NameError" and bool(name) and name[1] in defined


def _names(master: Master) -> set[str]:
    """Every name that an answer cell defines at its top level."""
    found = set()
    for part in master.parts:
        if part.kind in ("answer", "marked"):
            for node in ast.walk(ast.parse(part.source)):
                if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                    found.add(node.name)
                elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found.add(node.id)
    return found


def leaks(master: Master, text: str | None = None) -> list[str]:
    """Lines of a solution or hidden check that stand in the student file.

    Lines that the author shows elsewhere in a code cell would prove nothing; the format
    forbids them, so they are findings too.
    """
    text = versions.text(master, versions.STUDENT) if text is None else text
    plain = "\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"])
    secret = []
    for part in master.parts:
        if part.kind in ("answer", "marked", "check"):
            kept = regions.inside(part.source, part.place, "solution", "hidden tests")
            secret += [(part.name, line.strip()) for line in kept]
        elif part.kind in ("written", "rubric", "common-errors"):
            secret += [(part.name or part.question, line.strip())
                       for line in part.source.split("\n")]
    return [
        f"{name}: the student file holds {line!r}."
        for name, line in secret
        if len(line) >= SHORT and line in plain
    ]


def main(arguments: list[str] | None = None) -> None:
    """Prove one master and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--root", type=Path, default=None)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    master = read(options.folder / "master.md", load_course(options.root or find_root()))
    planted = mutants.read(master)
    report = _copied(lambda: blank(master)), solution(master, planted)
    empty, right = report
    result = {
        "name": master.name, "points": master.points,
        "wrong": verdict(master, right, empty), "solution": right["failures"],
        "blank": empty["failures"], "mutants": right["mutants"],
        "seconds": right["seconds"], "cells": right["cells"],
    }
    options.out.write_text(json.dumps(result, indent=2), encoding="utf-8")


def _copied(work) -> dict:
    """What `work` returns, computed in a copy of this process."""
    with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
        child = os.fork()
        if child == 0:
            Path(file.name).write_text(json.dumps(work()), encoding="utf-8")
            os._exit(0)
        os.waitpid(child, 0)
        told = Path(file.name).read_text(encoding="utf-8")
    if not told:
        raise CourseError("the run of the blank file ended without a result.")
    return json.loads(told)


if __name__ == "__main__":
    main()
