"""What the registry holds and what of it is here.

Introduced with chapter 1. Adds to `fetching`: answers for the command line.
"""

from dataclasses import dataclass

from . import registry
from .cache import checks, locations, present
from .errors import DataError


@dataclass(frozen=True)
class Row:
    """One line of ``course data list``."""

    name: str
    title: str
    licence: str
    source: str
    megabytes: float  # that a fetch moves
    state: str  # "here", "not fetched" or "not installed"
    chapters: tuple


def list_rows():
    """Describe every data set of the registry.

    Returns
    -------
    list of Row
        In the order of the registry.
    """
    return [
        Row(
            entry.name,
            entry.title,
            entry.licence,
            str(entry.source),
            entry.size / 1e6,
            state(entry),
            entry.chapters,
        )
        for entry in registry.ENTRIES
    ]


def state(entry):
    """Tell in two words whether the entry's files are on this machine."""
    try:
        return "here" if present(entry) else "not fetched"
    except DataError:
        return "not installed"


def verify(name):
    """Compare the digest of each file of a data set with the registry's.

    Returns
    -------
    list of Check
        ``check.right`` tells the verdict, ``check.got`` what was found.
    """
    return checks(registry.entry_named(name))


def where(name):
    """Return the paths of a data set's files, fetched or not."""
    return locations(registry.entry_named(name))
