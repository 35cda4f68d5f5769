"""``course data``: list, fetch, verify and find the data sets.

Introduced with chapter 1. Adds to `inventory`: the command line.
"""

import os
import sys

from . import registry
from .cache import cache_folder
from .errors import DataError
from .fetching import fetch
from .inventory import list_rows, verify, where


def add_parser(commands):
    """Add ``data`` and its four verbs to the parser of ``course``."""
    parser = commands.add_parser(
        "data",
        help="list, fetch and check the data sets",
        description="The data sets of the course. A notebook fetches what it "
        "needs by itself; use these commands to prepare a machine, or to see "
        "what is wrong. COURSE_DATA_DIR moves the folder where data are kept. "
        "COURSE_DATA_MIRROR names a folder to look into before the network, "
        "for a classroom without internet.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    verb = verbs.add_parser("list", help="what there is, and what is here")
    verb.set_defaults(run=run_list)
    verb = named(verbs, "fetch", "bring data sets to this machine", run_fetch)
    verb.add_argument(
        "--again", action="store_true", help="fetch even what is already here"
    )
    named(verbs, "verify", "compare what is here with its digests", run_verify)
    named(verbs, "where", "print the folder or file of a data set", run_where)


def named(verbs, name, text, run):
    """Add a verb that takes names of data sets."""
    verb = verbs.add_parser(name, help=text, description=text + ".")
    verb.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a name that `course data list` shows; all of them if none",
    )
    verb.set_defaults(run=run)
    return verb


def chosen(options):
    """Return the names asked for; an unknown one raises `DataError`."""
    names = options.names or [entry.name for entry in registry.ENTRIES]
    return [registry.entry_named(name).name for name in names]


def answer(question, name, options):
    """Ask `verify` or `where`; nothing if one of all needs a package."""
    try:
        return question(name)
    except DataError:
        if options.names:
            raise
        return []


def run_list(options):
    """Print a table of the data sets."""
    rows = list_rows()
    wide = max(len(row.name) for row in rows)
    for row in rows:
        size = f"{row.megabytes:7.1f} MB" if row.megabytes else " " * 10
        print(f"{row.name:{wide}}  {size}  {row.state:13}  {row.title}")
        chapters = ", ".join(map(str, row.chapters)) or "none yet"
        print(f"{'':{wide}}  {row.source}; chapters: {chapters}")
        print(f"{'':{wide}}  licence: {row.licence}")
    print(f"\nKept in {cache_folder()}")
    print(f"Mirror: {os.environ.get('COURSE_DATA_MIRROR') or 'none'}")
    return 0


def run_fetch(options):
    """Fetch data sets; go on after one that fails, and return 1."""
    failed = 0
    for name in chosen(options):
        try:
            paths = fetch(name, again=options.again).values()
        except DataError as error:
            failed += 1
            print(f"{name}: {error}", file=sys.stderr)
            continue
        for path in paths:
            print(f"{name}: {path}")
    return int(failed > 0)


def run_verify(options):
    """Print one line a file; return 1 if one is not as recorded."""
    wrong = 0
    for name in chosen(options):
        found = answer(verify, name, options)
        if not any(check.path.exists() for check in found):
            print(f"{name}: not here")
            wrong += bool(options.names)
            continue
        for check in found:
            wrong += not check.right
            verdict = "right" if check.right else "WRONG"
            print(f"{name}: {verdict}  {check.path}")
            if not check.right:
                print(f"  expected:   {check.expected}")
                print(f"  got:        {check.got}")
                print(f"  what to do: course data fetch {name} --again")
    return int(wrong > 0)


def run_where(options):
    """Print the paths of the files, fetched or not."""
    for name in chosen(options):
        for path in answer(where, name, options):
            note = "" if path.exists() else "  (not fetched)"
            print(f"{name}: {path}{note}")
    return 0
