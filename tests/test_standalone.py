"""A reader's machine: an empty folder, one notebook, and only the built wheel."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which nothing but the freshly built wheel is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("course_utils-*.whl")
    target = folder / "site"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index",
         "--target", target, wheel],
        check=True, capture_output=True,
    )
    return target


def test_the_wheel_holds_the_code_and_nothing_else(site):
    tops = {path.name for path in site.iterdir()} - {"bin"}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"course_utils"}
    assert (site / "course_utils/data/__init__.py").is_file()


def test_chapter_one_runs_in_an_empty_folder(site, tmp_path):
    notebook = nbformat.read(ROOT / "notebooks/01_one_hot_and_bag_of_words.ipynb", 4)
    where = nbformat.v4.new_code_cell("import course_utils\nprint(course_utils.__file__)")
    notebook.cells.append(where)
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},
    )
    client.execute(env=os.environ | {"PYTHONPATH": str(site), "PYTHONSAFEPATH": "1"})
    assert where.outputs[0].text.startswith(str(site))
    assert not list(tmp_path.iterdir()), "a notebook must not leave files behind"
