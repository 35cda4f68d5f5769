"""The shape of the package: what imports what, and what an import costs."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "course_utils"
GROUND = {"runtime", "text"}
FIRST = {"metrics", "plotting", "ledger", "data"}


def part(path):
    """The layer's unit that a file belongs to: a top module, or a subpackage."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path):
    """Units of the package that a file imports, also inside functions."""
    inside = len(path.relative_to(PACKAGE).parts) - 1
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert all(name.name != "*" for name in node.names), f"{path}: star import"
            module = (node.module or "").split(".")
            if node.level == inside + 1:
                yield from [module[0]] if module[0] else [n.name for n in node.names]
            elif module[0] == "course_utils":
                yield from module[1:2] or [n.name for n in node.names]
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("course_utils."):
                    yield name.name.split(".")[1]


def edges():
    graph = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        unit = part(path)
        if unit != "__init__":
            graph.setdefault(unit, set()).update(set(imported(path)) - {unit})
    return graph


def layer(unit):
    if unit in GROUND:
        return 0
    if unit in FIRST:
        return 1
    return 3 if unit == "authoring" else 2


def test_every_import_points_to_a_unit_that_exists():
    graph = edges()
    unknown = {name for names in graph.values() for name in names} - graph.keys()
    assert not unknown


def test_imports_point_down_only():
    up = [(unit, other) for unit, names in edges().items() for other in names
          if layer(other) > layer(unit)]
    assert not up


def test_there_is_no_circle():
    TopologicalSorter(edges()).prepare()


@pytest.mark.parametrize("name", ["utils", "helpers", "common", "misc"])
def test_no_module_with_a_name_that_says_nothing(name):
    assert not list(PACKAGE.rglob(f"{name}.py"))


def test_importing_the_package_loads_nothing_heavy():
    heavy = "torch", "gensim", "matplotlib", "sklearn", "pandas", "scipy"
    code = ("import sys, course_utils, course_utils.data, course_utils.runtime; "
            f"print([m for m in {heavy} if m in sys.modules])")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr


def test_a_planted_upward_import_is_caught(tmp_path, monkeypatch):
    (tmp_path / "text.py").write_text("from .authoring import cli\n")
    (tmp_path / "authoring.py").write_text("")
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", tmp_path)
    with pytest.raises(AssertionError):
        test_imports_point_down_only()
