"""`course sync`: what it writes, what it keeps, what it catches, and what survives a failure."""

import argparse
import hashlib
import json
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import nbformat
import pytest
from tinycourse import PIXEL, code, figure, make, page, store

from course_utils.authoring import colab, executing, notebook, pages, prime, results, sync
from course_utils.authoring.project import CourseError

SCORE = (
    "from course_utils import ledger\n\nledger.score('news', '{model}', value=0.5, "
    "interval=(0.4, 0.6), seconds=1, parameters=2)"
)
BODY = "# Demo\n\nText.\n\n## Setup\n\n" + code("print('printed')")


@pytest.fixture
def course(tmp_path):
    """One page with a stored notebook, as if it had been executed."""
    root = make(tmp_path, n01_demo=BODY)
    store(root, "01_demo")
    return root


def stored(root, stem="01_demo"):
    return root / "notebooks" / f"{stem}.ipynb"


def edit(root, old, new, stem="01_demo"):
    path = root / "notebooks" / f"{stem}.md"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def never(*_, **__):
    raise AssertionError("nothing was to be executed")


def command(root, *arguments):
    """Run ``course sync`` as the command line does."""
    top = argparse.ArgumentParser()
    top.add_argument("--root", type=Path, default=root)
    sync.add_parser(top.add_subparsers())
    options = top.parse_args(["sync", *map(str, arguments)])
    return options.run(options)


# ---- executing -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A page that prints, draws, warns of progress and scores, really executed."""
    bars = (
        "import sys\nfrom tqdm import tqdm\n\nfor n in tqdm(range(3)):\n    pass\n"
        "print('to the reader')\nprint('a warning', file=sys.stderr)"
    )
    root = make(
        tmp_path_factory.mktemp("executed"),
        n01_demo="# Demo\n\n" + code("import sys\n\nprint(sys.prefix)\n6 * 7")
        + figure("fig-a") + code(bars) + code(SCORE.format(model="b")) + code(SCORE.format(model="a")),
    )
    kernels = root / "kernels" / "python3"
    kernels.mkdir(parents=True)
    (kernels / "kernel.json").write_text('{"argv": ["false"], "display_name": "user\'s"}')
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(root))
        changed = sync.sync(root, timeout=120, say=said.append)
    return root, changed, said


def cells(root):
    return notebook.code_cells(nbformat.read(stored(root), 4))


def test_the_kernel_is_this_python_not_one_the_user_has_installed(executed):
    shown = cells(executed[0])[0].outputs[0].text.strip()
    assert Path(shown).resolve() == Path(sys.prefix).resolve()


def test_progress_is_said_cell_by_cell(executed):
    assert sum("cell" in line for line in executed[2]) == 6
    assert executed[2][1].startswith("01_demo: cell 2 of 6  import sys")


def test_bars_are_dropped_and_warnings_kept(executed):
    streams = {o.name: o.text for o in cells(executed[0])[2].outputs}
    assert streams == {"stdout": "to the reader\n", "stderr": "a warning\n"}


def test_nothing_volatile_is_stored(executed):
    written = nbformat.read(stored(executed[0]), 4)
    assert set(written.metadata) == {"course", "kernelspec", "language_info"}
    assert written.metadata.language_info == {"name": "python"}
    assert set(written.metadata.course) == {"seconds", "source_sha1"}
    assert 0.2 < written.metadata.course.seconds < 120
    assert all(set(c.metadata) <= {"tags", "course"} for c in written.cells)
    assert [c.execution_count for c in cells(executed[0])] == [1, 2, 3, 4, 5]
    assert cells(executed[0])[0].outputs[1].execution_count == 1


def test_seconds_are_those_of_a_machine_with_nothing_else_to_do():
    assert executing._seconds(clock=90.0, work=30.0) == 30.0  # others were at work
    assert executing._seconds(clock=20.0, work=38.0) == 20.0  # two threads
    assert executing._seconds(clock=20.0, work=0.0) == 20.0  # not counted here


def test_scores_go_to_the_results_of_the_chapter(executed):
    root, changed, _ = executed
    path = root / "book/results/01.json"
    assert path in changed
    lines = json.loads(path.read_text())
    assert [line["model"] for line in lines] == ["a", "b"]
    assert lines[0]["notebook"] == "01_demo" and lines[0]["parameters"] == 2
    assert path.read_text() == json.dumps(lines, indent=2, sort_keys=True) + "\n"


