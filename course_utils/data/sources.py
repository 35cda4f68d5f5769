"""What a registry entry is: where data come from, which files they are.

Introduced with chapter 1. Adds to `errors`: the shape of a registry entry.
"""

import fnmatch
import re
from dataclasses import dataclass

from .errors import DataError

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True)
class Wheel:
    """A wheel of the package index; its code is never run."""

    project: str
    version: str
    file: str  # name of the wheel file
    size: int  # bytes
    sha256: str
    options: tuple = ()  # further options of `pip download`

    def __str__(self):
        return f"wheel {self.project}=={self.version}"


@dataclass(frozen=True)
class Url:
    """A plain file on the web.

    With ``text=True`` the file is stored with LF line ends and without
    blanks around it, because copies of it differ in those.
    """

    url: str
    file: str
    size: int  # bytes, about
    text: bool = False

    def __str__(self):
        return f"address {self.url}"


@dataclass(frozen=True)
class Installed:
    """Files inside a package that is installed here (never imported)."""

    package: str
    install: str  # the command that installs it
    size: int = 0  # bytes that a fetch moves

    def __str__(self):
        return f"inside {self.package}"


@dataclass(frozen=True)
class Member:
    """One file of a data set, named exactly."""

    path: str  # inside the wheel or the package
    size: int  # bytes
    sha256: str

    @property
    def name(self):
        """The file's name in the cache: the last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Pack:
    """Many small text files gathered into one JSON file, path to text.

    The names inside the archive become keys of the JSON object. None of
    them is ever used as a path on this machine.
    """

    name: str
    patterns: tuple  # shell patterns over the names inside the wheel
    size: int  # bytes of the JSON file
    sha256: str

    def paths(self, names):
        """Return the matching names, sorted."""
        return sorted(
            name
            for name in set(names)
            if any(fnmatch.fnmatchcase(name, p) for p in self.patterns)
        )


@dataclass(frozen=True)
class Entry:
    """One data set of the registry."""

    name: str
    title: str
    licence: str
    origin: str
    source: object  # Wheel, Url or Installed
    members: tuple  # of Member or Pack
    chapters: tuple = ()  # numbers of the chapters that use it

    def __post_init__(self):
        for name in (self.name, *(member.name for member in self.members)):
            if not SAFE_NAME.fullmatch(name):
                raise DataError(
                    "A name in the data registry",
                    expected="letters, digits, dots, dashes, underscores",
                    got=repr(name),
                    todo="Correct the entry in course_utils/data/registry.py.",
                )

    @property
    def size(self):
        """Bytes that a fetch moves."""
        return self.source.size
