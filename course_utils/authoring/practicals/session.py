"""Our side of the fence: start a submission's process, send it cells, never wait for ever."""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..project import CourseError
from .fence import Fence

START, GRACE = 60.0, 2.0
FLOOD = 16 << 20  # bytes that one reply may have
PASSED_ON = (
    "PATH", "LANG", "LC_ALL", "TZ", "COURSE_DATA_DIR", "COURSE_DATA_MIRROR", "PYTHONPATH",
)
FIXED = {
    "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "COURSE_DEVICE": "cpu", "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}
ALWAYS = ("numpy", "matplotlib.pyplot")


@dataclass
class Outcome:
    """What became of one cell; `status` is ok, error, timeout, died or flood."""

    status: str
    outputs: list[dict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def error(self) -> dict:
        """The last error shown, or an empty dictionary."""
        return next((o for o in reversed(self.outputs) if o["output_type"] == "error"), {})


class Server:
    """The process that has the modules loaded; it is started again if it dies."""

    def __init__(self, modules: list[str]) -> None:
        self.modules = list(dict.fromkeys([*ALWAYS, *modules]))
        self.process: subprocess.Popen | None = None
        self.begin()

    def begin(self) -> None:
        """Start it, and wait until it is ready."""
        ours, theirs = socket.socketpair()
        passed = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.server", str(theirs.fileno()),
             json.dumps(self.modules)],
            pass_fds=[theirs.fileno()], env=passed | FIXED, cwd="/",
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()
        self.control = ours
        ours.settimeout(START)
        try:
            told = ours.recv(1 << 16)
        except TimeoutError:
            told = b""
        if not told:
            self.close()
            raise CourseError("the process that runs submissions does not start.")

    def copy(self, fence: Fence, doors: list[int]) -> None:
        """Ask for a copy that reads from and writes to these pipe ends."""
        if self.process is None or self.process.poll() is not None:
            self.begin()
        described = asdict(fence)
        described.pop("report")
        socket.send_fds(self.control, [json.dumps(described).encode()], doors)

    def close(self) -> None:
        """End the server; copies end with it."""
        self.control.close()
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Session:
    """One copy: the process in which the cells of one submission are executed."""

    def __init__(self, server: Server, fence: Fence) -> None:
        commands, self._write = os.pipe()
        self._read, replies = os.pipe()
        self._rest = b""
        self.keeper = 0
        try:
            server.copy(fence, [commands, replies])
        finally:
            os.close(commands)
            os.close(replies)
        self.fences: dict[str, str] = {}
        self.alive = True
        until = time.monotonic() + START
        while not (self.keeper and self.fences):
            told = self._line(until)
            if not isinstance(told, dict):
                self.close()
                raise CourseError("a submission's process does not start.")
            self.keeper = told.get("keeper", self.keeper)
            self.fences = told.get("fences", self.fences)

    def run(self, source: str, seconds: float, *, check: bool = False) -> Outcome:
        """Execute one cell; after `seconds` it is interrupted, and if need be ended."""
        token, began = secrets.token_hex(8), time.monotonic()
        request = json.dumps({"source": source, "token": token, "check": check})
        try:
            self._send(request.encode() + b"\n", began + seconds)
            told = self._answer(token, began + seconds)
            if told is None:
                os.kill(self.keeper, signal.SIGUSR1)
                told = self._answer(token, time.monotonic() + GRACE)
                outcome = self._outcome(told, "timeout", "timeout")
            else:
                outcome = self._outcome(told, "error", "died")
        except (OSError, ValueError):
            self.close()
            outcome = Outcome("died")
        outcome.seconds = time.monotonic() - began
        return outcome

    def _outcome(self, told, failed: str, ended: str) -> Outcome:
        if isinstance(told, dict):
            status = "ok" if told["ok"] else failed
            return Outcome(status, told["outputs"], told["notes"])
        self.close()
        return Outcome("flood" if told == "flood" else ended)

    def _answer(self, token: str, until: float):
        """The reply with this token; None: too late; "died" or "flood": there is none."""
        while True:
            told = self._line(until)
            if not isinstance(told, dict) or told.get("token") == token:
                return told

    def _line(self, until: float):
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._read], [], [], left)[0]:
                return None
            piece = os.read(self._read, 1 << 20)
            if not piece:
                return "died"
            self._rest += piece
            if len(self._rest) > FLOOD:
                return "flood"
        line, self._rest = self._rest.split(b"\n", 1)
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return {}
        return told if isinstance(told, dict) else {}

    def _send(self, data: bytes, until: float) -> None:
        os.set_blocking(self._write, False)
        while data:
            left = until - time.monotonic()
            if left <= 0 or not select.select([], [self._write], [], left)[1]:
                raise TimeoutError
            data = data[os.write(self._write, data) :]

    def close(self) -> None:
        """End the submission's process and all that it has started."""
        if not self.alive:
            return
        self.alive = False
        os.close(self._write)
        os.close(self._read)
        if self.keeper:
            self._end()

    def _end(self) -> None:
        """Let the keeper clear up; if it does not, end it."""
        try:
            os.kill(self.keeper, signal.SIGTERM)
            for _ in range(1000):
                os.kill(self.keeper, 0)
                time.sleep(0.002)
            os.kill(self.keeper, signal.SIGKILL)
        except OSError:
            pass  # it is gone


def surroundings(*hidden: Path) -> dict:
    """Settings for a `Fence`: folders to hide and to keep, and whether to use namespaces.

    COURSE_GRADING_FENCE=python does without them, where they make trouble.
    """
    import course_utils
    from course_utils.data.cache import cache_folder

    kept = {sys.prefix, sys.base_prefix, sys.exec_prefix, sysconfig.get_paths()["stdlib"]}
    kept |= {str(Path(course_utils.__file__).parent), str(cache_folder())}
    kept |= {path for path in sys.path if path.endswith("-packages")}
    kept |= {os.environ[key] for key in ("COURSE_DATA_MIRROR",) if key in os.environ}
    scratch = {"/tmp", "/var/tmp", "/dev/shm", "/run/user", tempfile.gettempdir()}
    scratch.add(str(Path.home()))
    return {
        "hidden": sorted(str(folder.resolve()) for folder in hidden),
        "scratch": sorted(scratch), "kept": sorted(kept),
        "namespaces": os.environ.get("COURSE_GRADING_FENCE") != "python",
    }
