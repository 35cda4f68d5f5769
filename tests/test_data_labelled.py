"""Labelled and aligned texts are what their docstrings say.

They are fetched if need be. Where nothing is reachable the test is skipped
and says so; a wrong digest or a wrong count is a failure, never a skip.
"""

import random
import sqlite3

import pytest
from datafakes import real

from course_utils import data
from course_utils.data import interface, labelled, verses
from course_utils.data.errors import DataError


def test_newsgroups():
    real("newsgroups")
    task = data.newsgroups()
    assert (len(task.train), len(task.test)) == (11_293, 7_528)
    assert task.classes == sorted(task.classes) and len(task.classes) == 20
    letters = set("".join(task.train.texts[:500]))
    assert letters == set("abcdefghijklmnopqrstuvwxyz ")
    assert len(set(task.train.texts) & set(task.test.texts)) == 7
    first = task.classes[task.train.labels[0]]
    assert first == "alt.atheism" and "atheist" in task.train.texts[0]


def test_newsgroups_refuses_a_lost_row(monkeypatch):
    """Anything that drops a document is noticed at load."""
    real("newsgroups")
    whole = labelled.tab_rows
    monkeypatch.setattr(labelled, "tab_rows", lambda path: whole(path)[:-1])
    with pytest.raises(DataError, match="376"):
        data.newsgroups()


def test_critics():
    real("critics")
    task = data.critics()
    assert task.classes == ["rotten", "fresh"]
    assert (len(task.train), len(task.test)) == (10_201, 2_551)
    assert labelled.balance(task.test) == (1077, 1474)
    assert not set(task.train.texts) & set(task.test.texts)
    both = task.train.texts + task.test.texts
    assert len(set(both)) == len(both) == 12_752
    labels = dict(zip(both, [*task.train.labels, *task.test.labels]))
    assert labels["A mess."] == 0 and labels["Great!"] == 1
    words = sum(len(text.split()) for text in both) / len(both)
    assert 18 < words < 19


def test_hash_split_ignores_the_order():
    """The same texts in another order give the very same split."""
    rows = {f"text {i}": "ab"[i % 3 == 0] for i in range(99)}
    shuffled = list(rows.items())
    random.Random(5).shuffle(shuffled)
    train, test = labelled.hash_split(rows)
    assert (train, test) == labelled.hash_split(dict(shuffled))
    # 33 of class b and 66 of class a: a fifth, rounded, is 7 and 13.
    assert sorted(name for name, _ in test) == ["a"] * 13 + ["b"] * 7
    assert len(train) == 79


def test_bible():
    real("bible")
    found = data.bible("kl")
    assert len(found.references) == 31_102 == len(found.verses["l"])
    at = found.references.index((43, 11, 35))
    assert found.verses["k"][at] == "Jesus wept."
    assert found.verses["l"][at] == "Jésus pleura."
    assert not any("(3:2)" in verse for verse in found.verses["l"])
    assert found.translations["l"].language == "French"


def test_bible_has_one_translation_for_each_of_22_languages():
    every = data.TRANSLATIONS
    tags = [every[code].tag for code in data.ONE_EACH]
    assert len(set(tags)) == len(tags) == 22
    assert set(tags) == {t.tag for t in every.values()}
    free = {t.tag for t in every.values() if t.free}
    assert all(every[c].free for c in data.ONE_EACH if every[c].tag in free)


def test_bible_drops_what_a_translation_leaves_out():
    """Bengali joins some verses and leaves a dash for the others."""
    real("bible")
    found = data.bible("kb")
    assert 30_000 < len(found.references) < 31_102
    assert "-" not in found.verses["b"]
    assert len(found.verses["k"]) == len(found.verses["b"])


@pytest.mark.parametrize("codes", ["kq", "", ["en"]])
def test_bible_unknown_code(codes):
    with pytest.raises(KeyError, match="Expected codes among"):
        data.bible(codes)


def test_bible_cannot_be_written():
    """The file is opened read-only."""
    real("bible")
    path = data.files("bible")["bible.db"]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        verses.query(path, "DELETE FROM bible")


@pytest.mark.parametrize(
    "topics, train, test", [(8, 5485, 2189), (52, 6532, 2568)]
)
def test_reuters(topics, train, test):
    real("reuters")
    task = data.reuters(topics)
    assert (len(task.train), len(task.test)) == (train, test)
    assert len(task.classes) == topics and "earn" in task.classes


def test_reuters_other_topics():
    with pytest.raises(ValueError, match="8 or 52"):
        data.reuters(10)


def test_deerwester():
    real("deerwester")
    task = data.deerwester()
    assert task.classes == ["graphs", "human-computer interaction"]
    assert len(task.train) == 9
    assert "Graph minors A survey" in task.train.texts


def test_interface_pairs_do_not_cross():
    real("interface")
    train, test = data.interface_pairs("en", "fr")
    assert len(train) > 8_000 and len(test) > 800
    for kind in ("sources", "targets"):
        here, there = getattr(train, kind), getattr(test, kind)
        assert not set(map(interface.side, here)) & set(
            map(interface.side, there)
        )
    pairs = [*zip(train.sources, train.targets)]
    pairs += zip(test.sources, test.targets)
    assert ("Unexpected error", "Erreur inattendue") in pairs
    assert max(len(text.split()) for text in train.sources) == 12


def test_interface_unknown_language():
    with pytest.raises(ValueError, match="en fr de es cs ru"):
        data.interface_strings("xx")
