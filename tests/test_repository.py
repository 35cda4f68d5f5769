"""The public address: one place, everything else rewritten from it, disagreement caught."""

import shutil

import pytest
import tinycourse

from course_utils.authoring import cli, repository
from course_utils.authoring.project import CourseError, address, find_root

URL = "https://github.com/someone/course"
README = "# Course\n\n<!-- address -->\nThe course has no public address yet: build it with `make book`.\n<!-- /address -->\n"


@pytest.fixture
def root(tmp_path):
    course = tinycourse.make(tmp_path, n01_a="# A\n\n" + tinycourse.code("1 + 1"))
    (course / "README.md").write_text(README)
    (course / "CITATION.cff").write_text("cff-version: 1.2.0\n")
    tinycourse.store(course, "01_a")
    return course


def test_this_projects_files_agree_with_its_address():
    assert repository.disagreements(find_root()) == []


def test_setting_it_changes_every_place(root):
    changed = repository.set_repository(root, URL + ".git/")
    assert address(root) == URL
    assert set(changed) == {"pyproject.toml", "README.md", "CITATION.cff", "notebooks/01_a.ipynb"}
    assert f"git+{URL}@main" in (root / "notebooks/01_a.ipynb").read_text()
    assert f"repository-code: {URL}" in (root / "CITATION.cff").read_text()
    assert "colab.research.google.com/github/someone/course" in (root / "README.md").read_text()
    assert repository.disagreements(root) == []


def test_removing_it_restores_every_file(root):
    names = "pyproject.toml", "README.md", "CITATION.cff", "notebooks/01_a.ipynb"
    before = {name: (root / name).read_bytes() for name in names}
    repository.set_repository(root, URL)
    repository.set_repository(root, "")
    assert {name: (root / name).read_bytes() for name in before} == before


def test_a_file_that_disagrees_is_named(root):
    repository.set_repository(root, URL)
    (root / "CITATION.cff").write_text("cff-version: 1.2.0\nrepository-code: https://else/x/y\n")
    assert repository.disagreements(root) == ["CITATION.cff"]


@pytest.mark.parametrize("url", ["github.com/a/b", "http://github.com/a/b", "https://github.com/a"])
def test_something_that_is_no_address_is_refused(root, url):
    with pytest.raises(CourseError, match="expected https://HOST/OWNER/NAME"):
        repository.set_repository(root, url)
    assert address(root) == ""


def test_the_command_says_what_changed(root, capsys):
    assert cli.main(["--root", str(root), "set-repository", URL]) == 0
    assert "README.md" in capsys.readouterr().out
    assert cli.main(["--root", str(root), "set-repository", URL]) == 0
    assert "Nothing to change." in capsys.readouterr().out


def test_outside_a_course_the_command_says_so(tmp_path, capsys, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    assert cli.main(["claims"]) == 1
    assert "--root FOLDER" in capsys.readouterr().err
    shutil.rmtree(empty)
