"""The executed notebook of a submission: its score, for the teacher, for the student."""

from __future__ import annotations

import copy
import re

import nbformat
from nbformat import NotebookNode

from ..notebook import KERNEL
from . import regions, versions
from .master import Master, Part
from .matching import Rebuilt, Step
from .records import Record
from .running import Runner, reason
from .session import Outcome

FOLDED = re.compile(r"<details>.*?</details>\n*", re.S)
HIDDEN = "# (and checks on other inputs)"
STRONG = {"timeout", "died", "flood", "late"}
PICTURES = ("image/png", "image/jpeg", "image/svg+xml", "text/html", "text/plain")


def score(
    record: Record, master: Master, rebuilt: Rebuilt, outcomes: list[Outcome | None],
    runner: Runner,
) -> None:
    """Fill in points and reasons of every check and every marked answer."""
    record.attention += rebuilt.remarks
    record.fences = dict(runner.fences)
    for step, outcome in zip(rebuilt.steps, outcomes):
        where = _where(master, step)
        if outcome:
            record.seconds = round(record.seconds + outcome.seconds, 2)
            record.attention += [f"{where} {note}" for note in outcome.notes]
            if outcome.status in STRONG:
                record.attention.append(f"{where}: {reason(outcome, runner.limits)}")
        if step.kind == "check":
            record.cells[step.part.name] = step.part.points * (outcome.status == "ok")
            if outcome.status != "ok":
                record.reasons[step.part.name] = reason(outcome, runner.limits)
        elif step.kind in ("marked", "written"):
            if step.blank:
                record.cells[step.part.name] = 0.0
                record.reasons[step.part.name] = "deleted" if step.missing else "left blank"
            else:
                record.waiting.append(step.part.name)
    record.attention = list(dict.fromkeys(record.attention))


def _where(master: Master, step: Step) -> str:
    if step.part is None:
        return "an added cell"
    if step.kind == "given":
        return "a given cell"
    return versions.title_line(master, step.part).split(" (")[0].split(":")[0]


# ---- the notebooks ---------------------------------------------------------------------


def notebook(
    master: Master, rebuilt: Rebuilt, outcomes: list[Outcome | None], record: Record
) -> NotebookNode:
    """The submission in the master's order with fresh outputs, as nbgrader stores it."""
    cells = []
    parts = {step.part.name: n for n, step in enumerate(rebuilt.steps) if step.part}
    after: dict[str, list[int]] = {}
    anchor = ""
    for number, step in enumerate(rebuilt.steps):
        if step.part:
            anchor = step.part.name
        else:
            after.setdefault(anchor, []).append(number)
    numbers = list(after.get("", []))
    for cell in versions.build(master, versions.STUDENT).cells:
        name = cell.id.replace("-", "_")
        if name not in parts:
            cells.append(cell)
            continue
        numbers += [parts[name], *after.get(name, [])]
        while numbers:
            number = numbers.pop(0)
            cells.append(_cell(master, rebuilt.steps[number], outcomes[number], number))
    made = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": KERNEL})
    made.cells.insert(0, _summary(master, record))
    return made


def _cell(master: Master, step: Step, outcome: Outcome | None, number: int) -> NotebookNode:
    if step.part is not None:
        cell = versions.cell(master, step.part, versions.GRADING)
        cell.source = step.source
        cell.id = step.part.name.replace("_", "-")
        if step.blank and "nbgrader" in cell.metadata:
            cell.metadata["nbgrader"]["checksum"] = versions.fingerprint(cell)
    else:
        make = nbformat.v4.new_code_cell if step.kind == "code" else nbformat.v4.new_markdown_cell
        cell = make(source=step.source)
        cell.id = f"added-{number}"
    if cell.cell_type == "code":
        cell.outputs = nbformat.from_dict(outcome.outputs if outcome else _kept(step.outputs))
        failed = any(output.output_type == "error" for output in cell.outputs)
        if outcome and outcome.status != "ok" and not failed and step.kind == "check":
            cell.outputs.append(_failure(outcome))
    return cell


