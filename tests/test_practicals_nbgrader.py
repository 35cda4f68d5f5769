"""nbgrader as the twin: its own code makes the same student file, and keeps the books.

These tests run nbgrader in .venv-grading (`make grading`); `make test` makes it first.
"""

import csv
import json
import subprocess

import nbformat
import pytest
from practicalfakes import ROOT, TINY, cell, right, with_mean

from course_utils.authoring import cli
from course_utils.authoring.practicals import gradebook, master, versions
from course_utils.authoring.practicals.master import find

COURSE = master.load_course(ROOT)
EVERY = [*find(ROOT), TINY]
try:
    PYTHON = gradebook.python(ROOT)
except Exception as missing:
    pytest.skip(str(missing), allow_module_level=True)

TWIN = """
import json, sys
import nbformat
from nbgrader.preprocessors import (
    CheckCellMetadata, ClearHiddenTests, ClearMarkScheme, ClearSolutions, ComputeChecksums,
    LockCells)
made = {}
for name, text in json.load(sys.stdin).items():
    notebook = nbformat.reads(text, 4)
    for step in (ClearSolutions, LockCells, ClearHiddenTests, ClearMarkScheme,
                 CheckCellMetadata, ComputeChecksums):
        notebook, _ = step().preprocess(notebook, {"nbgrader": {}})
    made[name] = [[c.id, c.cell_type, c.source, c.metadata] for c in notebook.cells]
own = {}
for name, text in json.load(open(sys.argv[1])).items():
    notebook, _ = ComputeChecksums().preprocess(nbformat.reads(text, 4), {"nbgrader": {}})
    own[name] = {c.id: c.metadata.nbgrader.checksum for c in notebook.cells
                 if "nbgrader" in c.metadata and "checksum" in c.metadata.nbgrader}
print(json.dumps([made, own]))
"""


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """What nbgrader makes of every grading version, and its checksums of student files."""
    read = [master.read(path, COURSE) for path in EVERY]
    texts = {m.name: versions.text(m, versions.GRADING) for m in read}
    students = tmp_path_factory.mktemp("twin") / "students.json"
    students.write_text(json.dumps({m.name: versions.text(m, versions.STUDENT) for m in read}))
    told = subprocess.run(
        [str(PYTHON), "-c", TWIN, str(students)], input=json.dumps(texts), text=True,
        capture_output=True,
    )
    assert told.returncode == 0, told.stderr[-2000:]
    made, own = json.loads(told.stdout)
    return read, made, own


def test_nbgrader_makes_the_same_student_cells_but_for_the_texts_of_stubs(twins):
    read, made, _ = twins
    for session in read:
        ours = {c.id: c for c in versions.build(session, versions.STUDENT).cells}
        compared = 0
        for identity, kind, source, metadata in made[session.name]:
            if identity not in ours or "nbgrader" not in metadata:
                continue
            mine, data = ours[identity], dict(metadata["nbgrader"])
            if not data["solution"]:
                assert " ".join(source.split()) == " ".join(mine.source.split()), identity
                compared += 1
            for key in ("grade", "locked", "solution", "grade_id", "points"):
                assert data.get(key) == mine.metadata["nbgrader"].get(key), identity
            for key in ("deletable", "editable"):
                assert metadata.get(key) == mine.metadata.get(key), f"{identity}, {key}"
        assert compared >= len(session.questions)


def test_checksums_are_nbgraders(twins):
    read, _, own = twins
    for session in read:
        ours = {
            c.id: c.metadata["nbgrader"]["checksum"]
            for c in versions.build(session, versions.STUDENT).cells
            if "nbgrader" in c.metadata
        }
        assert ours == own[session.name]


