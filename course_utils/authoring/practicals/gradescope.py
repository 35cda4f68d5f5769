"""Gradescope: a zip to upload as an autograder, and the results file that it writes.

Gradescope runs `setup.sh` once and `run_autograder` for each submission, in a container of
its own. The bundle holds the code of the course and one session, so it needs no address.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from pathlib import Path

from ..project import CourseError
from . import grading, master, records, running, session, submissions
from .master import Master

SETUP = """\
#!/usr/bin/env bash
set -euo pipefail
cd /autograder/source
apt-get update -q && apt-get install -q -y python3 python3-venv
python3 -m venv /autograder/venv
/autograder/venv/bin/pip install -q -e '.[notebooks,site]'
"""
RUN = """\
#!/usr/bin/env bash
# AUTOGRADER and PYTHON are for trying this out elsewhere.
set -euo pipefail
base="${AUTOGRADER:-/autograder}"
cd "$base/source"
"${PYTHON:-/autograder/venv/bin/python}" -m course_utils.authoring.practicals.gradescope \\
  NAME --base "$base"
"""
STAMP = (2000, 1, 1, 0, 0, 0)
FILES = ("pyproject.toml", "README.md", "LICENSE", "_toc.yml", "book/syllabus.yml",
         "book/glossary.md", "book/references.bib")


def bundle(read: Master, root: Path, out: Path) -> Path:
    """Write ``gradescope_NAME.zip``; the same bytes for the same session."""
    files = {"setup.sh": SETUP, "run_autograder": RUN.replace("NAME", read.name)}
    for name in FILES:
        if (root / name).is_file():
            files[name] = (root / name).read_text(encoding="utf-8")
    for path in sorted((root / "course_utils").rglob("*.py")):
        files[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    for path in sorted((root / "notebooks").glob("*.md")):
        files[path.relative_to(root).as_posix()] = path.read_text(encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"gradescope_{read.name}.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            _put(archive, name, text.encode(), executable=name in ("setup.sh", "run_autograder"))
        for path in sorted(read.path.parent.rglob("*")):
            inside = path.relative_to(read.path.parent)
            if path.is_file() and (path.suffix == ".png" or path.name == "master.md"):
                _put(archive, f"practicals/{read.name}/{inside.as_posix()}", path.read_bytes())
    return target


def _put(archive: zipfile.ZipFile, name: str, data: bytes, *, executable: bool = False) -> None:
    info = zipfile.ZipInfo(name, STAMP)
    info.external_attr = (0o755 if executable else 0o644) << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(info, data)


def results(read: Master, record: records.Record) -> dict:
    """Gradescope's results.json for one record."""
    if record.status != records.GRADED:
        return {"output": f"{record.status}: {'; '.join(record.attention)}. A person will look "
                          "at it.", "tests": []}
    tests = []
    for question in read.questions:
        for part in read.of(question.name, "check", "marked", "written"):
            waits = part.name in record.waiting
            tests.append({
                "name": f"{question.label}: {question.title} ({part.name})",
                "score": record.cells.get(part.name, 0.0),
                "max_score": part.points,
                "output": "marked by a person" if waits else
                record.reasons.get(part.name, "passed"),
                "visibility": "visible",
            })
    return {
        "tests": tests, "output": "; ".join(record.attention),
        "execution_time": record.seconds, "stdout_visibility": "hidden",
    }


def main(arguments: list[str] | None = None) -> int:
    """Grade the one submission below `base`, write its results.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("--base", type=Path, required=True)
    options = parser.parse_args(arguments)
    target = options.base / "results" / "results.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    root = Path.cwd()
    (path,) = master.find(root, options.name)
    read = master.read(path, master.load_course(root))
    handed = options.base / "submission"
    try:
        batch = grading.prepare(read, root, options.base / "work", 10.0, handed)
        files = [f for f in submissions._folder(handed)]
        student = submissions._chosen(submissions.Submission("student", "student"), files,
                                      read.name)
        server = session.Server(batch.modules)
        runner = running.Runner(server, batch.limits, batch.surroundings)
        record = grading.one(batch, student, runner, None)
        server.close()
        told = results(read, record)
    except CourseError as error:
        told = {"output": f"The autograder failed, this is not your fault: {error}", "tests": []}
    target.write_text(json.dumps(told, indent=2, ensure_ascii=False), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
