"""Grading: broken and hostile submissions, each graded, none silently zero, none escapes.

One batch holds them all; each test reads its record. The batch itself must end, and the
submission with all marks that sits in the middle of it must keep them.
"""

import copy
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import pytest
from practicalfakes import CENTRED, MEAN, ROOT, TINY, added, cell, code, right, with_mean

from course_utils.authoring import cli
from course_utils.authoring.practicals import (
    fence,
    gradescope,
    grading,
    master,
    records,
    running,
    session,
    submissions,
)
from course_utils.authoring.project import CourseError

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux")
COURSE = master.load_course(ROOT)
FULL = 5.0  # points of the checks; two more wait for a person
FILL = "    return float(np.sum(x)) / len(x)\n"


def hostile(good):
    """Name to submission; bytes stand for themselves."""
    untouched = "def mean(x):\n"
    found = {
        "right": good,
        "loop": with_mean(good, f"{untouched}    while True:\n        pass\n"),
        "loop-that-stays": with_mean(
            good, f"{untouched}    while True:\n        try:\n            while True:\n"
            "                pass\n        except BaseException:\n            pass\n"),
        "loop-in-a-cell": added(good, "while True:\n    pass"),
        "memory": with_mean(
            good, f"{untouched}    keep = []\n    while True:\n"
            "        keep.append(np.empty(10**8))\n"),
        "exit": added(good, "import sys\nsys.exit(0)"),
        "exit-in-answer": with_mean(good, f"{untouched}    raise SystemExit\n"),
        "hard-exit": with_mean(good, f"{untouched}    import os\n    os._exit(0)\n"),
        "crash": with_mean(good, f"{untouched}    import ctypes\n    ctypes.string_at(0)\n"),
        "prints-200-mb": added(good, "print('x' * 200_000_000)"),
        "big-file": added(good, "open('big', 'wb').write(bytes(10**8))"),
        "forks": added(good, "import os, time\nfor n in range(1000):\n    if os.fork() == 0:\n"
                             "        time.sleep(1000)"),
        "network": added(good, "import socket\nsocket.create_connection(('1.1.1.1', 80))"),
        "network-from-a-program": added(
            good, "import subprocess, sys\nprogram = 'import socket; s = socket.socket(); "
            "print(\"connected\", s.connect_ex((\"127.0.0.1\", 22)), "
            "s.connect_ex((\"1.1.1.1\", 80)))'\nprint(subprocess.run([sys.executable, '-c', "
            "program], capture_output=True, text=True).stdout)"),
        "reads-solution": with_mean(
            good, "import glob\nfound = [open(p).read() for p in "
            f"glob.glob({str(ROOT)!r} + '/**/master.md', recursive=True)]\n"
            f"found.append(open({str(TINY)!r}).read())\nprint(found)\n{untouched}    return 0\n"),
        "reads-with-a-program": added(
            good, f"import subprocess\nprint(subprocess.run('cat {TINY} {ROOT}/practicals/*/*; "
            "ls -a ~; env; ps ax', shell=True, capture_output=True, text=True).stdout)"),
        "replaces-allclose": added(
            with_mean(good, MEAN), "np.allclose = lambda *a, **k: True\n"
            "import builtins\nbuiltins.abs = lambda x: 0"),
        "forged": with_mean(
            good, "import os, json\nfor door in range(3, 60):\n    try:\n"
            "        os.write(door, b'{\"ok\": true, \"token\": \"x\", \"outputs\": [], "
            "\"notes\": []}\\n')\n    except OSError:\n        pass\n"
            f"{untouched}    return 0\n"),
        "kills-the-keeper": added(good, "import os, signal\nos.kill(os.getppid(), 9)"),
        "closes-its-pipes": added(good, "import os\nos.closerange(3, 200)"),
        "renamed": with_mean(good, MEAN.replace("mean", "average")),
        "not-python": with_mean(good, "def mean(x)\n    return 3\n"),
        "text-with-markup": with_mean(
            good, f"{untouched}    raise ValueError('<script>alert(1)</script> | `x`')\n"),
    }
    found |= repaired(good) | unreadable(good)
    return found


