"""Submissions for tests/tinypractical: right, wrong, broken and hostile ones."""

import copy
import json
from pathlib import Path

from course_utils.authoring.practicals import master, versions
from course_utils.authoring.project import find_root

ROOT = find_root(Path(__file__))
TINY = Path(__file__).parent / "tinypractical" / "master.md"
MEAN = "def mean(x):\n    return float(np.sum(x)) / len(x)\n"
CENTRED = "def centred(x):\n    return x - np.mean(x)\n"


def tiny():
    """The small practical, read."""
    return master.read(TINY, master.load_course(ROOT))


def cell(notebook, identity):
    """The cell of a notebook with this id."""
    return next(cell for cell in notebook["cells"] if cell.get("id") == identity)


def right(released):
    """A submission with all marks of the checks, from the student file's text."""
    notebook = json.loads(released)
    cell(notebook, "q1-answer1")["source"] = f"# Question 1, your answer 1\n{MEAN}"
    cell(notebook, "q2-answer1")["source"] = f"# Question 2, your answer 1\n{CENTRED}"
    cell(notebook, "q3-written1")["source"] = "**Question 3, your text 1**\n\nIt follows it."
    return notebook


def with_mean(notebook, source):
    """The same submission with another answer to question 1."""
    changed = copy.deepcopy(notebook)
    cell(changed, "q1-answer1")["source"] = source
    return changed


def added(notebook, source, after="given1"):
    """The same submission with one more code cell."""
    changed = copy.deepcopy(notebook)
    index = changed["cells"].index(cell(changed, after))
    changed["cells"].insert(index + 1, code(source))
    return changed


def code(source, **metadata):
    """A code cell."""
    return {"cell_type": "code", "source": source, "metadata": metadata, "outputs": [],
            "execution_count": None, "id": f"x{abs(hash(source)) % 10**6}"}


def student_file():
    """The text of the small practical's student version."""
    return versions.text(tiny(), versions.STUDENT)
