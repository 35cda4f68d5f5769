"""The fence around a submission: namespaces, hidden folders, limits, another user.

On Linux the kernel does it: a submission gets its own network (with nothing in it), its own
process tree (all of it ends with the submission), its own view of the disk (the masters, the
other submissions and the home folder are not there). As root, it also runs as a user of its
own. Where the system refuses some of this, `Fence.report` says so, and a refusal inside
Python takes its place for network and files: good against accidents, not against intent.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x00020000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)
RDONLY, NOSUID, NODEV, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PDEATHSIG, DUMPABLE, SUBREAPER, NO_NEW_PRIVS = 1, 4, 36, 38
VIEW = "/proc/self/ns/mnt"
OUTSIDE: dict[str, str] = {}  # the view of the disk before `separate`
FIRST_USER = 65000  # of users that nobody has: one for each worker
MEGABYTE = 1 << 20


@dataclass
class Fence:
    """What a submission may see and use.

    `hidden` folders become empty, `scratch` folders empty and its own; `kept` ones stay
    where they are, read only, even inside the others. `work` is the working folder.
    """

    work: str
    hidden: list[str]
    scratch: list[str]
    kept: list[str]
    memory: float  # GB
    seconds: float  # of processor time
    slot: int = 0
    file_size: int = 64  # MB
    disk: int = 256  # MB in the working folder
    processes: int = 64
    namespaces: bool = True
    report: dict[str, str] = field(default_factory=dict)

    @property
    def user(self) -> int:
        """The user to become; -1: stay who we are.

        Another user must be able to read our Python; in a view of the disk of its own it
        can, as what is kept is bound there.
        """
        if os.geteuid() != 0 or not (self.namespaces or all(map(_open_to_all, self.kept))):
            return -1
        return FIRST_USER + self.slot


def _open_to_all(folder: str) -> bool:
    """Whether any user can get into a folder."""
    path = Path(folder).resolve()
    return all(p.stat().st_mode & 0o001 for p in (path, *path.parents) if p.is_dir())


def probe() -> bool:
    """Whether this system gives namespaces to us; found out in a copy of this process."""
    child = os.fork()
    if child == 0:
        try:
            trial = Fence("/", [], [], [], 1, 1)
            if separate(trial):
                _mount("none", "/", "none", REC | PRIVATE)
                _mount("tmpfs", "/tmp", "tmpfs", NOSUID | NODEV)
                os._exit(0)
            os._exit(1)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments) -> None:
    if getattr(_libc(), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def end_with_parent() -> None:
    """Let this process be killed when its parent is."""
    if sys.platform == "linux":
        _call("prctl", PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def separate(fence: Fence) -> bool:
    """New namespaces for this process; whether the next child is the first of a new tree."""
    if sys.platform != "linux":
        fence.report["network"] = "refused inside Python only (no namespaces here)"
        return False
    OUTSIDE["view"] = os.readlink(VIEW)
    user, group, space = os.getuid(), os.getgid(), NEWPID | NEWNET | NEWNS | NEWIPC
    ways = ((0, NEWUSER) if user == 0 else (NEWUSER,)) if fence.namespaces else ()
    fence.report["network"] = fence.report["files"] = "refused inside Python only"
    for extra in ways:
        try:
            _call("unshare", space | extra)
        except OSError as error:
            fence.report["network"] = f"refused inside Python only ({error.strerror})"
            continue
        if extra:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
        fence.report["network"] = "none (a namespace of its own)"
        fence.report["processes"] = "a tree of their own, ended together"
        return True
    _call("prctl", SUBREAPER, 1, 0, 0, 0)
    fence.report["processes"] = "ended by group and parent"
    return False


def _mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount something in our own view of the disk; refused in anybody else's."""
    if "view" not in OUTSIDE or os.readlink(VIEW) == OUTSIDE["view"]:
        raise OSError("this process has no view of the disk of its own")
    _call("mount", source.encode(), target.encode(), kind.encode(), flags, data.encode())


