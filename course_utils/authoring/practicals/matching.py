"""Put the cells of a submission back into the order of the master.

A cell is known by nbgrader's id in its metadata, else by its cell id, else by its first
line, else by the function it defines. Given cells and checks come from the master, whatever
the submission made of them. Every repair is a remark for who marks.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field

from . import versions
from .master import Master, Part

LEAD = re.compile(r"^[#*\s]*Question (\d+), (your answer|your text|check|experiment) (\d+)")
KINDS = {"your answer": "answer", "your text": "written"}
MOST, LONGEST = 400, 200_000


@dataclass
class Step:
    """One cell of the rebuilt notebook; `part` is None for a cell that a student added."""

    part: Part | None
    kind: str
    source: str
    run: bool
    blank: bool = False
    missing: bool = False
    outputs: list[dict] = field(default_factory=list)


@dataclass
class Rebuilt:
    """A submission in the order of the master, and what had to be repaired."""

    steps: list[Step]
    remarks: list[str]
    recognised: int


def rebuild(master: Master, notebook: dict) -> Rebuilt:
    """Match every cell with a part of the master; restore what students may not change."""
    return _Matcher(master, notebook).rebuild()


class _Matcher:
    def __init__(self, master: Master, notebook: dict) -> None:
        self.master = master
        self.parts = {part.name: part for part in master.parts if part.name}
        self.released = {
            name: versions.source_of(master, part, versions.STUDENT)
            for name, part in self.parts.items()
        }
        self.remarks: list[str] = []
        self.cells = notebook["cells"]
        if len(self.cells) > MOST or sum(len(c["source"]) for c in self.cells) > LONGEST * 10:
            self.remarks.append(f"{len(self.cells)} cells: only the first {MOST} were looked at")
            self.cells = self.cells[:MOST]
        self._kernel(notebook["metadata"])

    def _kernel(self, metadata: dict) -> None:
        spec = metadata.get("kernelspec")
        spec = spec if isinstance(spec, dict) else {}
        language = str(spec.get("language") or spec.get("name") or "python")
        if "python" not in language.lower() and "conda" not in language.lower():
            self.remarks.append(f"wrong kernel ({language[:30]}): run as Python")

    def rebuild(self) -> Rebuilt:
        names = self._names()
        found: dict[str, list[int]] = {}
        for index, name in enumerate(names):
            if name:
                found.setdefault(name, []).append(index)
        chosen = {name: self._one(name, indices) for name, indices in found.items()}
        extras = self._extras(names, chosen)
        steps = list(extras.pop("", []))
        for name, part in self.parts.items():
            steps.append(self._step(part, chosen.get(name)))
            steps += extras.pop(name, [])
        self._renamed(steps)
        return Rebuilt(steps, self.remarks, len(found))

    # ---- which cell is which ---------------------------------------------------------

    def _names(self) -> list[str]:
        names = [self._by_metadata(cell) for cell in self.cells]
        by_line = [self._by_first_line(cell) for cell in self.cells]
        lost = 0
        for index, (name, line) in enumerate(zip(names, by_line)):
            if line and (not name or (names.count(name) > 1 and line not in names)):
                names[index] = line
                lost += 1
        for index, cell in enumerate(self.cells):
            name = "" if names[index] else self._by_source(cell, names)
            if name:
                names[index] = name
                lost += name.split("_")[-1].startswith("answer")
        if lost:
            self.remarks.append(
                f"{lost} cells had lost their metadata and were found again by their text"
            )
        return names

    def _by_metadata(self, cell: dict) -> str:
        own = cell["metadata"].get("nbgrader")
        name = own.get("grade_id") if isinstance(own, dict) else None
        if isinstance(name, str) and name in self.parts:
            return name
        for identity in (cell["id"], cell["metadata"].get("id")):
            name = identity.replace("-", "_") if isinstance(identity, str) else ""
            if name in self.parts:
                return name
        return ""

    def _by_first_line(self, cell: dict) -> str:
        match = LEAD.match(cell["source"])
        if not match:
            return ""
        name = f"q{match[1]}_{KINDS.get(match[2], match[2])}{match[3]}"
        return name if name in self.parts else ""

    def _by_source(self, cell: dict, taken: list[str]) -> str:
        """A cell without any mark: a given cell by its text, an answer by what it defines."""
        if cell["cell_type"] != "code":
            return ""
        defined = _defined(cell["source"])[0]
        for name, part in self.parts.items():
            if name in taken:
                continue
            if part.kind == "given" and _same(cell["source"], part.source):
                return name
            if part.kind in ("answer", "marked") and defined & _defined(part.source)[0]:
                return name
        return ""

    def _one(self, name: str, indices: list[int]) -> int:
        """Which of several cells of one name counts: the last that is not an untouched stub."""
        if len(indices) == 1 or self.parts[name].kind in ("given", "check"):
            return indices[-1]
        written = [
            i for i in indices if not _same(self.cells[i]["source"], self.released[name])
        ] or indices
        if len({self.cells[i]["source"].strip() for i in written}) > 1:
            self.remarks.append(
                f"{self._place(name)} is there {len(written)} times; the last one counts"
            )
        return written[-1]

    def _extras(self, names: list[str], chosen: dict[str, int]) -> dict[str, list[Step]]:
        """Cells that a student added, by the part that they follow."""
        extras: dict[str, list[Step]] = {}
        anchor = ""
        texts = {
            _plain(cell.source)
            for cell in versions.build(self.master, versions.STUDENT).cells
            if not cell.metadata.get("nbgrader")
        }
        for index, (cell, name) in enumerate(zip(self.cells, names)):
            if name and chosen[name] == index:
                anchor = name
                continue
            copied = name and (
                self.parts[name].kind in ("given", "check")
                or _same(cell["source"], self.cells[chosen[name]]["source"])
                or _same(cell["source"], self.released[name])
            )
            install = "colab-setup" in (cell["metadata"].get("tags") or [])
            if copied or install or _plain(cell["source"]) in texts or not cell["source"].strip():
                continue
            code = cell["cell_type"] == "code"
            before = anchor if not name else _before(name, list(self.parts))
            extras.setdefault(before, []).append(
                Step(None, "code" if code else "text", cell["source"][:LONGEST], code,
                     outputs=cell["outputs"])
            )
        return extras

    # ---- the cells of the rebuilt notebook -------------------------------------------

    def _step(self, part: Part, index: int | None) -> Step:
        cell = self.cells[index] if index is not None else None
        if part.kind in ("given", "check"):
            if cell is None:
                self.remarks.append(f"{self._place(part.name)} was deleted; put back")
            elif not _same(cell["source"], self.released[part.name]):
                self.remarks.append(f"{self._place(part.name)} was edited; put back")
            source = versions.source_of(self.master, part, versions.GRADING)
            return Step(part, part.kind, source, True)
        if cell is None:
            if part.kind != "experiment":
                self.remarks.append(f"{self._place(part.name)} was deleted")
            run = part.kind in ("answer", "marked")
            return Step(part, part.kind, self.released[part.name], run, True, True)
        blank = _same(cell["source"], self.released[part.name])
        run = part.kind in ("answer", "marked")
        if run and cell["cell_type"] != "code":
            self.remarks.append(f"{self._place(part.name)} was turned into text; run as code")
        outputs = cell["outputs"] if part.kind == "experiment" else []
        return Step(part, part.kind, cell["source"][:LONGEST], run, blank, outputs=outputs)

    def _renamed(self, steps: list[Step]) -> None:
        """Say where a function that the checks call is defined nowhere."""
        sources = {id(step): _defined(step.source) for step in steps if step.run}
        everywhere = set().union(*(names for names, _ in sources.values()), set())
        for step in steps:
            if step.part is None or step.kind not in ("answer", "marked") or step.blank:
                continue
            here, error = sources[id(step)]
            wanted = _defined(step.part.source)[0]
            if error:
                self.remarks.append(f"{self._place(step.part.name)} is not Python: {error}")
            for name in sorted(wanted - everywhere) if not error else ():
                other = sorted(here - wanted)
                hint = f"; it defines {', '.join(other)}: renamed?" if other else ""
                self.remarks.append(
                    f"{self._place(step.part.name)} does not define {name}{hint}"
                )

    def _place(self, name: str) -> str:
        part = self.parts[name]
        if part.kind == "given":
            return f"the given cell {name.removeprefix('given')}"
        return versions.title_line(self.master, part).split(" (")[0].split(":")[0]


def _before(name: str, names: list[str]) -> str:
    """The part above `name`: a second version of an answer runs before the one that counts."""
    index = names.index(name)
    return names[index - 1] if index else ""


def _defined(source: str) -> tuple[set[str], str]:
    """Functions and classes defined at top level, and why it does not parse, if so."""
    plain = "\n".join("" if line.lstrip().startswith(("%", "!")) else line
                      for line in source.split("\n"))
    try:
        tree = ast.parse(plain)
    except SyntaxError as error:
        return set(re.findall(r"^(?:def|class) (\w+)", source, re.M)), f"{error.msg}"
    except (ValueError, RecursionError, MemoryError) as error:
        return set(), type(error).__name__
    kinds = ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef
    return {node.name for node in tree.body if isinstance(node, kinds)}, ""


def _plain(source: str) -> str:
    return "\n".join(line.rstrip() for line in source.strip().split("\n"))


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)
