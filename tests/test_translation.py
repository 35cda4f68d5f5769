"""Chapter 10, translation: the split's promises, tokens, batches, BLEU against sacrebleu."""

import doctest

import numpy as np
import pytest

from course_utils import translation
from course_utils.data.interface import side
from teaching import taught
from course_utils.translation import batches, bleu, held_out, nearest, sentence, split, tokens


def test_doctests():
    assert doctest.testmod(translation).failed == 0


def made_strings():
    """60 components with own strings, one string everywhere, and near-duplicates."""
    source, target = {}, {}
    for i in range(60):
        for key, one, other in (
            ("own", f"string {'abcdefghij'[i % 10]}{'klmnop'[i // 10]}", f"chaîne {'abcdefghij'[i % 10]} {i // 10 * 'x'}"),
            ("all", "Save", "Enregistrer"),
            ("near", f"Port {i}!", f"Port n° {i}"),
        ):
            source[f"c{i}", key], target[f"c{i}", key] = one, other
    return source, target


def test_split_has_no_leak():
    found = split(*made_strings())
    assert len(found.train) > 30 and len(found.test) > 3
    for k in (0, 1):
        assert not {side(p[k]) for p in found.train} & {side(p[k]) for p in found.test}
    assert ("Save", "Enregistrer") not in found.train + found.test
    # the near-duplicates "Port 1!", "Port 2!" are one string but for digits
    assert all(not one.startswith("Port") for one, _ in found.train)
    assert all(n > 0 for n in found.dropped.values())


def test_split_counts_every_pair_once():
    source, target = made_strings()
    found = split(source, target)
    pairs = {(source[key], target[key]) for key in source}
    assert len(found.train) + len(found.test) + sum(found.dropped.values()) == len(pairs)


def test_a_component_is_on_one_side():
    source, target = made_strings()
    where = {}
    for (component, _), text in source.items():
        where.setdefault(text, set()).add(component)
    found = split(source, target)
    for part, wanted in ((found.train, False), (found.test, True)):
        assert all(held_out(c, 8) == wanted for one, _ in part for c in where[one])


def test_tokens_of_curly_and_straight_apostrophes_agree():
    assert tokens("l’état") == tokens("l'état") == ["l'", "état"]
    assert sentence(tokens("D'accord, allons-y")) == "d'accord, allons-y"


def test_batches_hold_every_pair_once_a_pass():
    x = [[4 + i] * (1 + i % 5) for i in range(37)]
    y = [[50 + i] * (1 + i % 3) for i in range(37)]
    stream = batches(x, y, np.random.default_rng(0), B=8)
    seen = []
    while len(seen) < 37:
        a, b = next(stream)
        for row, other in zip(a.tolist(), b.tolist()):
            i = row[0] - 4
            assert [k for k in row if k] == x[i] and [k for k in other if k] == [*y[i], 2]
            seen.append(i)
    assert sorted(seen) == list(range(37))


def test_bleu_by_hand_clips_and_is_short_of_breath():
    """"the" six times matches twice: 2/6; four words of six: exp(1 - 6/4)."""
    r = ["the cat sat on the mat".split()]
    assert bleu([["the"] * 6], r, longest=1) == pytest.approx(2 / 6)
    assert bleu(["the cat sat on".split()], r) == pytest.approx(np.exp(1 - 6 / 4))
    assert bleu(r, r) == 1 and bleu([["a", "q"]], [["a", "b"]]) == 0


def test_bleu_equals_sacrebleu_on_tokens():
    """With tokenize=none and no smoothing, on random sentences of two letters."""
    sacrebleu = pytest.importorskip("sacrebleu")
    rng = np.random.default_rng(9)
    c, r = ([rng.choice(list("ab"), size=n).tolist() for n in sizes]
            for sizes in ((9, 4, 12, 7), (8, 6, 12, 3)))
    theirs = sacrebleu.corpus_bleu(
        [" ".join(row) for row in c], [[" ".join(row) for row in r]],
        tokenize="none", smooth_method="none", force=True,
    ).score
    assert 100 * bleu(c, r) == pytest.approx(theirs, abs=1e-9)
    short = [row[:-2] for row in c]
    theirs = sacrebleu.corpus_bleu(
        [" ".join(row) for row in short], [[" ".join(row) for row in r]],
        tokenize="none", smooth_method="none", force=True,
    ).score
    assert 100 * bleu(short, r) == pytest.approx(theirs, abs=1e-9)


def test_nearest_takes_the_largest_share():
    """{a, b} against {a}, {a, b, c}, {b, d, e}: 1/2, 2/3, 1/4."""
    known = [(["a"], ["1"]), (["a", "b", "c"], ["2"]), (["b", "d", "e"], ["3"])]
    assert nearest([["a", "b"], ["d"], ["zzz"]], known) == [["2"], ["3"], ["1"]]


def test_bleu_equals_the_teaching_cell():
    taught_bleu = taught("10e_translation", "bleu")
    rng = np.random.default_rng(4)
    c, r = ([rng.choice(list("abc"), size=n).tolist() for n in sizes]
            for sizes in ((9, 4, 12, 1), (8, 6, 12, 3)))
    for longest in (1, 2, 4):
        assert taught_bleu(c, r, longest) == pytest.approx(bleu(c, r, longest=longest), abs=1e-12)