def hide(fence: Fence) -> None:
    """Build the submission's view of the disk; needs a mount namespace of our own."""
    try:
        _mount("none", "/", "none", REC | PRIVATE)
        for folder in _outermost(fence.scratch):
            _empty(folder, fence, f"size={fence.file_size}m,mode=1777")
        for folder in fence.hidden:
            if os.path.isdir(folder):
                _empty(folder, fence, "size=4k,mode=755")
        os.makedirs(fence.work, exist_ok=True)
        owner = f",uid={fence.user},gid={fence.user}" if fence.user > 0 else ""
        _mount("tmpfs", fence.work, "tmpfs", NOSUID | NODEV,
               f"size={fence.disk}m,mode=700{owner}")
        fence.report["files"] = "masters, other submissions and the home folder are not there"
    except OSError as error:
        fence.report["files"] = f"refused inside Python only ({error})"
    try:
        _mount("proc", "/proc", "proc", NOSUID | NODEV)
    except OSError:
        fence.report["machine"] = "its processes can be listed"


def _outermost(folders: list[str]) -> list[str]:
    found: list[str] = []
    for folder in sorted({os.path.realpath(f) for f in folders if os.path.isdir(f)}, key=len):
        if not any(_within(folder, other) for other in found):
            found.append(folder)
    return found


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _empty(folder: str, fence: Fence, options: str) -> None:
    """Cover a folder with an empty one; what is kept inside it is bound back, read only."""
    inside = _outermost([k for k in fence.kept if _within(os.path.realpath(k), folder)])
    if folder in inside:
        return
    doors = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in inside}
    _mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, options)
    for path, door in doors.items():
        os.makedirs(path, exist_ok=True)
        _mount(f"/proc/self/fd/{door}", path, "none", BIND | REC)
        os.close(door)
        try:
            _mount("none", path, "none", BIND | REMOUNT | RDONLY | NOSUID)
        except OSError:
            fence.report["kept"] = "some kept folders can be written to"


def limit(fence: Fence) -> None:
    """Limits of memory, time, files and processes, for this process and its children."""
    statm = Path("/proc/self/statm")
    pages = int(statm.read_text().split()[0]) if statm.exists() else 0
    used = pages * resource.getpagesize()
    most = {
        "AS": used + int(fence.memory * 1024) * MEGABYTE,
        "CPU": int(fence.seconds) + 1,
        "FSIZE": fence.file_size * MEGABYTE,
        "NOFILE": 512,
        "CORE": 0,
        "NPROC": fence.processes + (0 if "tree" in fence.report.get("processes", "") else _mine()),
    }
    for name, value in most.items():
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
        except (AttributeError, ValueError, OSError):
            fence.report[f"limit {name}"] = "not on this system"


def _mine() -> int:
    """Threads that this user runs already: they count towards the limit."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*/task"):
        try:
            if folder.stat().st_uid == os.getuid():
                count += len(list(folder.iterdir()))
        except OSError:
            continue
    return count


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


def drop(fence: Fence) -> None:
    """Become a user with no rights; there is no way back."""
    if fence.user > 0:
        os.chown(fence.work, fence.user, fence.user)
        user = fence.user
        os.setgroups([])
        os.setresgid(user, user, user)
        fence.report["user"] = "one of its own"
        os.setresuid(user, user, user)
    else:
        fence.report["user"] = "the one who grades"
    if sys.platform == "linux":
        none = (ctypes.c_uint32 * 6)()
        _libc().capset(ctypes.byref(_Header(0x20080522, 0)), none)
        _call("prctl", NO_NEW_PRIVS, 1, 0, 0, 0)
        _call("prctl", DUMPABLE, 1, 0, 0, 0)


def sweep(student: int) -> None:
    """End what a submission has left behind where it had no process tree of its own."""
    try:
        os.killpg(student, signal.SIGKILL)
    except OSError:
        pass
    for _ in range(100):
        left = _children()
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except OSError:
                pass
        if not left:
            return


def _children() -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                found.append(int(stat.parent.name))
        except (OSError, ValueError, IndexError):
            continue
    return found
