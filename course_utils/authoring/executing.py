"""Execute a notebook in its own folder, with this Python, and keep outputs that last."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

from nbformat import NotebookNode

from .notebook import generated
from .project import CourseError

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
BAR = re.compile(r"\d+%\|.*\||\d+it \[")
WIDGET = "application/vnd.jupyter.widget-view+json"
TAIL = 15
KERNEL = ["-m", "ipykernel_launcher", "--log-level=ERROR", "-f", "{connection_file}"]

Say = Callable[[str], None]


def execute(notebook: NotebookNode, path: Path, *, timeout: float, say: Say) -> None:
    """Run every cell and store its outputs in `notebook`.

    Parameters
    ----------
    notebook : NotebookNode
        Changed in place: outputs, counts, and ``course.seconds`` in its metadata: what
        the page takes alone on this machine, or a little more (see `_seconds`).
    path : Path
        The page; its folder is the working folder, its name appears in messages.
    timeout : float
        Seconds that one cell may take.
    say : callable
        Gets one short line for each cell, before it runs.

    Raises
    ------
    CourseError
        With the end of the traceback, if a cell fails.
    """
    clock, work = time.perf_counter(), _work_of_children()
    client = _client(notebook, path, timeout)
    count = sum(cell.cell_type == "code" for cell in notebook.cells)
    done = 0
    with client.setup_kernel(cwd=str(path.parent)):
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            done += 1
            say(f"{path.stem}: cell {done} of {count}  {_first_line(cell.source)}")
            _run(client, cell, index, path)
    _clean(notebook)
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata["course"]["seconds"] = round(
        _seconds(time.perf_counter() - clock, _work_of_children() - work), 1
    )


def _seconds(clock: float, work: float) -> float:
    """The time that the page takes when nothing else runs, from above.

    Other work on the machine lengthens the clock's time but not the processor's, and a
    second thread shortens the clock's but not the processor's: the smaller one holds.
    Where the system does not count the processor time of children, the clock's.
    """
    return min(clock, work) if work > 0 else clock


def _work_of_children() -> float:
    """Processor seconds of the processes that this one has started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def _client(notebook: NotebookNode, path: Path, timeout: float):
    from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from traitlets import default

    class ThisPython(KernelSpecManager):
        """Knows one kernel: the Python that runs now, whatever the user has installed."""

        def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
            return KernelSpec(argv=[sys.executable, *KERNEL], language="python")

    class Manager(AsyncKernelManager):
        @default("kernel_spec_manager")
        def _this_python(self) -> KernelSpecManager:
            return ThisPython()

    return NotebookClient(
        notebook,
        kernel_name="python3",
        kernel_manager_class=Manager,
        timeout=timeout,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )


def _run(client, cell: NotebookNode, index: int, path: Path) -> None:
    from nbclient.exceptions import (
        CellExecutionError,
        CellTimeoutError,
        DeadKernelError,
    )

    try:
        client.execute_cell(cell, index)
    except CellExecutionError as error:
        lines = ESCAPES.sub("", error.traceback).rstrip().splitlines()
        reason = "\n".join(["the cell fails:", *lines[-TAIL:]])
    except CellTimeoutError:
        reason = f"the cell took longer than {client.timeout:.0f} s (see --timeout)."
    except DeadKernelError:
        reason = "the kernel died in this cell: out of memory?"
    else:
        return
    raise CourseError(
        f"{path}, the code cell that starts with {_first_line(cell.source)!r}: {reason}\n"
        f"{path.with_suffix('.ipynb').name} is left as it was."
    )


def _first_line(source: str) -> str:
    return next((line for line in source.splitlines() if line.strip()), "")


def _clean(notebook: NotebookNode) -> None:
    """Drop what would differ in the next run for no reason; count the author's cells."""
    count = 0
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        cell.outputs = _lasting(cell.outputs)
        if generated(cell):
            cell.execution_count = None
        else:
            count += 1
            cell.execution_count = count
            for output in cell.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = count


def _lasting(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Outputs without progress bars and widgets, whose state is not stored."""
    kept = []
    for output in outputs:
        if WIDGET in output.get("data", {}):
            continue
        if output.output_type == "stream" and output.name == "stderr":
            output.text = _without_bars(output.text)
            if not output.text.strip():
                continue
        kept.append(output)
    return _joined(kept)


def _without_bars(text: str) -> str:
    lines = re.split(r"(?<=[\n\r])", text)
    return "".join(line for line in lines if line.strip() and not BAR.search(line))


def _joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Neighbouring pieces of one stream as one: where they break depends on timing."""
    joined: list[NotebookNode] = []
    for output in outputs:
        last = joined[-1] if joined else None
        if last and output.output_type == last.output_type == "stream" and last.name == output.name:
            last.text += output.text
        else:
            joined.append(output)
    return joined
