"""Time the grading of a hundred submissions of a torch practical.

    python benchmarks/grading.py [--practical p3_bptt] [--submissions 100] [--store]

Three in five submissions are the solution, the others mix blank files, planted wrong answers
and, one in twenty, an endless loop. What is timed is the command that an instructor runs,
with nbgrader's gradebook and a feedback page for each: the solution's rehearsal, two workers,
all lists. The target is five minutes on two cores. ``--store`` writes the figures to
``benchmarks/results/grading.json``. Nothing here fails on a slow machine: measure on a quiet
one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from course_utils.authoring import cli
from course_utils.authoring.practicals import master, mutants, versions
from course_utils.authoring.project import find_root

RESULTS = Path(__file__).parent / "results" / "grading.json"
TARGET = 300  # seconds
LOOP = "while True:\n    pass"


def submissions(read: master.Master, count: int) -> list[tuple[str, str]]:
    """(kind, text of the notebook) of each submission; the same ones every time."""
    planted = mutants.read(read)
    right = filled(read)
    found = []
    for number in range(count):
        if number % 20 == 19:
            kind, made = "endless loop", filled(read, loop=True)
        elif number % 5 < 3:
            kind, made = "solution", right
        elif number % 5 == 3:
            kind, made = "wrong answer", filled(read, planted[number % len(planted)])
        else:
            kind, made = "blank", versions.build(read, versions.STUDENT)
        found.append((kind, json.dumps(made)))
    return found


def filled(read: master.Master, mutant: mutants.Mutant | None = None, loop: bool = False):
    """The student file with answers: the right ones, or one of them replaced."""
    made = versions.build(read, versions.STUDENT)
    parts = {part.name: part for part in read.parts if part.name}
    looped = next(part.name for part in read.parts if part.kind == "answer")
    for cell in made.cells:
        name = cell.id.replace("-", "_")
        if name in parts and parts[name].kind in ("answer", "marked", "written"):
            cell.source = versions.source_of(read, parts[name], versions.SOLUTION)
            if mutant and mutant.part.name == name:
                cell.source = mutant.source
            if loop and name == looped:
                cell.source = LOOP
    return made


def machine() -> dict:
    """What matters for the figure, and nothing that names the machine."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = [r.split(":")[1] for r in text.splitlines() if r.startswith("model name")]
    return {
        "processor": (model[0] if model else platform.machine()).strip(),
        "cores": os.cpu_count(), "python": platform.python_version(),
    }


def measure(read: master.Master, root: Path, count: int) -> dict:
    """Seconds that `course practical grade` takes, on the clock and of processors."""
    with tempfile.TemporaryDirectory() as folder:
        handed, out = Path(folder) / "in", Path(folder) / "out"
        handed.mkdir()
        kinds: dict[str, int] = {}
        for number, (kind, text) in enumerate(submissions(read, count)):
            kinds[kind] = kinds.get(kind, 0) + 1
            (handed / f"student{number:03}.ipynb").write_text(text, encoding="utf-8")
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        code = cli.main(["--root", str(root), "practical", "grade", str(read.path.parent),
                         str(handed), "--out", str(out)])
        seconds = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        rows = list(csv.DictReader(open(out / "grades.csv", encoding="utf-8")))
        assert code == 0 and len(rows) == count
        pages = len(list(out.glob("feedback/*/*/*.html")))
        assert pages == count, f"{pages} feedback pages for {count} submissions"
        solved = [row for number, row in enumerate(rows) if number % 5 < 3 and number % 20 != 19]
        full = {row["total"] for row in solved}
        assert len(full) == 1, f"the solution got different totals: {full}"
    return {
        "practical": read.name, "submissions": count, "kinds": kinds, "workers": 2,
        "seconds": round(seconds, 1), "seconds_each": round(seconds / count, 2),
        "user_seconds_of_children": round(after.ru_utime - before.ru_utime, 1),
        "total_of_the_solution": full.pop(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--practical", default="p3_bptt")
    parser.add_argument("--submissions", type=int, default=100)
    parser.add_argument("--store", action="store_true")
    options = parser.parse_args()
    root = find_root(Path(__file__))
    (path,) = master.find(root, options.practical)
    read = master.read(path, master.load_course(root))
    results = {"machine": machine()} | measure(read, root, options.submissions)
    verdict = "met" if results["seconds"] <= TARGET else "NOT met"
    print(f"{results['machine']}\n{results['submissions']} submissions of {read.name}: "
          f"{results['seconds']:.0f} s with two workers (target {TARGET} s for 100: {verdict})")
    if options.store:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
