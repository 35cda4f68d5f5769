"""The files of a data set on this machine: where they lie, are they right.

Introduced with chapter 1. Adds to `sources`: the per-user cache folder
(``COURSE_DATA_DIR`` moves it) and the comparison of digests.
"""

import hashlib
import os
import sysconfig
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from .errors import DataError
from .sources import Installed


def cache_folder():
    """Return the folder that holds the data; it need not exist yet."""
    chosen = os.environ.get("COURSE_DATA_DIR")
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return platformdirs.user_cache_path("course-utils") / "data"


def digest(path):
    """Return the SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_folder(source):
    """Return the folder of an installed package, without importing it."""
    if source.package == "the standard library":
        return Path(sysconfig.get_paths()["stdlib"])
    spec = find_spec(source.package)
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            f"The package {source.package} is not installed",
            expected=f"its files, which hold the data ({source})",
            got="no such package in this Python",
            todo=f"Run `{source.install}`.",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def locations(entry):
    """Return where the entry's files lie or will lie, member by member.

    An entry without members stands for its package's whole folder.
    """
    if isinstance(entry.source, Installed):
        folder = package_folder(entry.source)
        return [folder / member.path for member in entry.members] or [folder]
    folder = cache_folder() / entry.name
    return [folder / member.name for member in entry.members]


def present(entry):
    """Tell whether every file is there with its size; digests come later."""
    return all(
        path.is_file() and path.stat().st_size == member.size
        for path, member in zip(locations(entry), entry.members)
    )


@dataclass(frozen=True)
class Check:
    """The verdict on one file."""

    path: Path
    expected: str
    got: str

    @property
    def right(self):
        """Whether the digest is the recorded one."""
        return self.expected == self.got


def checks(entry):
    """Compare the digest of each file of the entry with the registry's.

    Returns
    -------
    list of Check
        ``got`` is ``"no file"`` where the file is missing.
    """
    found = []
    for path, member in zip(locations(entry), entry.members):
        got = digest(path) if path.is_file() else "no file"
        found.append(Check(path, member.sha256, got))
    return found


def require(entry):
    """Raise `DataError` unless every file has its recorded digest."""
    for check in checks(entry):
        if not check.right:
            again = f"Run `course data fetch {entry.name} --again`."
            if isinstance(entry.source, Installed):
                again = f"Run `{entry.source.install}`."
            raise DataError(
                f"{entry.name}: {check.path} is not the recorded file",
                expected=f"SHA-256 {check.expected}",
                got=check.got,
                todo=again,
            )
