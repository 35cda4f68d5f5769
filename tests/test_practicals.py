"""Practical sessions: the format, the three versions, and the proof of every master."""

import json
import re
import subprocess
import sys

import nbformat
import practicalfakes
import pytest

from course_utils.authoring import cli, colab
from course_utils.authoring.practicals import command, master, mutants, proof, regions, versions
from course_utils.authoring.practicals.master import find, load_course, read
from course_utils.authoring.project import CourseError

ROOT, TINY = practicalfakes.ROOT, practicalfakes.TINY
COURSE = load_course(ROOT)
EVERY = [*find(ROOT), TINY]


def names(path):
    return path.parent.name


@pytest.fixture(scope="module")
def tiny():
    return read(TINY, COURSE)


@pytest.fixture
def edited(tmp_path):
    """Read a copy of the small master in which some text stands instead of another."""

    def make(old, new, mutated=("", "")):
        folder = tmp_path / "tinypractical"
        folder.mkdir(exist_ok=True)
        (folder / "figures").mkdir(exist_ok=True)
        picture = TINY.parent / "figures" / "q1_mean.png"
        (folder / "figures" / "q1_mean.png").write_bytes(picture.read_bytes())
        text, planted = TINY.read_text(), (TINY.parent / "mutants.yml").read_text()
        assert old in text and mutated[0] in planted
        (folder / "master.md").write_text(text.replace(old, new, 1))
        (folder / "mutants.yml").write_text(planted.replace(*mutated, 1))
        return read(folder / "master.md", COURSE)

    return make


# ---- every practical of the course, and the small one ----------------------------------


@pytest.mark.parametrize("path", EVERY, ids=names)
def test_solution_has_all_marks_blank_none_and_every_mutant_loses_some(path):
    report = proof.prove(path, ROOT)
    assert report["wrong"] == []
    assert report["solution"] == {}
    session = read(path, COURSE)
    checks = {part.name for part in session.parts if part.kind == "check"}
    assert checks <= set(report["blank"]), "a blank file passes a check"
    for question in session.questions:
        if session.of(question.name, "check"):
            own = [n for n in report["mutants"] if n.startswith(f"{question.name}: ")]
            assert len(own) >= 3 and all(report["mutants"][name] > 0 for name in own)


@pytest.mark.parametrize("path", EVERY, ids=names)
def test_the_stored_student_file_is_what_the_master_says(path):
    session = read(path, COURSE)
    assert not command.stale(session), "run `course practical release`"
    assert session.stored.stat().st_size < 3_000_000


@pytest.mark.parametrize("path", EVERY, ids=names)
def test_no_line_of_a_solution_or_hidden_check_is_in_the_student_file(path):
    session = read(path, COURSE)
    stored = session.stored.read_text()
    assert proof.leaks(session, stored) == []
    for word in ("BEGIN SOLUTION", "HIDDEN TESTS", "MARK SCHEME", "Common errors", "Rubric"):
        assert word not in stored


@pytest.mark.parametrize("path", EVERY, ids=names)
def test_a_student_needs_this_notebook_alone(path):
    session = read(path, COURSE)
    notebook = versions.build(session, versions.STUDENT)
    nbformat.validate(notebook)
    install = notebook.cells[1]
    assert install.source.startswith(colab.install_cell(COURSE.address))
    for cell in notebook.cells:
        assert "nbgrader" not in cell.source and "otter" not in cell.source
        assert not re.search(r"!\[[^\]]*\]\((?!data:image/png;base64,)", cell.source)


@pytest.mark.parametrize("path", find(ROOT), ids=names)
def test_a_session_has_the_size_of_a_session(path):
    session = read(path, COURSE)
    assert 8 <= len(session.questions) <= 12
    assert 120 <= session.minutes <= 180
    assert "## Objectives" in session.parts[0].source


# ---- the three versions ----------------------------------------------------------------


