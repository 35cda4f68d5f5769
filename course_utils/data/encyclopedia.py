"""Running English text: a Wikipedia sample, short news items.

Introduced with chapter 2. Adds to `fetching`: pages out of a dump, and wiki
markup taken off.
"""

import bz2
import html
import re
from dataclasses import dataclass
from xml.etree import ElementTree

from .errors import expect
from .fetching import files

DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"

# What is dropped whole, then what is replaced by its visible part.
DROPPED = (
    r"<!--.*?-->",
    r"<ref[^>/]*/>",
    r"<(ref|math|gallery|timeline|nowiki|code|source)\b[^>]*>.*?</\1>",
    r"</?[a-zA-Z][^>]*>",
    r"\[\[(?:Category|[a-z-]{2,12}):[^\[\]]*\]\]",
    r"https?://[^\s\]]+",
    r"'{2,}",
    r"(?m)^=+|=+\s*$|^[*#:;]+",
)
INNERMOST = re.compile(r"\{\{[^{}]*\}\}|\{\|(?:[^{}]|\{(?!\|))*?\|\}")
PICTURE = re.compile(
    r"\[\[(?:File|Image):(?:[^\[\]]|\[\[[^\[\]]*\]\])*\]\]", re.IGNORECASE
)
LINK = re.compile(r"\[\[(?:[^\[\]|]*\|)?([^\[\]]*)\]\]")


@dataclass(frozen=True)
class Page:
    """One article, without markup."""

    title: str
    text: str


def wikipedia_sample():
    """Load the articles of a small dump of the English Wikipedia.

    Redirections are dropped, and so are tables, templates, pictures,
    footnotes and other markup. Case and punctuation are kept.

    Returns
    -------
    list of Page
        106 articles, from *Anarchism* on.

    Notes
    -----
    Source: a file inside the gensim package, which must be installed; it
    is not imported. CC BY-SA 3.0.
    """
    dump = bz2.decompress(files("wikipedia")[DUMP].read_bytes())
    pages = list(articles(dump))
    expect("articles", 106, len(pages), "wikipedia")
    return pages


def articles(dump):
    """Yield the articles of a MediaWiki export, without redirections."""
    for page in ElementTree.fromstring(dump).iter():
        if page.tag.rpartition("}")[2] != "page":
            continue
        found = {e.tag.rpartition("}")[2]: e.text or "" for e in page.iter()}
        redirected = found["text"].lower().startswith("#redirect")
        if found["ns"] == "0" and not redirected:
            yield Page(found["title"], plain(found["text"]))


def plain(markup):
    """Return the visible text of wiki markup.

    Examples
    --------
    >>> plain("'''Aa''' {{x|{{y}}}}is a [[lava flow|flow]] of [[basalt]].")
    'Aa is a flow of basalt.'
    """
    text = html.unescape(markup)
    for pattern in DROPPED[:3]:
        text = re.sub(pattern, " ", text, flags=re.DOTALL)
    before = None
    while before != text:  # templates and tables nest: innermost first
        before, text = text, INNERMOST.sub("", text)
    text = PICTURE.sub("", text)
    for pattern in DROPPED[3:]:
        text = re.sub(pattern, "", text)
    text = LINK.sub(r"\1", text).replace("[", "").replace("]", "")
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def lee_news():
    """Load 300 short news items in English, one string each.

    Notes
    -----
    Source: Lee, Pincombe and Welsh (2005), inside the gensim package,
    which must be installed.
    """
    path = files("leenews")["lee_background.cor"]
    items = path.read_text("utf-8").splitlines()
    expect("items", 300, len(items), "leenews")
    return items
