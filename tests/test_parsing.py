"""Chapter 10, parsing: the grammar's promises, brackets by hand, an independent reader."""

import doctest
from collections import Counter

import numpy as np
import pytest

from course_utils import parsing
from course_utils.parsing import WORDS, brackets, by_length, draw, f1, in_test, well_formed

CLASS = {word: name for name, some in WORDS.items() for word in some}


def read(words):
    """A parser written apart from the generator: recursive descent, one word ahead."""
    words = list(words)

    def take(*classes):
        assert CLASS[words.pop(0)] in classes

    def ahead():
        return CLASS[words[0]] if words else None

    def S():
        return ["(S", *NP(), *VP(), ")S"]

    def NP():
        if ahead() == "pronoun":
            take("pronoun")
            return ["(NP", "XX", ")NP"]
        take("det")
        out = ["(NP", "XX"]
        if ahead() == "adj":
            take("adj")
            out.append("XX")
        take("noun")
        out.append("XX")
        if ahead() == "of":
            take("of")
            out += ["(PP", "XX", *NP(), ")PP"]
        elif ahead() == "that":
            take("that")
            take("verb")
            out += ["(SBAR", "XX", "(VP", "XX", *NP(), ")VP", ")SBAR"]
        return [*out, ")NP"]

    def VP():
        if ahead() == "says":
            take("says")
            take("that")
            return ["(VP", "XX", "(SBAR", "XX", *S(), ")SBAR", ")VP"]
        take("verb")
        out = ["(VP", "XX", *NP()]
        if ahead() == "with":
            take("with")
            out += ["(PP", "XX", *NP(), ")PP"]
        return [*out, ")VP"]

    tree = S()
    assert not words
    return tuple(tree)


def test_doctests():
    assert doctest.testmod(parsing).failed == 0


def test_every_sentence_has_one_parse_and_it_is_the_tree():
    """An independent parser agrees: the grammar has no ambiguity."""
    for one in draw(500, np.random.default_rng(0), longest=18):
        assert read(one.words) == one.tree
        assert well_formed(one.tree, len(one.words))


def test_lengths_and_parts():
    train = draw(400, np.random.default_rng(1), longest=12, held_out=False)
    test = draw(200, np.random.default_rng(2), shortest=9, longest=14, held_out=True)
    assert not {s.tree for s in train} & {s.tree for s in test}
    assert all(5 <= len(s.words) <= 12 for s in train)
    assert all(9 <= len(s.words) <= 14 and in_test(s.tree) for s in test)


def test_brackets_of_malformed_trees():
    """A wrong closing is ignored, an open bracket does not count, spans are multisets."""
    assert brackets("(S XX )NP XX )S".split()) == Counter({("S", 0, 2): 1})
    assert brackets("(S (NP XX )NP".split()) == Counter({("NP", 0, 1): 1})
    assert brackets("(NP (NP XX )NP )NP".split()) == Counter({("NP", 0, 1): 2})
    assert brackets([]) == Counter()


def test_f1_by_hand():
    """Right tree: 3 spans of 3. Second output has S and NP of S, NP, VP: F1 = 2*5/(3+2+6)."""
    tree = "(S (NP XX XX )NP (VP XX )VP )S".split()
    cut = "(S (NP XX XX )NP XX )S".split()
    assert f1([tree, cut], [tree, tree]) == pytest.approx(10 / 11)
    assert f1([tree], [tree]) == 1 and f1([[]], [tree]) == 0


def test_well_formed_finds_each_fault():
    tree = "(S (NP XX )NP (VP XX )VP )S".split()
    assert well_formed(tree, 2)
    assert not well_formed(tree, 3)
    assert not well_formed(tree[:-1], 2)
    assert not well_formed("(S (NP XX )S )NP".split(), 1)
    assert not well_formed([*tree, ")S"], 2)


def test_baseline_takes_the_most_frequent_tree_of_a_length():
    train = draw(300, np.random.default_rng(3), held_out=False)
    best = by_length(train)
    five = Counter(s.tree for s in train if len(s.words) == 5)
    assert five[best[5]] == max(five.values())
    assert all(list(tree).count("XX") == n for n, tree in best.items())