def test_a_second_run_changes_no_byte(executed, monkeypatch):
    root = executed[0]
    before = stored(root).read_bytes()
    monkeypatch.setattr(executing, "execute", never)
    assert sync.sync(root) == []
    assert stored(root).read_bytes() == before
    assert sync.problems(root) == []


def test_a_failing_cell_is_shown_and_the_old_notebook_stays(course, capsys):
    before = stored(course).read_bytes()
    edit(course, "print('printed')", "x = 0\n1 / x")
    with pytest.raises(CourseError) as caught:
        sync.sync(course, timeout=60, say=lambda line: None)
    for part in ("01_demo.md", "'x = 0'", "1 / x", "ZeroDivisionError: division by zero"):
        assert part in str(caught.value)
    assert "\x1b" not in str(caught.value)
    assert stored(course).read_bytes() == before


def test_a_cell_that_takes_too_long_is_named(course):
    edit(course, "print('printed')", "import time\n\ntime.sleep(60)")
    with pytest.raises(CourseError, match="'import time': the cell took longer than 1 s"):
        sync.sync(course, timeout=1, say=lambda line: None)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_killed_keeps_what_is_finished_and_what_was_there(course, how):
    """01 is finished, 02 is stopped in its cell: 01 is new, 02 as before, no debris."""
    page(course, "02_slow", BODY)
    store(course, "02_slow")
    before = stored(course, "02_slow").read_bytes()
    edit(course, "print('printed')", "print('anew')")
    edit(course, "print('printed')", "import time\n\ntime.sleep(60)", "02_slow")
    script = (
        "import sys, pathlib; from course_utils.authoring import sync;"
        "sync.sync(pathlib.Path(sys.argv[1]), timeout=120)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(course)], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )
    for line in child.stdout:
        if line.startswith("02_slow: cell 2"):
            break
    time.sleep(0.5)
    child.send_signal(how)
    assert child.wait(30) != 0
    child.stdout.close()
    assert "anew" in stored(course).read_text()
    assert stored(course, "02_slow").read_bytes() == before
    assert not list((course / "notebooks").glob(".*"))


# ---- keeping outputs -----------------------------------------------------------------


def test_outputs_are_kept_when_only_the_text_changes(course, monkeypatch):
    before = cells(course)
    edit(course, "Text.", "Other text.\n\n- a list")
    monkeypatch.setattr(executing, "execute", never)
    assert sync.sync(course) == [stored(course)]
    after = nbformat.read(stored(course), 4)
    assert notebook.code_cells(after) == before
    assert after.cells[0].source == "# Demo\n\nOther text.\n\n- a list"
    assert after.metadata.course.seconds == 1.0


def test_every_change_of_code_executes(course, monkeypatch):
    executed = []
    monkeypatch.setattr(
        executing, "execute",
        lambda fresh, path, **_: (
            executed.append(path.stem), fresh.metadata["course"].update(seconds=2.0)
        ),
    )
    sync.sync(course, say=lambda line: None)
    assert executed == []
    edit(course, "print('printed')", "print('changed')")
    sync.sync(course, say=lambda line: None)
    assert executed == ["01_demo"]
    stored(course).unlink()
    sync.sync(course, say=lambda line: None)
    assert executed == ["01_demo"] * 2
    sync.sync(course, execute="force", say=lambda line: None)
    assert executed == ["01_demo"] * 3


def test_reflatten_keeps_outputs_and_takes_the_new_address(course, monkeypatch):
    monkeypatch.setattr(executing, "execute", never)
    outputs = cells(course)[0].outputs
    project = course / "pyproject.toml"
    project.write_text(project.read_text().replace('""', '"https://github.com/me/course"'))
    assert sync.problems(course) != []
    assert sync.reflatten(course) == ["notebooks/01_demo.ipynb"]
    assert sync.problems(course) == []
    assert "git+https://github.com/me/course@main" in stored(course).read_text()
    assert cells(course)[0].outputs == outputs


def test_ids_come_from_the_source_alone(course):
    page(course, "01_demo", "# Demo\n\n" + code("x = 1") + "\nA.\n\n" + code("x = 1"))
    store(course, "01_demo")
    ids = [cell.id for cell in cells(course)]
    digest = hashlib.sha1(b"x = 1").hexdigest()[:8]
    assert ids == [digest, f"{digest}-2"]
    page(course, "01_demo", "# Demo\n\n" + code("y = 2") + "\nA.\n\n" + code("x = 1"))
    store(course, "01_demo")
    assert cells(course)[1].id == digest


def test_a_notebook_over_one_megabyte_is_refused(course):
    before = stored(course).read_bytes()
    with pytest.raises(CourseError, match=r"1\.\d\d MB.*print\('printed'\)"):
        store(course, "01_demo", text="x" * 1_050_000)
    assert stored(course).read_bytes() == before


# ---- --check -------------------------------------------------------------------------


def test_check_is_content_with_what_sync_wrote(course, capsys):
    assert command(course, "--check") == 0
    assert "every stored notebook equals its page" in capsys.readouterr().out


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("Text.", "Text!", "cell 1 has another source"),
        ("print('printed')", "print('Printed')", "cell 4 has another source"),
        ("## Setup\n", "## Setup\n\n% a comment\n", "its text was edited"),
        ("ipython3\nprint", "ipython3\n:tags: [hide-input]\nprint", "cell 4 has another metadata"),
    ],
)
def test_check_catches_an_edit_of_one_line(course, old, new, reason):
    edit(course, old, new)
    with pytest.raises(CourseError) as caught:
        command(course, "--check")
    assert f"notebooks/01_demo.ipynb: {reason}. Run `course sync notebooks/01_demo.md`" in str(
        caught.value
    )