def test_versions_are_the_same_bytes_in_another_process(tiny, tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from course_utils.authoring.practicals import master, versions\n"
        f"m = master.read(Path({str(TINY)!r}), master.load_course(Path({str(ROOT)!r})))\n"
        "sys.stdout.write(''.join(versions.text(m, v) for v in "
        "('student', 'solution', 'grading')))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path,
        env={"PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LANG": "C.UTF-8", "PATH": ""},
    ).stdout
    assert told == "".join(versions.text(tiny, v) for v in ("student", "solution", "grading"))


def test_a_stub_raises_and_names_its_question(tiny):
    part = tiny.of("q1", "answer")[0]
    scope = {}
    exec(versions.source_of(tiny, part, versions.STUDENT), scope)
    with pytest.raises(NotImplementedError, match=r"^Question 1: mean is still to be written\.$"):
        scope["mean"]([1])


def test_a_stub_at_top_level_and_in_a_method_names_what_it_stands_in(tiny):
    place = tiny.parts[0].place
    method = "class A:\n    def f(self):\n        ### BEGIN SOLUTION\n        pass\n        ### END SOLUTION"
    assert 'Question 2: A.f is still' in regions.stubbed(method, place, "Question 2")
    top = "### BEGIN SOLUTION\nx = 1\n### END SOLUTION"
    assert regions.stubbed(top, place, "Question 2").splitlines() == [
        "# YOUR CODE HERE",
        'raise NotImplementedError("Question 2: still to be written.")',
    ]


def test_the_solution_version_has_answers_but_no_hidden_check(tiny):
    text = versions.text(tiny, versions.SOLUTION)
    assert "return total / len(x)" in text and "moves the mean by about" in text
    assert "eleven values" not in text and "Rubric" not in text and "### BEGIN" not in text


def test_the_grading_version_has_everything(tiny):
    text = versions.text(tiny, versions.GRADING)
    for piece in ("eleven values", "Rubric of Question 3", "Common errors", "BEGIN HIDDEN TESTS"):
        assert piece in text


def test_a_visible_check_says_what_it_found_and_that_it_passed(tiny):
    part = tiny.of("q1", "check")[0]
    source = versions.source_of(tiny, part, versions.STUDENT)
    with pytest.raises(AssertionError, match="expected the mean of 1, 2 and 6 to be 3, got 9"):
        exec(source, {"mean": sum, "values": [1, 2, 6]})
    assert source.endswith('print("Question 1, check 1: passed.")')


def test_hints_are_folded_and_the_target_figure_is_inside(tiny):
    text = versions.text(tiny, versions.STUDENT)
    assert text.count("<summary>Hint ") == 9
    assert "data:image/png;base64," in text


def test_a_leak_is_found_wherever_it_hides(tiny):
    notebook = json.loads(versions.text(tiny, versions.STUDENT))
    notebook["cells"][-1]["source"] = "before\n  total = float(np.sum(x))  # after"
    assert proof.leaks(tiny, json.dumps(notebook)) == [
        "q1_answer1: the student file holds 'total = float(np.sum(x))'."
    ]


# ---- a master that breaks the format is refused, with its line --------------------------


@pytest.mark.parametrize(("old", "new", "message"), [
    (":points: 3\n", ":points: 4\n", "q1 has 4 points, its cells 3"),
    ("```{question} q2", "```{question} q5", "expected the question q2, got 'q5'"),
    ("### END SOLUTION", "", "does not fit|END SOLUTION' is missing"),
    ("### BEGIN SOLUTION", "### BEGIN HIDDEN TESTS", "does not fit"),
    ("role: check\npoints: 1", "role: check", "a check has points"),
    ("role: answer", "role: reply", "the role 'reply' is unknown"),
    (', f"expected the mean of 1, 2 and 6 to be 3, got {found}."', "", "needs a message"),
    ("```{hint} 3\n`x.sum()`", "```{hint} 2\n`x.sum()`", "expected hints 1, 2 and 3"),
    ("```{rubric}", "```{note}", r"q3 needs a \{rubric\}"),
    ("figures/q1_mean.png", "figures/none.png", "expected a PNG file"),
    ("  seconds: 5", "  second: 5", "the setting 'second' is unknown"),
    ("$$\n\n```{target}", "$$ (eq-mean)\n\n```{target}", "have no label"),
], ids=lambda value: value[:14].strip() if isinstance(value, str) else "")
def test_a_broken_master_is_refused(edited, old, new, message):
    with pytest.raises(CourseError, match=message):
        edited(old, new)