def repaired(good):
    """Submissions whose cells must be put in order first."""
    edited, deleted, twice, lost, kernel, moved = (copy.deepcopy(good) for _ in range(6))
    cell(edited, "q1-check1")["source"] = "assert True"
    cell(edited, "q2-check1")["source"] = "pass"
    cell(edited, "q1-answer1")["source"] = "def mean(x):\n    return 3.0\n"
    cell(edited, "given1")["source"] = "import numpy as np\nvalues = np.zeros(3)"
    for identity in ("q2-answer1", "q2-check1", "given1"):
        deleted["cells"].remove(cell(deleted, identity))
    stub = copy.deepcopy(cell(twice, "q1-answer1"))
    stub["source"] = "# Question 1, your answer 1\ndef mean(x):\n    return 0.0\n"
    twice["cells"].insert(3, stub)
    twice["cells"].append(copy.deepcopy(cell(twice, "q1-check1")))
    for every in lost["cells"]:
        every["metadata"] = {}
        every.pop("id", None)
    bare = copy.deepcopy(lost)
    for every in bare["cells"]:
        if every["cell_type"] == "code":
            every["source"] = "\n".join(
                line for line in "".join(every["source"]).split("\n")
                if not line.startswith("# Question")
            )
    kernel["metadata"]["kernelspec"] = {"name": "ir", "language": "R", "display_name": "R"}
    moved["cells"].reverse()
    return {"edited-checks": edited, "deleted-cells": deleted, "twice": twice,
            "lost-metadata": lost, "lost-first-lines": bare, "wrong-kernel": kernel,
            "reversed": moved}


def unreadable(good):
    """Files without a grade: a person must look."""
    return {
        "truncated": json.dumps(good)[:2000].encode(),
        "empty": b"",
        "binary": bytes(range(256)) * 10,
        "web-page": b"<!DOCTYPE html><html></html>",
        "deep": b"[" * 200_000,
        "no-cells": b'{"a": 1}',
        "odd-cells": b'{"cells": [1, {"cell_type": 3, "source": [4]}, null], "metadata": []}',
        "other-notebook": json.dumps({"cells": [code("1 + 1")], "metadata": {}}).encode(),
    }


@pytest.fixture(scope="module")
def released():
    return (TINY.parent / "tinypractical.ipynb").read_text()


@pytest.fixture(scope="module")
def good(released):
    return right(released)


@pytest.fixture(scope="module")
def batch(tmp_path_factory, good, released):
    """The folder of a graded batch that holds every submission of this file."""
    folder = tmp_path_factory.mktemp("handed-in")
    for name, made in hostile(good).items():
        data = made if isinstance(made, bytes) else json.dumps(made).encode()
        (folder / f"{name}.ipynb").write_bytes(data)
    (folder / "blank.ipynb").write_text(released)
    (folder / "stored-200-mb.ipynb").write_text(_with_stored_output(good))
    (folder / "report.pdf").write_bytes(b"%PDF")
    out, before = tmp_path_factory.mktemp("graded"), servers()
    os.environ["SECRET_OF_THE_TEACHER"] = "hunter2"
    try:
        code = cli.main([
            "--root", str(ROOT), "practical", "grade", str(TINY.parent), str(folder),
            "--out", str(out), "--cell-seconds", "1.5", "--no-gradebook",
        ])
    finally:
        del os.environ["SECRET_OF_THE_TEACHER"]
    assert code == 0
    assert gone(before), "a submission has left a process behind"
    return out


def _with_stored_output(good):
    changed = copy.deepcopy(good)
    output = {"output_type": "stream", "name": "stdout", "text": "PLACE"}
    cell(changed, "q1-answer1")["outputs"] = [output]
    return json.dumps(changed).replace("PLACE", "x" * 200_000_000)


@pytest.fixture(scope="module")
def graded(batch):
    return records.read(batch)


def points(record):
    return sum(record.cells.values())


def outputs(batch, key):
    """Everything that the executed notebook of a submission shows."""
    path = batch / "autograded" / key / "tinypractical" / "tinypractical.ipynb"
    return "\n".join(
        json.dumps(cell.get("outputs")) for cell in json.loads(path.read_text())["cells"]
    )