def test_check_catches_an_edited_notebook(course):
    written = nbformat.read(stored(course), 4)
    written.cells[0].source += " by hand"
    nbformat.write(written, stored(course))
    assert "another source" in sync.problems(course)[0]


def test_check_catches_what_is_missing_or_left_over(course):
    stored(course).rename(stored(course, "03_old"))
    found = sync.problems(course)
    assert "01_demo.ipynb: it does not exist" in found[0]
    assert "03_old.ipynb: no page of this name" in found[1]


def test_check_sees_that_another_page_changed_a_number(course):
    page(course, "01_demo", BODY + "\n$$ a $$ (eq-a)\n")
    page(course, "02_next", "# Next\n\n{eq}`eq-a`\n\n" + code("print(1)"))
    store(course, "01_demo")
    store(course, "02_next")
    assert sync.problems(course) == []
    edit(course, "$$ a $$ (eq-a)", "$$ b $$ (eq-b)\n\n$$ a $$ (eq-a)")
    assert any("02_next.ipynb: cell 1" in problem for problem in sync.problems(course))


def test_check_catches_a_results_file_that_says_something_else(executed):
    root = executed[0]
    path = root / "book/results/01.json"
    right = path.read_text()
    path.write_text(right.replace("0.5", "0.9"))
    assert "book/results/01.json: not what the notebooks say" in sync.problems(root)[0]
    assert results.update(root) == [path]
    assert path.read_text() == right
    extra = root / "book/results/07.json"
    extra.write_text("[]\n")
    assert results.stale(root) == [extra]
    results.update(root)
    assert not extra.exists()


def test_two_scores_of_one_model_are_refused(course):
    record = {"task": "news", "metric": "accuracy", "model": "a"}
    output = nbformat.v4.new_output("display_data", {results.SCORE: record})
    page(course, "01_demo", BODY + code("print(2)"))
    store(course, "01_demo")
    written = nbformat.read(stored(course), 4)
    for cell in notebook.code_cells(written):
        cell.outputs = [output]
    nbformat.write(written, stored(course))
    with pytest.raises(CourseError, match="two scores for task 'news' and model 'a'"):
        results.wanted(course)


def test_an_unfinished_page_of_another_chapter_does_not_stop_an_author(course):
    page(course, "02_draft", "# Draft\n\n```{note}\nno end")
    assert sync.problems(course, [course / "notebooks/01_demo.md"]) == []
    with pytest.raises(CourseError, match="02_draft.md, line .* not closed"):
        sync.problems(course)


def test_a_file_is_found_by_each_of_its_names(course, monkeypatch):
    wanted = course / "notebooks/01_demo.md"
    monkeypatch.chdir(course)
    for name in ("01_demo", "01_demo.md", "notebooks/01_demo.ipynb", wanted):
        assert sync.find_page(Path(name), course) == wanted
    with pytest.raises(CourseError, match="expected a page of"):
        sync.find_page(Path("09_none"), course)


# ---- priming -------------------------------------------------------------------------


