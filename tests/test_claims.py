"""The ledger: what a cell records, what is collected, and what makes the build stop."""

import json

import nbformat
import pytest
import yaml
from nbformat.v4 import new_code_cell, new_notebook, new_output

from course_utils import ledger
from course_utils.authoring import claims, cli
from course_utils.authoring.project import CourseError


def shown(monkeypatch):
    """Collect what `ledger` displays instead of displaying it."""
    seen = []
    monkeypatch.setattr(ledger, "_show", lambda mime, facts, *views: seen.append((mime, facts, *views)))
    return seen


def record(row="T1", holds=True, verdict="confirmed"):
    facts = {"row": row, "statement": "it is so", "figure": "3 of 4", "verdict": verdict,
             "holds": holds, "control": "chance"}
    return new_output("display_data", {ledger.CLAIM: facts, "text/plain": "card"})


def course(folder, *cells, complete=False, rows=("T1", "T2")):
    """A course of one chapter whose notebook has these (source, outputs) cells."""
    (folder / "book").mkdir()
    (folder / "notebooks").mkdir()
    chapter = {"number": 1, "title": "One", "part": "P", "complete": complete,
               "notebooks": ["01_a"],
               "rows": {row: {"topic": f"topic {row}", "claim": "slide"} for row in rows}}
    (folder / "book/syllabus.yml").write_text(yaml.safe_dump({"chapters": [chapter]}))
    notebook = new_notebook(cells=[
        new_code_cell(source, outputs=list(outputs)) for source, outputs in cells])
    nbformat.write(notebook, folder / "notebooks/01_a.ipynb")
    return folder


def test_a_claim_that_does_not_hold_stops_the_notebook(monkeypatch):
    seen = shown(monkeypatch)
    with pytest.raises(AssertionError, match="does not support"):
        ledger.claim("T1", "x", figure="1", verdict="confirmed", holds=False)
    assert seen[0][1]["holds"] is False  # the card shows the failure all the same


def test_only_the_four_verdicts_exist():
    with pytest.raises(ValueError, match="expected one of"):
        ledger.claim("T1", "x", figure="1", verdict="true", holds=True)


def test_cards_escape_html(monkeypatch):
    seen = shown(monkeypatch)
    ledger.claim("T1", "a < b", figure="<i>", verdict="confirmed", holds=True)
    assert "a &lt; b" in seen[0][3] and "<i>" not in seen[0][3]


@pytest.mark.parametrize("value, interval", [(0.5, (0.6, 0.7)), (float("nan"), (0, 1))])
def test_a_score_outside_its_interval_is_refused(value, interval):
    with pytest.raises(ValueError, match="low <= value <= high"):
        ledger.score("t", "m", value=value, interval=interval, seconds=1, parameters=1)


def test_rows_are_passing_failing_or_missing(tmp_path):
    root = course(
        tmp_path,
        ('ledger.claim("T1", "it is so", figure="x")', [record("T1")]),
        ('ledger.claim("T2", "b", figure="x")', []),
        rows=("T1", "T2", "T3"))
    status = {line["row"]: line["status"] for line in claims.collect(root)}
    assert status == {"T1": "passing", "T2": "failing", "T3": "missing"}


def test_a_practical_session_is_neither_missing_nor_a_claim(tmp_path):
    root = course(tmp_path, rows=("P1", "P2"), complete=True)
    (root / "practicals/p1_count").mkdir(parents=True)
    (root / "practicals/p1_count/master.md").touch()
    status = {line["row"]: line["status"] for line in claims.collect(root)}
    assert status == {"P1": "session", "P2": "missing"}
    assert claims.problems(root) == ["P2 (topic P2): missing"]


def test_figure_verdict_and_cell_come_from_the_stored_output(tmp_path):
    root = course(tmp_path, ('ledger.claim("T1", "said", figure="typed")', [record("T1")]))
    line = claims.collect(root)[0]
    assert (line["figure"], line["verdict"], line["notebook"]) == ("3 of 4", "confirmed", "01_a")
    assert line["cell"] and line["control"] == "chance"


def test_a_claim_recorded_as_not_holding_is_failing(tmp_path):
    root = course(tmp_path, ('claim("T1", "b")', [record("T1", holds=False)]))
    assert claims.collect(root)[0]["status"] == "failing"
    assert claims.problems(root)


def test_a_missing_row_fails_the_build_only_in_a_complete_chapter(tmp_path):
    cells = [('claim("T1", "b")', [record("T1")])]
    (tmp_path / "draft").mkdir()
    (tmp_path / "done").mkdir()
    draft = course(tmp_path / "draft", *cells)
    done = course(tmp_path / "done", *cells, complete=True)
    assert claims.problems(draft) == []
    assert claims.problems(done) == ["T2 (topic T2): missing"]


def test_a_row_of_another_chapter_is_refused(tmp_path):
    root = course(tmp_path, ('claim("R9", "b")', [record("R9")]))
    with pytest.raises(CourseError, match="expected a row of chapter 1"):
        claims.collect(root)


def test_a_listed_notebook_that_is_not_there_says_what_to_do(tmp_path):
    root = course(tmp_path)
    (root / "notebooks/01_a.ipynb").unlink()
    with pytest.raises(CourseError, match="course sync"):
        claims.collect(root)


def test_the_command_prints_json_and_checks(tmp_path, capsys):
    root = course(tmp_path, ('claim("T1", "b")', [record("T1")]), complete=True)
    assert cli.main(["--root", str(root), "claims", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"row", "claim", "status", "notebook", "figure", "verdict"} <= rows[0].keys()
    assert cli.main(["--root", str(root), "claims", "--check"]) == 1
    assert "T2" in capsys.readouterr().err


def test_all_sixty_five_rows_of_the_syllabus_are_listed():
    """T1-T29, R1-R22, A1-A9, P1-P5: the page shows honestly what is still to come."""
    from course_utils.authoring.project import chapters, find_root

    rows = [row.key for chapter in chapters(find_root()) for row in chapter.rows]
    wanted = [f"{letter}{i}" for letter, n in (("T", 29), ("R", 22), ("A", 9), ("P", 5))
              for i in range(1, n + 1)]
    assert sorted(rows) == sorted(wanted)