# ---- the rules that hold for every submission -------------------------------------------


def test_every_submission_has_a_record(graded, good):
    assert set(graded) == {*hostile(good), "blank", "stored-200-mb", "report"}


def test_a_zero_never_stands_without_its_reason(graded):
    for record in graded.values():
        if record.status == records.GRADED:
            for name, got in record.cells.items():
                assert got > 0 or record.reasons[name], f"{record.key}, {name}"
        else:
            assert record.attention and not record.cells


def test_what_is_repaired_or_tried_is_in_the_report(batch, graded):
    report = (batch / "report.md").read_text()
    for record in graded.values():
        for line in record.attention:
            assert line in report
        if record.status != records.GRADED:
            assert f"**{record.key}**" in report


def test_right_answers_have_all_marks_and_no_remark(graded):
    assert points(graded["right"]) == FULL
    assert graded["right"].attention == [] and graded["right"].waiting == ["q3_written1"]


def test_a_blank_file_has_none_for_its_stubs_errors(graded):
    assert points(graded["blank"]) == 0
    assert set(graded["blank"].reasons.values()) == {
        "left blank (Question 1: mean is still to be written.)",
        "left blank (Question 2: centred is still to be written.)", "left blank",
    }


def servers():
    """Processes that run submissions, of this and of any other batch."""
    told = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True).stdout
    return {line.split()[0] for line in told.splitlines() if "practicals.server" in line}


def gone(before, seconds=10.0):
    """Whether, after a moment, no more such processes are left than before."""
    until = time.monotonic() + seconds
    while not servers() <= before and time.monotonic() < until:
        time.sleep(0.1)
    return servers() <= before


# ---- one test for each kind of trouble ---------------------------------------------------


@pytest.mark.parametrize("key", ["loop", "loop-that-stays"])
def test_an_endless_loop_costs_its_own_question(graded, key):
    assert points(graded[key]) == 2.0
    assert "an endless loop?" in graded[key].reasons["q1_check1"]
    assert any("endless loop" in line for line in graded[key].attention)


def test_an_endless_loop_in_an_added_cell_costs_nothing(graded):
    assert points(graded["loop-in-a-cell"]) == FULL
    assert "an added cell: stopped after" in graded["loop-in-a-cell"].attention[0]


def test_out_of_memory_costs_its_own_question(graded):
    assert points(graded["memory"]) == 2.0
    assert graded["memory"].reasons["q1_check1"] == "out of memory"


def test_sys_exit_does_not_end_the_run(graded):
    assert points(graded["exit"]) == FULL
    assert points(graded["exit-in-answer"]) == 2.0
    assert graded["exit-in-answer"].reasons["q1_check1"] == "it ended the program (sys.exit)"


@pytest.mark.parametrize("key", ["hard-exit", "crash"])
def test_a_process_that_ends_costs_its_own_question(graded, key):
    assert points(graded[key]) == 2.0
    assert "its process ended" in graded[key].reasons["q1_check1"]


def test_a_flood_of_output_is_cut(batch, graded):
    assert points(graded["prints-200-mb"]) == FULL
    path = batch / "autograded/prints-200-mb/tinypractical/tinypractical.ipynb"
    assert path.stat().st_size < 1_000_000
    assert "more characters of output were cut" in outputs(batch, "prints-200-mb")


def test_a_file_with_200_mb_of_stored_output_is_graded(batch, graded):
    assert points(graded["stored-200-mb"]) == FULL
    path = batch / "autograded/stored-200-mb/tinypractical/tinypractical.ipynb"
    assert path.stat().st_size < 1_000_000


def test_a_large_file_cannot_be_written(batch, graded):
    assert points(graded["big-file"]) == FULL
    assert "File too large" in outputs(batch, "big-file")


def test_a_fork_bomb_meets_its_limit(batch, graded):
    assert points(graded["forks"]) == FULL
    if os.geteuid() == 0 and graded["forks"].fences["user"] == "the one who grades":
        pytest.skip("root has no limit of processes, and cannot become another user here")
    assert "Resource temporarily unavailable" in outputs(batch, "forks")