# ---- books and pages ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch(tmp_path_factory):
    """Three submissions, graded with the gradebook."""
    folder, out = tmp_path_factory.mktemp("in"), tmp_path_factory.mktemp("out")
    released = (TINY.parent / "tinypractical.ipynb").read_text()
    good = right(released)
    nasty = with_mean(
        good, "def mean(x):\n    raise ValueError('<script>alert(1)</script> | $x$')\n")
    cell(nasty, "q3-written1")["source"] = "<img src=x onerror=alert(2)> my answer"
    nasty["cells"].append({
        "cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None,
        "id": "html", "source": "from IPython.display import HTML\nHTML('<script>3</script>')"})
    for name, text in (("ann", json.dumps(good)), ("bob", released), ("cy", json.dumps(nasty)),
                       ("dan", "{")):
        (folder / f"{name}.ipynb").write_text(text)
    grade(folder, out)
    return folder, out


def grade(folder, out, *more):
    assert cli.main(["--root", str(ROOT), "practical", "grade", str(TINY.parent), str(folder),
                     "--out", str(out), *more]) == 0


def page(out, key):
    return (out / "feedback" / key / "tinypractical" / "tinypractical.html").read_text()


def totals(out):
    return {row["student"]: (row["total"], row["waiting"])
            for row in csv.DictReader(open(out / "grades.csv"))}


def test_everyone_who_can_be_graded_gets_a_page(batch):
    _, out = batch
    assert {path.parent.parent.name for path in out.glob("feedback/*/*/*.html")} == {
        "ann", "bob", "cy"}
    assert totals(out) == {"ann": ("5", "2"), "bob": ("0", "0"), "cy": ("2", "2"), "dan": ("", "0")}


def test_a_page_says_why_by_question_and_keeps_hidden_checks(batch):
    _, out = batch
    html = page(out, "bob")
    assert "Marks by question" in html and "0 of 3" in html
    assert "left blank (Question 1: mean is still to be written.)" in html
    for key in ("ann", "bob", "cy"):
        assert "eleven values" not in page(out, key) and "HIDDEN TESTS" not in page(out, key)


def test_a_page_runs_nothing_of_a_submission(batch):
    _, out = batch
    html = page(out, "cy")
    for piece in ("<script>alert(1)", "<img src=x", "<script>3"):
        assert piece not in html
    assert "my answer" in html


def test_marks_given_by_hand_count_and_stay(batch):
    folder, out = batch
    by_hand = (
        "from nbgrader.api import Gradebook\n"
        f"with Gradebook('sqlite:///{out}/gradebook.db') as book:\n"
        "    grade = book.find_grade('q3_written1', 'tinypractical', 'tinypractical', 'ann')\n"
        "    grade.manual_score, grade.needs_manual_grade = 1.5, False\n"
        "    note = book.find_comment('q3_written1', 'tinypractical', 'tinypractical', 'ann')\n"
        "    note.manual_comment = 'Name the median.'\n"
        "    book.db.commit()\n"
    )
    subprocess.run([str(PYTHON), "-c", by_hand], check=True, capture_output=True)
    export = ["--root", str(ROOT), "practical", "export", str(TINY.parent), "--out", str(out)]
    assert cli.main(export) == 0
    assert totals(out)["ann"] == ("6.5", "0")
    assert "Name the median." in page(out, "ann")
    grade(folder, out, "--again")
    assert totals(out)["ann"] == ("6.5", "0"), "grading again has lost a mark given by hand"


def test_the_folder_is_one_that_nbgrader_knows(batch):
    _, out = batch
    told = subprocess.run(
        [str(PYTHON), "-m", "nbgrader", "export", "--to", "nbgrader.csv"], cwd=out,
        capture_output=True, text=True, env=gradebook._with_programs(PYTHON),
    )
    assert told.returncode == 0, told.stderr[-1000:]
    rows = {row["student_id"]: row for row in csv.DictReader(open(out / "nbgrader.csv"))}
    assert float(rows["cy"]["raw_score"]) == 2.0 and float(rows["cy"]["max_score"]) == 7.0


def test_the_executed_notebooks_are_sound(batch):
    _, out = batch
    for path in out.glob("*/*/tinypractical/tinypractical.ipynb"):
        if path.parts[-4] != "submitted":
            nbformat.validate(nbformat.read(path, 4))
