"""Our side of nbgrader: a process of .venv-grading that keeps the books."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from pathlib import Path

from ..project import CourseError

SCRIPT = Path(__file__).with_name("bridge.py")
CONFIG = '''\
# Written by `course practical grade`. In this folder, `nbgrader` finds everything in its
# place: `.venv-grading/bin/jupyter notebook` offers Formgrader for marking by hand.
c = get_config()
c.CourseDirectory.root = {folder!r}
c.CourseDirectory.db_url = "sqlite:///" + {folder!r} + "/gradebook.db"
'''


def python(root: Path) -> Path:
    """The Python of the grading environment.

    Raises
    ------
    CourseError
        If there is none: `make grading` makes it.
    """
    named = os.environ.get("COURSE_GRADING_PYTHON")
    found = Path(named) if named else root / ".venv-grading" / "bin" / "python"
    if not found.is_file():
        raise CourseError(
            f"expected the grading environment at {found}, found none. Run `make grading`, "
            "or give --no-gradebook: then there are grades, but no gradebook and no pages."
        )
    return found


class Gradebook:
    """One process of nbgrader; it loads while we do other things."""

    def __init__(self, python: Path, folder: Path, assignment: str) -> None:
        self.lock = threading.Lock()
        self.process = subprocess.Popen(
            [str(python), str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, cwd=folder, env=_with_programs(python),
        )
        self.first = {"job": "begin", "folder": str(folder), "assignment": assignment}

    def ask(self, job: str, **request) -> dict:
        """Send one request and wait for its answer; workers take turns."""
        with self.lock:
            if self.first:
                begin, self.first = self.first, {}
                self._line(begin)
            line = self._line({"job": job} | request)
        if not line:
            raise CourseError("nbgrader's process has ended. Run `make grading` again?")
        answer = json.loads(line)
        if "error" in answer:
            raise CourseError(f"nbgrader, {job}: {answer['error']}")
        return answer

    def _line(self, request: dict) -> str:
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            return self.process.stdout.readline()
        except (OSError, ValueError):
            return ""

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(10)
        self.process.stdout.close()


def _with_programs(python: Path) -> dict[str, str]:
    """The environment in which nbgrader finds its own programs (alembic)."""
    return os.environ | {"PATH": f"{python.parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def configure(folder: Path) -> None:
    """Write nbgrader's configuration into the folder of a batch."""
    text = CONFIG.format(folder=str(folder.resolve()))
    (folder / "nbgrader_config.py").write_text(text, encoding="utf-8")