def test_there_is_no_network(batch, graded):
    assert points(graded["network"]) == FULL
    assert any("asked for the network" in line for line in graded["network"].attention)
    assert "there is no network while a notebook is marked" in outputs(batch, "network")


@LINUX
def test_there_is_no_network_for_a_program_either(batch, graded):
    record = graded["network-from-a-program"]
    if "namespace" not in record.fences["network"]:
        pytest.skip("this system allows no network namespace")
    assert any("ran a program" in line for line in record.attention)
    shown = outputs(batch, "network-from-a-program")
    assert "connected 101 101" in shown or "connected 111 101" in shown


def test_the_solution_cannot_be_read(batch, graded):
    record = graded["reads-solution"]
    assert points(record) == 2.0
    assert any("looked for the solution" in line for line in record.attention)
    assert "total / len(x)" not in outputs(batch, "reads-solution")


@LINUX
def test_neither_masters_nor_secrets_are_there_for_a_program(batch, graded):
    record = graded["reads-with-a-program"]
    if "not there" not in record.fences["files"]:
        pytest.skip("this system allows no mount namespace")
    shown = outputs(batch, "reads-with-a-program")
    assert "total / len(x)" not in shown and "BEGIN SOLUTION" not in shown
    assert "hunter2" not in shown and ".ssh" not in shown
    assert "practical grade" not in shown, "the grader's own process can be seen"


def test_functions_that_checks_rely_on_are_put_back(graded):
    record = graded["replaces-allclose"]
    assert any("replaced numpy.allclose" in line for line in record.attention)
    assert any("replaced builtins.abs" in line for line in record.attention)
    assert points(record) == FULL


def test_a_replaced_function_does_not_buy_a_mark(good):
    cheat = with_mean(good, "np.allclose = lambda *a, **k: True\n" + MEAN)
    cell(cheat, "q2-answer1")["source"] = "def centred(x):\n    return x\n"
    record = grade_one(cheat)
    assert record.cells["q2_check1"] == 0.0


def test_a_forged_reply_does_not_count(graded):
    assert points(graded["forged"]) == 2.0


def test_the_keeper_cannot_be_killed_or_another_run_takes_over(graded):
    assert points(graded["kills-the-keeper"]) == FULL
    assert points(graded["closes-its-pipes"]) == FULL
    assert any("its process ended" in line for line in graded["closes-its-pipes"].attention)


def test_edited_checks_and_given_cells_come_from_the_master(graded):
    record = graded["edited-checks"]
    assert record.cells == {"q1_check1": 1.0, "q1_check2": 0.0, "q2_check1": 2.0}
    assert "Question 1, check 1 was edited; put back" in record.attention
    assert "the given cell 1 was edited; put back" in record.attention


def test_deleted_cells_are_put_back_or_named(graded):
    record = graded["deleted-cells"]
    assert points(record) == 3.0
    assert "Question 2, check 1 was deleted; put back" in record.attention
    assert "Question 2, your answer 1 was deleted" in record.attention
    assert record.reasons["q2_check1"].startswith("left blank")


def test_of_a_duplicated_answer_the_last_counts(graded):
    record = graded["twice"]
    assert points(record) == FULL
    assert "Question 1, your answer 1 is there 2 times; the last one counts" in record.attention


@pytest.mark.parametrize("key", ["lost-metadata", "lost-first-lines"])
def test_lost_metadata_cost_nothing(graded, key):
    record = graded[key]
    assert points(record) == FULL
    assert any("lost their metadata" in line for line in record.attention)


def test_a_wrong_kernel_costs_nothing(graded):
    assert points(graded["wrong-kernel"]) == FULL
    assert graded["wrong-kernel"].attention == ["wrong kernel (R): run as Python"]


def test_the_order_of_cells_does_not_matter(graded):
    assert points(graded["reversed"]) == FULL


def test_a_renamed_function_is_named(graded):
    record = graded["renamed"]
    assert points(record) == 2.0
    assert record.attention == [
        "Question 1, your answer 1 does not define mean; it defines average: renamed?"
    ]


def test_an_answer_that_does_not_parse_is_named(graded):
    record = graded["not-python"]
    assert points(record) == 2.0
    assert record.attention == ["Question 1, your answer 1 is not Python: expected ':'"]