def test_prime_refuses_a_stale_notebook(course, tmp_path):
    edit(course, "print('printed')", "print('changed')")
    with pytest.raises(CourseError, match="01_demo.ipynb: cell 4 has another source"):
        prime.prime(tmp_path / "cache", [course / "notebooks/01_demo.md"], course)
    assert not (tmp_path / "cache").exists()


def test_prime_is_found_by_the_reader_of_the_site(course, tmp_path):
    """The key must be the one that myst-nb computes from the page."""
    from jupyter_cache import get_cache
    from myst_nb.core.config import NbParserConfig
    from myst_nb.core.read import create_nb_reader
    from myst_parser.config.main import MdParserConfig

    path = course / "notebooks/01_demo.md"
    options = "mystnb:\n  figure: {name: fig-x, caption: A}\n  image: {alt: b}"
    page(course, "01_demo", BODY + code("# one\n\nplt.show()\n", options))
    store(course, "01_demo")
    prime.prime(tmp_path / "cache", [path], course)
    text = path.read_text()
    reader = create_nb_reader(str(path), MdParserConfig(), NbParserConfig(), text)
    found = get_cache(tmp_path / "cache").merge_match_into_notebook(reader.read(text))[1]
    drawn = [cell for cell in found.cells if cell.cell_type == "code"][-1]
    assert drawn.outputs[0].data == {"image/png": PIXEL}
    assert drawn.metadata.mystnb.image.alt == "b"


# ---- the install cell ----------------------------------------------------------------

ADDRESS = "https://github.com/me/course"


@pytest.fixture
def shell(tmp_path, monkeypatch):
    """An interactive shell in an empty folder, whose %pip only notes what it is asked."""
    from IPython.core.interactiveshell import InteractiveShell

    monkeypatch.chdir(tmp_path)
    shell = InteractiveShell()
    shell.asked = []
    shell.register_magic_function(shell.asked.append, magic_name="pip")
    return shell


@pytest.fixture
def on_colab(monkeypatch):
    for name in ("google", "google.colab"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))


def first_code_cell(root, repository):
    folder = root / "a_course"
    folder.mkdir()
    make(folder, n01_demo=BODY, repository=repository)
    store(folder, "01_demo")
    written = nbformat.read(stored(folder), 4)
    first = next(cell for cell in written.cells if cell.cell_type == "code")
    assert written.cells.index(first) == 1 and first.metadata.tags == colab.TAGS
    return first.source


def test_on_colab_the_code_comes_from_the_public_address(tmp_path, shell, on_colab):
    shell.run_cell(first_code_cell(tmp_path, ADDRESS)).raise_error()
    assert shell.asked == [f'install -q "course-utils[notebooks] @ git+{ADDRESS}@main"']


def test_on_colab_without_an_address_it_comes_from_an_uploaded_wheel(tmp_path, shell, on_colab):
    wheel = tmp_path / "course_utils-0.1.0-py3-none-any.whl"
    wheel.touch()
    shell.run_cell(first_code_cell(tmp_path, "")).raise_error()
    assert shell.asked == [f'install -q "{wheel}[notebooks]"']


def test_on_colab_without_address_and_wheel_it_says_what_to_do(tmp_path, shell, on_colab):
    result = shell.run_cell(first_code_cell(tmp_path, ""), silent=True)
    assert isinstance(result.error_in_exec, FileNotFoundError)
    assert "Upload the wheel that `make wheel` builds" in str(result.error_in_exec)
    assert shell.asked == []


def test_on_colab_a_page_can_ask_for_one_more_package(shell, on_colab):
    shell.run_cell(colab.install_cell(ADDRESS, ["one", "two"])).raise_error()
    assert shell.asked[1:] == ["install -q one two"]


def test_the_header_names_the_packages_of_a_page(tmp_path):
    make(tmp_path, n01_demo=BODY)
    path = tmp_path / "notebooks" / "01_demo.md"
    text = path.read_text()
    path.write_text(text.replace("---\njupytext", "---\npackages: [one]\njupytext", 1))
    assert pages.read(path).packages == ("one",)
    path.write_text(text.replace("---\njupytext", "---\npackages: one\njupytext", 1))
    with pytest.raises(CourseError, match="packages: expected a list"):
        pages.read(path)


@pytest.mark.parametrize("address", ["", ADDRESS])
def test_elsewhere_the_install_cell_does_nothing(tmp_path, shell, address):
    assert "google.colab" not in sys.modules
    shell.run_cell(first_code_cell(tmp_path, address)).raise_error()
    assert shell.asked == []
