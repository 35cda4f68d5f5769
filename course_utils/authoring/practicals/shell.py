"""Run the cells of a notebook in this process: an IPython shell without a kernel.

It shows, prints and fails as a kernel would, but starts in milliseconds where the modules
are loaded, and can be forked. Outputs are cut at a limit, so that no cell floods the report.
"""

from __future__ import annotations

import io
import os
import re
import sys

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

TEXT, RICH, TRACE = 100_000, 2_000_000, 20_000
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


class Collector:
    """The outputs of the running cell, in nbformat's form and in order."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.outputs: list[dict] = []
        self.text, self.rich, self.cut = 0, 0, 0

    def stream(self, name: str, text: str) -> None:
        kept = text[: max(0, TEXT - self.text)]
        self.cut += len(text) - len(kept)
        self.text += len(kept)
        if not kept:
            return
        last = self.outputs[-1] if self.outputs else {}
        if last.get("name") == name:
            last["text"] += kept
        else:
            self.outputs.append({"output_type": "stream", "name": name, "text": kept})

    def show(self, kind: str, data: dict, metadata: dict) -> None:
        kept = {key: value for key, value in data.items() if isinstance(value, (str, dict, list))}
        size = sum(len(str(value)) for value in kept.values())
        if self.rich + size > RICH:
            self.cut += size
            return
        self.rich += size
        output = {"output_type": kind, "data": kept, "metadata": {}}
        if kind == "execute_result":
            output["execution_count"] = None
        self.outputs.append(output)

    def error(self, kind: str, value: str, trace: list[str]) -> None:
        trace = [ESCAPES.sub("", line) for line in trace]
        if sum(map(len, trace)) > TRACE:
            trace = ["".join(trace)[-TRACE:]]
        self.outputs.append({
            "output_type": "error", "ename": kind, "evalue": value[:TRACE], "traceback": trace,
        })

    def finish(self) -> list[dict]:
        """The outputs, with a line that says how much was cut away."""
        if self.cut:
            note = f"\n[{self.cut} more characters of output were cut]\n"
            self.outputs.append({"output_type": "stream", "name": "stderr", "text": note})
        return self.outputs


class Stream(io.TextIOBase):
    """Standard output or error of a cell."""

    def __init__(self, name: str, collector: Collector) -> None:
        self._name, self._collector = name, collector

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._collector.stream(self._name, text)
        return len(text)


class _Publisher(DisplayPublisher):
    collector: Collector

    def publish(self, data, metadata=None, **_) -> None:
        self.collector.show("display_data", data, metadata or {})


class _Hook(DisplayHook):
    collector: Collector

    def __call__(self, result=None) -> None:
        if result is not None:
            data, metadata = self.shell.display_formatter.format(result)
            self.collector.show("execute_result", data, metadata)


class Shell(InteractiveShell):
    """IPython without history, terminal or colours; `run` executes one cell."""

    def __init__(self) -> None:
        self.collector = Collector()
        super().__init__(colors="nocolor")
        self.history_manager.enabled = False
        self.display_pub.collector = self.displayhook.collector = self.collector
        self.streams = Stream("stdout", self.collector), Stream("stderr", self.collector)

    def init_display_pub(self) -> None:
        self.display_pub = _Publisher(parent=self, shell=self)

    def init_displayhook(self) -> None:
        self.displayhook = _Hook(parent=self, shell=self)
        from IPython.core.display_trap import DisplayTrap

        self.display_trap = DisplayTrap(hook=self.displayhook)

    def enable_gui(self, gui=None) -> None:
        """Figures go into the notebook: there is no window."""

    def _showtraceback(self, etype, evalue, stb) -> None:
        self.collector.error(etype.__name__, _said(evalue), list(stb))

    def run(self, source: str) -> tuple[bool, list[dict]]:
        """Execute one cell; whether it went through, and its outputs."""
        self.collector.start()
        before = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self.streams
        try:
            result = self.run_cell(source, store_history=False)
            return bool(result.success), self.collector.finish()
        finally:
            sys.stdout, sys.stderr = before


def _said(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(the error has no readable text)"


def start() -> Shell:
    """A new shell, ready for figures."""
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    from IPython.core.history import HistoryManager

    HistoryManager.enabled = False
    Shell.clear_instance()
    shell = Shell.instance()
    sys.modules.setdefault("__main__", shell.user_module)
    return shell