@pytest.mark.parametrize(("key", "why"), [
    ("truncated", "invalid JSON"), ("empty", "an empty file"), ("binary", "not a text file"),
    ("web-page", "a web page"), ("deep", "invalid JSON"), ("no-cells", "not a notebook"),
    ("report", "no notebook"), ("odd-cells", "no cell of tinypractical is in it"),
    ("other-notebook", "no cell of tinypractical is in it"),
])
def test_what_cannot_be_graded_has_no_score_and_a_reason(batch, graded, key, why):
    assert why in graded[key].attention[0]
    rows = {row["student"]: row for row in csv.DictReader(open(batch / "grades.csv"))}
    assert rows[key]["total"] == "" and rows[key]["status"] != "graded"


# ---- a fence of Python alone --------------------------------------------------------------


def grade_one(notebook, namespaces=True, **limits):
    """The record of one submission, graded in this process."""
    read = master.read(TINY, COURSE)
    around = session.surroundings(TINY.parent) | {"namespaces": namespaces}
    around["scratch"].append(str(ROOT))
    limits = running.Limits(**{"cell": 2.0, "total": 30.0, "memory": 1.0} | limits)
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as out:
        batch = grading.Batch(read, "d", pathlib.Path(out), limits, around, ["numpy"])
        server = session.Server(batch.modules)
        try:
            handed = submissions.Submission("one", "One", data=json.dumps(notebook).encode())
            return grading.one(batch, handed, running.Runner(server, limits, around), None)
        finally:
            server.close()


def test_without_namespaces_python_refuses_and_the_record_says_so(good):
    spy = (f"found = []\nfor what in (lambda: open({str(TINY)!r}).read(),\n"
           "             lambda: __import__('socket').create_connection(('1.1.1.1', 80))):\n"
           "    try:\n        found.append(what())\n    except PermissionError:\n"
           "        found.append('refused')\nassert found == ['refused'] * 2, found\n")
    leave = ("import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(987)")
    before = servers()
    record = grade_one(added(added(good, spy), leave), namespaces=False)
    assert gone(before), "it has left a process behind"
    assert points(record) == FULL
    assert record.fences["network"] == "refused inside Python only"
    assert record.fences["files"] == "refused inside Python only"
    assert not any("stopped" in line or "ended" in line for line in record.attention)


@LINUX
def test_nothing_is_ever_mounted_in_the_machines_own_view_of_the_disk(tmp_path):
    before = open("/proc/self/mounts").read()
    with pytest.raises(OSError, match="no view of the disk of its own"):
        fence._mount("tmpfs", str(tmp_path), "tmpfs", 0)
    around = fence.Fence(str(tmp_path), [], [str(tmp_path)], [], 1, 1, namespaces=False)
    fence.hide(around)
    assert "refused" in around.report["files"]
    fence.probe()
    assert open("/proc/self/mounts").read() == before


def test_time_in_all_is_limited_too(good):
    slow = added(good, "import time\ntime.sleep(1.5)")
    for number in range(3):
        slow = added(slow, f"import time\ntime.sleep(1.5 + {number} / 100)")
    record = grade_one(slow, total=3.0)
    assert points(record) < FULL
    assert "used up its 3 s" in record.reasons["q2_check1"]


def test_limits_leave_room_for_what_the_solution_takes():
    scaled = running.Limits(10.0, 60.0, 2.0).scaled({"a": 3.0, "b": 9.0})
    assert (scaled.cell, scaled.total, scaled.memory) == (90.0, 120.0, 2.0)


# ---- finding submissions ------------------------------------------------------------------


