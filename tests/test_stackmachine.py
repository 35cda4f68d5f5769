"""The hand-set stack machine against the definition of its language."""

import math
from fractions import Fraction
from itertools import product

import pytest
import torch

from course_utils import stackmachine as sm

P = sm.weights()


def test_stack_digits_by_hand():
    """Push ( gives 1/4; push [ on top gives (1/4 + 3)/4 = 13/16; pop ] gives 1/4 back."""
    h = sm.initial()
    seen = []
    for symbol in "([]":
        h = sm.step(h, symbol, P)
        seen.append(sum(h[:4]))
    assert seen == [Fraction(1, 4), Fraction(13, 16), Fraction(1, 4)]


def test_exact_on_every_string_of_one_bracket_up_to_length_16():
    strings = 0
    for string, y in sm.walk("()", 16, P):
        assert (y == 1) == sm.balanced(string) and y in (0, 1), string
        strings += 1
    assert strings == 2**17 - 1


def test_exact_on_every_string_of_two_brackets_up_to_length_8():
    accepted = 0
    strings = 0
    for string, y in sm.walk(sm.SYMBOLS, 8, P):
        assert (y == 1) == sm.balanced(string) and y in (0, 1), string
        accepted += int(y)
        strings += 1
    assert strings == sum(4**n for n in range(9))
    # Catalan numbers times 2^pairs: 1 + 1*2 + 2*4 + 5*8 + 14*16
    assert accepted == 1 + 2 + 8 + 40 + 224


def test_census_counts_every_string_of_both_pairs_up_to_length_16():
    strings, accepted, misjudged = sm.census(16, P)
    assert strings == sum(4**n for n in range(17)) and misjudged == 0
    assert accepted == sum(math.comb(2 * n, n) // (n + 1) * 2**n for n in range(9))


@pytest.mark.parametrize("unit", range(len(sm.UNITS)))
def test_census_sees_a_missing_unit(unit):
    zero = Fraction(0)
    broken = P._replace(
        W=tuple((zero,) * 7 if i == unit else row for i, row in enumerate(P.W)),
        U=tuple((zero,) * 4 if i == unit else row for i, row in enumerate(P.U)),
        b_h=tuple(zero if i == unit else b for i, b in enumerate(P.b_h)),
    )
    wrong = sum((y == 1) != sm.balanced(s) for s, y in sm.walk(sm.SYMBOLS, 4, broken))
    assert sm.census(4, broken)[2] == wrong > 0


def test_float32_first_errs_one_symbol_before_the_end():
    """The lowest of twelve brackets is rounded away: eleven closings look like enough."""
    string = "(" * 12 + ")" * 11
    assert sm.run_float([string], P, torch.float32).item() == 1
    assert sm.run(string, P) == 0


def test_walk_equals_the_plain_run():
    assert {s: y for s, y in sm.walk(sm.SYMBOLS, 4, P)} == {
        "".join(s): sm.run("".join(s), P)
        for n in range(5) for s in product(sm.SYMBOLS, repeat=n)
    }


@pytest.mark.parametrize("unit", range(len(sm.UNITS)))
def test_every_unit_is_needed(unit):
    """Planted mistakes: without any one unit some string of at most 4 is misjudged."""
    W, U, b_h = list(P.W), list(P.U), list(P.b_h)
    W[unit], U[unit], b_h[unit] = (Fraction(0),) * 7, (Fraction(0),) * 4, Fraction(0)
    broken = P._replace(W=tuple(W), U=tuple(U), b_h=tuple(b_h))
    assert any((y == 1) != sm.balanced(s) for s, y in sm.walk(sm.SYMBOLS, 4, broken))


@pytest.mark.parametrize("dtype, digits", [(torch.float32, 24), (torch.float64, 53)])
@pytest.mark.parametrize("pair", ["()", "[]"])
def test_floats_break_where_the_digits_end(dtype, digits, pair):
    """n open brackets take 2 n binary digits, and the gate's +1 one more: the machine
    works as long as 2 n + 1 <= digits. Fractions go on."""
    def accepts(n):
        return sm.run_float([pair[0] * n + pair[1] * n], P, dtype).item() == 1

    for n in range(1, 40):
        assert accepts(n) == (2 * n + 1 <= digits), n
    assert sm.run(pair[0] * 40 + pair[1] * 40, P) == 1


def test_floats_agree_on_short_strings():
    strings = ["".join(s) for s in product(sm.SYMBOLS, repeat=6)]
    got = sm.run_float(strings, P, torch.float32)
    assert got.tolist() == [float(sm.balanced(s)) for s in strings]


def test_unknown_symbol():
    with pytest.raises(ValueError, match="expected one of"):
        sm.step(sm.initial(), "{", P)