def _failure(outcome: Outcome) -> NotebookNode:
    said = {"timeout": "it took too long", "died": "its process ended"}
    text = said.get(outcome.status, "it could not be run")
    return nbformat.v4.new_output("error", ename="Stopped", evalue=text, traceback=[text])


def _kept(outputs: list) -> list[dict]:
    """Outputs that a student stored, in a form that nbformat accepts; at most a megabyte."""
    kept, size = [], 0
    for output in outputs[:50]:
        if not isinstance(output, dict):
            continue
        text, data = output.get("text"), output.get("data")
        if isinstance(text, list):
            text = "".join(line for line in text if isinstance(line, str))
        if output.get("output_type") == "stream" and isinstance(text, str):
            clean = {"output_type": "stream", "name": "stdout", "text": text[:20_000]}
        elif isinstance(data, dict):
            shown = {
                key: "".join(value) if isinstance(value, list) else value
                for key, value in data.items()
                if key in PICTURES and key != "text/html"
            }
            shown = {key: value for key, value in shown.items() if isinstance(value, str)}
            clean = {"output_type": "display_data", "data": shown, "metadata": {}}
        else:
            continue
        size += len(str(clean))
        if size > 1_000_000:
            break
        kept.append(clean)
    return kept


def _summary(master: Master, record: Record) -> NotebookNode:
    """A table at the head: points of each question, and why some are missing."""
    rows = []
    for question in master.questions:
        points, notes = [], []
        for part in master.of(question.name, "check", "marked", "written"):
            if part.name in record.waiting:
                notes.append(f"{part.points:g} marked by a person")
            else:
                points.append(record.cells.get(part.name, 0.0))
            if part.name in record.reasons:
                notes.append(f"{_short(part)}: {_escaped(record.reasons[part.name])}")
        rows.append(
            f"| {question.number} | {sum(points):g} of {question.points:g} | "
            f"{'; '.join(notes) or 'all checks passed'} |"
        )
    text = "\n".join([
        "## Marks by question", "", "| question | points from checks | remarks |",
        "|---|---|---|", *rows,
    ])
    cell = nbformat.v4.new_markdown_cell(text)
    cell.id = "summary"
    return cell


def _short(part: Part) -> str:
    return re.sub(r"^q\d+_([a-z]+)(\d+)$", r"\1 \2", part.name)


def _escaped(text: str) -> str:
    """Text that a submission may have chosen, safe in a table and on a page."""
    plain = text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return re.sub(r"([`*_$\[\]])", r"\\\1", plain)


def public(master: Master, made: NotebookNode, record: Record) -> NotebookNode:
    """The notebook that a student gets back: without hidden checks, and inert.

    Scripts in the submission's own outputs and texts do not reach the page.
    """
    shown = copy.deepcopy(made)
    parts = {part.name: part for part in master.parts if part.name}
    shown.cells = [c for c in shown.cells if "colab-setup" not in c.metadata.get("tags", [])]
    for cell in shown.cells:
        part = parts.get(cell.id.replace("-", "_"))
        if cell.cell_type == "code":
            cell.outputs = [_inert(output) for output in cell.outputs]
        elif part is not None or cell.id.startswith("added-"):
            cell.source = cell.source.replace("<", "&lt;")
        else:
            cell.source = FOLDED.sub("", cell.source).replace(versions.HOW, "")
        if part is None or part.kind != "check":
            continue
        if "hidden tests" in regions.kinds(part.source, part.place):
            visible = regions.without(part.source, part.place, drop=("hidden tests",))
            cell.source = f"# {versions.title_line(master, part)}\n{visible}\n{HIDDEN}"
        for output in cell.outputs:
            if output.output_type == "error":
                output.traceback = [record.reasons.get(part.name, output.evalue)]
    return shown


def _inert(output: NotebookNode) -> NotebookNode:
    if output.get("data"):
        kept = {k: v for k, v in output.data.items() if k in ("image/png", "text/plain")}
        output.data = nbformat.from_dict(kept or {"text/plain": "(an output that is not shown)"})
    return output