def test_moodles_zip_is_read_as_downloaded(tmp_path, good):
    path = tmp_path / "US330X-P1-123.zip"
    text = json.dumps(good)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("Zoé Martin_4711_assignsubmission_file_/tinypractical.ipynb", text)
        archive.writestr("Ann Lee_4712_assignsubmission_file_/my work.ipynb", text)
        archive.writestr("Ann Lee_4712_assignsubmission_file_/.ipynb_checkpoints/x.ipynb", "no")
        archive.writestr("Bo Li_4713_assignsubmission_file_answer.ipynb", text)
        archive.writestr("Cy Ng_4714_assignsubmission_file_/report.docx", "x")
        archive.writestr("__MACOSX/._x.ipynb", "x")
        archive.writestr("../../escape_4715_assignsubmission_file_/a.ipynb", text)
    found = {s.key: s for s in submissions.collect(path, "tinypractical")}
    assert list(found)[:4] == ["ann-lee-4712", "bo-li-4713", "cy-ng-4714"] or len(found) == 4
    assert found["zoe-martin-4711"].name == "Zoé Martin"
    assert found["zoe-martin-4711"].moodle == "4711"
    assert found["bo-li-4713"].data and found["ann-lee-4712"].data
    assert found["cy-ng-4714"].problem == "no notebook (.ipynb), only: report.docx"


def test_canvas_files_plain_files_and_nbgraders_folders(tmp_path, good):
    text = json.dumps(good)
    (tmp_path / "leeann_LATE_31_987_tinypractical.ipynb").write_text(text)
    (tmp_path / "plain.ipynb").write_text(text)
    nested = tmp_path / "li-bo" / "tinypractical"
    nested.mkdir(parents=True)
    (nested / "tinypractical.ipynb").write_text(text)
    (nested / "older.ipynb").write_text("{}")
    found = {s.key: s for s in submissions.collect(tmp_path, "tinypractical")}
    assert set(found) == {"leeann-31", "plain", "li-bo"}
    assert found["leeann-31"].canvas == "31"
    assert found["li-bo"].remarks == (
        "2 notebooks were handed in; graded: tinypractical.ipynb",)


def test_a_zip_inside_and_a_broken_one(tmp_path, good):
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep/work.ipynb", json.dumps(good))
    for name, data in (("ann", inner.getvalue()), ("bob", b"PK\x03\x04 broken")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "work.zip").write_bytes(data)
    found = {s.key: s for s in submissions.collect(tmp_path, "tinypractical")}
    assert found["ann"].data and "cannot be read" in found["bob"].problem


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(CourseError, match="holds no file"):
        submissions.collect(tmp_path, "tinypractical")


def test_same_names_get_different_keys():
    taken = set()
    assert [submissions._key("Ann Lee", "", taken) for _ in range(2)] == ["ann-lee", "ann-lee-2"]


# ---- lists and bundles --------------------------------------------------------------------


def test_moodle_and_canvas_lists_are_filled_in(tmp_path, good, released):
    handed = tmp_path / "in"
    handed.mkdir()
    for name, text in (("Ann Lee_1_assignsubmission_file_x.ipynb", json.dumps(good)),
                       ("Bo Li_2_assignsubmission_file_x.ipynb", "{"),
                       ("=Cy_3_assignsubmission_file_x.ipynb", released)):
        (handed / name).write_text(text)
    out, base = tmp_path / "out", ["--root", str(ROOT), "practical"]
    assert cli.main([*base, "grade", str(TINY.parent), str(handed), "--out", str(out),
                     "--no-gradebook"]) == 0
    rows = list(csv.DictReader(open(out / "moodle.csv")))
    assert [(row["Identifier"], row["Grade"]) for row in rows] == [
        ("Participant 1", "5"), ("Participant 2", ""), ("Participant 3", "0")]
    assert rows[2]["Full name"] == "'=Cy", "a spreadsheet would run it"
    assert "2 points still to be marked" in rows[0]["Feedback comments"]
    sheet = tmp_path / "worksheet.csv"
    sheet.write_text("\ufeffIdentifier,Full name,Status,Grade,Maximum Grade,Feedback comments\n"
                     "Participant 3,Cy,Submitted,,7,\nParticipant 1,Ann Lee,Submitted,,7,\n"
                     "Participant 2,Bo Li,Submitted,,7,\nParticipant 9,No One,,,7,\n")
    assert cli.main([*base, "export", str(TINY.parent), "--out", str(out), "--roster",
                     str(sheet)]) == 0
    filled = list(csv.DictReader(open(out / "filled_worksheet.csv")))
    assert [row["Grade"] for row in filled] == ["0", "5", "", ""]
    sheet.write_text("Identifier,Full name,Grade\nParticipant 1,Ann Lee,\n")
    assert cli.main([*base, "export", str(TINY.parent), "--out", str(out), "--roster",
                     str(sheet)]) == 1


