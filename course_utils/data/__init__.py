"""Data sets of the course: fetched once, checked at every load.

Each loader is a function of this package, ``data.newsgroups()`` for one.
Importing the package loads none of them: a loader is imported when it is
first used. Introduced with chapter 1.
"""

from importlib import import_module

# Where each public name lives.
HOMES = {
    "DataError": "errors",
    "ENTRIES": "registry",
    "fetch": "fetching",
    "files": "fetching",
    "list_rows": "inventory",
    "verify": "inventory",
    "where": "inventory",
    "newsgroups": "labelled",
    "critics": "labelled",
    "reuters": "labelled",
    "deerwester": "labelled",
    "bible": "verses",
    "TRANSLATIONS": "verses",
    "ONE_EACH": "verses",
    "interface_strings": "interface",
    "interface_pairs": "interface",
    "shakespeare": "works",
    "tinyshakespeare": "works",
    "fleurs": "works",
    "stdlib_sources": "works",
    "tunes": "works",
    "glove": "vectors",
    "minilm_files": "vectors",
    "google_analogies": "vectors",
    "wordsim353": "vectors",
    "simlex999": "vectors",
    "digits": "tables",
    "sunspots": "tables",
    "co2": "tables",
    "wikipedia_sample": "encyclopedia",
    "lee_news": "encyclopedia",
}

__all__ = sorted(HOMES)


def __getattr__(name):
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__():
    return __all__