@pytest.mark.parametrize(("old", "new", "message"), [
    ("replace: len(x)", "replace: nothing", "occurs 0 times"),
    ('by: "3"', "by: len(x)", "it changes nothing"),
    ("  - name: median", "  - title: median", "expected a name"),
    ("q2:", "q9:", "q2 has checks and 0 mutants"),
])
def test_broken_mutants_are_refused(edited, old, new, message):
    session = edited("", "", (old, new))
    with pytest.raises(CourseError, match=message):
        mutants.read(session)


def test_a_solution_that_fails_is_reported(edited):
    session = edited("total = float(np.sum(x))", "total = float(np.sum(x)) + 1")
    wrong = proof.prove(session.path, ROOT)["wrong"]
    assert wrong[0] == (
        "the solution fails in q1_check1: AssertionError: expected the mean of 1, 2 and 6 to "
        "be 3, got 3.3333333333333335."
    )


def test_a_check_too_weak_for_a_mutant_is_reported(edited):
    line = 'assert mean(np.arange(11.0)) == 5.0, "eleven values, not three: a fixed divisor?"\n'
    session = edited(line, "", ("total / (len(x) - 1)", "total / max(1, len(x))"))
    assert proof.prove(session.path, ROOT)["wrong"] == [
        "mutant 'q1: unbiased divisor' loses no mark."
    ]


def test_a_mutant_that_lives_is_reported(edited):
    session = edited("", "", ('by: "3"', "by: len(x) + 0"))
    assert proof.prove(session.path, ROOT)["wrong"] == ["mutant 'q1: fixed divisor' loses no mark."]


def test_a_blank_file_that_passes_is_reported(edited):
    session = edited("found = mean(values)\nassert found", "found = 3.0\nassert found")
    assert "q1_check1: a blank file passes it." in proof.prove(session.path, ROOT)["wrong"]


def test_a_blank_file_that_fails_for_its_own_reason_is_reported(edited):
    session = edited("found = mean(values)", "found = unknown_name(values)")
    wrong = proof.prove(session.path, ROOT)["wrong"]
    assert any("a blank file fails for another reason" in line for line in wrong)


# ---- the command -----------------------------------------------------------------------


def test_release_writes_any_version_elsewhere(tmp_path, capsys):
    arguments = ["--root", str(ROOT), "practical", "release", str(TINY.parent)]
    assert cli.main([*arguments, "--out", str(tmp_path)]) == 0
    written = (tmp_path / "tinypractical.ipynb").read_bytes()
    assert written == (TINY.parent / "tinypractical.ipynb").read_bytes()
    assert cli.main([*arguments, "--solution", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "tinypractical_solution.ipynb").is_file()
    assert cli.main([*arguments, "--grading"]) == 1
    assert "needs --out FOLDER" in capsys.readouterr().err


def test_an_unknown_session_is_named_with_the_known_ones(capsys):
    assert cli.main(["--root", str(ROOT), "practical", "check", "p9_none"]) == 1
    assert "p9_none: expected one of the practicals" in capsys.readouterr().err


def test_with_a_public_address_the_file_links_to_colab(tiny):
    course = type(COURSE)(COURSE.root, COURSE.labels, COURSE.references, "https://github.com/a/b")
    text = versions.text(master.read(TINY, course), versions.STUDENT)
    assert "github/a/b/blob/main/practicals/tinypractical/tinypractical.ipynb" in text
    assert "git+https://github.com/a/b@main" in text
