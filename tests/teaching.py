"""Run what a chapter's cells define, so that a test can hold it against the library."""

import ast
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.M | re.S)
OPTIONS = re.compile(r"\A---\n.*?^---\n", re.M | re.S)


def taught(notebook: str, *names: str, **namespace):
    """The functions or classes `names` as the notebook's own cells define them.

    Parameters
    ----------
    notebook : str
        File name without ending, for instance ``"01_one_hot_and_bag_of_words"``.
    names : str
        What to define. Imports of the notebook run first; nothing else is executed.
    namespace
        Further globals that the definitions need.

    Returns
    -------
    The object, or a tuple of them if several are asked for.
    """
    source = (NOTEBOOKS / f"{notebook}.md").read_text(encoding="utf-8")
    wanted, imports, missing = [], [], set(names)
    for match in CELL.finditer(source):
        code = "\n".join(
            "" if line.lstrip().startswith(("%", "!", ":")) else line
            for line in OPTIONS.sub("", match.group(1)).splitlines()
        )
        for node in ast.parse(code).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                imports.append(node)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name in names:
                wanted.append(node)
                missing.discard(node.name)
    if missing:
        raise LookupError(f"{notebook}.md defines no {sorted(missing)}")
    scope = dict(namespace)
    module = ast.Module(imports + wanted, type_ignores=[])
    exec(compile(module, f"{notebook}.md", "exec"), scope)
    found = tuple(scope[name] for name in names)
    return found if len(found) > 1 else found[0]