def test_the_gradescope_bundle_grades_where_it_is_unpacked(tmp_path, good):
    read = master.read(TINY, COURSE)
    one = gradescope.bundle(read, ROOT, tmp_path / "a").read_bytes()
    assert one == gradescope.bundle(read, ROOT, tmp_path / "b").read_bytes()
    base = tmp_path / "autograder"
    (base / "submission").mkdir(parents=True)
    (base / "submission" / "work.ipynb").write_text(json.dumps(with_mean(good, "x = 1")))
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        archive.extractall(base / "source")
        assert archive.getinfo("run_autograder").external_attr >> 16 == 0o755
    environment = os.environ | {"AUTOGRADER": str(base), "PYTHON": sys.executable,
                                "PYTHONPATH": str(base / "source")}
    subprocess.run(["bash", str(base / "source" / "run_autograder")], check=True,
                   env=environment, capture_output=True)
    told = json.loads((base / "results" / "results.json").read_text())
    scores = {test["name"].split("(")[1][:-1]: test["score"] for test in told["tests"]}
    assert scores == {"q1_check1": 0, "q1_check2": 0, "q2_check1": 2, "q3_written1": 0}
    assert "does not define mean" in told["output"]


# ---- interruptions -------------------------------------------------------------------------


def test_a_killed_batch_goes_on_and_repeats_nothing(tmp_path, good):
    handed, out = tmp_path / "in", tmp_path / "out"
    handed.mkdir()
    for number in range(6):
        slow = added(good, f"import time\ntime.sleep(1)\nwho = {number}")
        (handed / f"student{number}.ipynb").write_text(json.dumps(slow))
    command = [sys.executable, "-m", "course_utils.authoring.cli", "--root", str(ROOT),
               "practical", "grade", str(TINY.parent), str(handed), "--out", str(out),
               "--no-gradebook", "--workers", "1"]
    before = servers()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while len(list((out / "records").glob("*.json"))) < 2:
        assert time.monotonic() < until and run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert gone(before), "a submission outlives the batch"
    kept = {path: path.stat().st_mtime_ns for path in (out / "records").glob("*.json")}
    assert 2 <= len(kept) < 6
    assert not (out / "grades.csv").exists()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and f"{len(kept)} done already" in done.stdout, done.stderr
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    rows = list(csv.DictReader(open(out / "grades.csv")))
    assert [row["student"] for row in rows] == [f"student{n}" for n in range(6)]
    assert {row["total"] for row in rows} == {"5"}


def test_a_new_file_of_the_same_student_is_graded_again(tmp_path, good):
    handed, out = tmp_path / "in", tmp_path / "out"
    handed.mkdir()
    arguments = ["--root", str(ROOT), "practical", "grade", str(TINY.parent), str(handed),
                 "--out", str(out), "--no-gradebook"]
    (handed / "ann.ipynb").write_text(json.dumps(with_mean(good, "x = 1")))
    assert cli.main(arguments) == 0
    assert points(records.read(out)["ann"]) == 2.0
    (handed / "ann.ipynb").write_text(json.dumps(good))
    assert cli.main(arguments) == 0
    assert points(records.read(out)["ann"]) == FULL


def test_a_solution_that_fails_here_stops_before_any_grade(tmp_path, good):
    folder = tmp_path / "tinypractical"
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "q1_mean.png").write_bytes(
        (TINY.parent / "figures" / "q1_mean.png").read_bytes())
    text = TINY.read_text().replace("return total / len(x)", "return total / 4")
    (folder / "master.md").write_text(text)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "ann.ipynb").write_text(json.dumps(good))
    assert cli.main(["--root", str(ROOT), "practical", "grade", str(folder),
                     str(tmp_path / "in"), "--out", str(tmp_path / "out"),
                     "--no-gradebook"]) == 1
    assert not list((tmp_path / "out").glob("records/*"))
