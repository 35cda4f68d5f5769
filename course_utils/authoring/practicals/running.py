"""Run a rebuilt submission cell by cell; whatever it does, every check gets an outcome.

A cell that takes too long is interrupted. If its process ends (or has to be ended), a fresh
one runs the earlier cells again without it, so that one bad cell costs its own question.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass

from ..project import CourseError
from .fence import Fence
from .matching import Step
from .session import Outcome, Server, Session

RESTARTS = 8
PING, PAUSE = 5.0, 0.05


@dataclass(frozen=True)
class Limits:
    """What one submission may use."""

    cell: float = 10.0  # seconds for one cell
    total: float = 60.0  # seconds for all of them
    memory: float = 2.0  # GB

    def scaled(self, cells: dict[str, float]) -> Limits:
        """Limits that leave room for what the solution itself took, cell by cell."""
        longest = max(cells.values(), default=0.0)
        return Limits(
            max(self.cell, 10 * longest), max(self.total, 10 * sum(cells.values())), self.memory
        )


class Runner:
    """Runs the steps of one submission; `surroundings` are folders to hide and to keep."""

    def __init__(self, server: Server, limits: Limits, surroundings: dict, slot: int = 0) -> None:
        self.server, self.limits = server, limits
        self.surroundings, self.slot = surroundings, slot
        self.session: Session | None = None
        self.folders: list[str] = []
        self.fences: dict[str, str] = {}

    def run(self, steps: list[Step]) -> list[Outcome | None]:
        """An outcome for each step; None for a step that is not executed."""
        self.until = time.monotonic() + self.limits.total
        self.restarts, self.good = 0, []
        try:
            return [self._step(step) if step.run else None for step in steps]
        finally:
            self._close()

    def _step(self, step: Step) -> Outcome:
        """Run one step; if an earlier one ended the process after all, run it again."""
        outcome, before = self._attempt(step), len(self.good)
        try:
            if outcome.status == "died" and self._ready() and len(self.good) < before:
                again = self._attempt(step)
                again.notes.append("ran again: an earlier cell had ended the process")
                return again
        except CourseError:
            self._close()
        return outcome

    def _attempt(self, step: Step) -> Outcome:
        left = self.until - time.monotonic()
        if left <= 0 or self.restarts > RESTARTS:
            return Outcome("late")
        try:
            if not self._ready():
                return Outcome("late")
            left = max(0.1, min(self.limits.cell, self.until - time.monotonic()))
            check = step.kind == "check"
            outcome = self.session.run(step.source, left, check=check)
        except CourseError:
            self._close()
            self.restarts += 1
            return Outcome("died")
        if outcome.status in ("ok", "error") and step.kind != "check":
            if self.session.run("", PING).status != "ok":  # it had ended itself, just slower
                self._lost()
                return Outcome("died", outcome.outputs, outcome.notes, outcome.seconds)
            self.good.append(step.source)
        return outcome

    def _lost(self) -> None:
        if self.session:
            self.session.close()

    def _ready(self) -> bool:
        """A living process that has run all good cells so far; False if time is up."""
        if self.session and self.session.alive:
            return True
        while self.until > time.monotonic() and self.restarts <= RESTARTS:
            self.restarts += self.session is not None
            self._begin()
            guilty = self._replay()
            if guilty is None:
                return self.session.alive
            self.good.remove(guilty)
        return False

    def _begin(self) -> None:
        work = tempfile.mkdtemp(prefix="course-grading-")
        self.folders.append(work)
        fence = Fence(
            work=work, memory=self.limits.memory, seconds=self.limits.total,
            slot=self.slot, **self.surroundings,
        )
        self.session = Session(self.server, fence)
        self.fences = self.session.fences

    def _replay(self) -> str | None:
        """Run the good cells again; the one that ends the process, if one does."""
        for source in self.good:
            left = max(0.1, min(self.limits.cell, self.until - time.monotonic()))
            self.session.run(source, left)
            time.sleep(PAUSE)
            if not self.session.alive or self.session.run("", PING).status != "ok":
                return source
        return None

    def _close(self) -> None:
        if self.session:
            self.session.close()
        self.session = None
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.folders = []


def reason(outcome: Outcome, limits: Limits) -> str:
    """In one line, why a check did not pass; empty if it did."""
    said: dict[str, Callable[[], str]] = {
        "ok": lambda: "",
        "error": lambda: _error(outcome),
        "timeout": lambda: f"stopped after {outcome.seconds:.0f} s: an endless loop?",
        "died": lambda: "its process ended: out of memory, a crash, or an exit",
        "flood": lambda: "it gave out more than can be kept",
        "late": lambda: f"not run: the submission had used up its {limits.total:.0f} s",
    }
    return said[outcome.status]()


def _error(outcome: Outcome) -> str:
    error = outcome.error
    kind, said = error.get("ename", "Error"), " ".join(str(error.get("evalue", "")).split())
    if kind == "NotImplementedError" and said.endswith("still to be written."):
        return f"left blank ({said})"
    if kind == "SystemExit":
        return "it ended the program (sys.exit)"
    if kind == "MemoryError":
        return "out of memory"
    if kind == "AssertionError":
        return said[:300] or "a check failed"
    return f"{kind}: {said}"[:300]
