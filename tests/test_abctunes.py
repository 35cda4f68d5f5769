"""Bars of ABC tunes: by hand, against music21 where it is installed, and the errors."""

from fractions import Fraction as F

import pytest

from course_utils import abctunes as abc

HEAD = "M:3/4\nL:1/8\nK:G\n"


def lengths(body, head=HEAD):
    return [str(length) for length in abc.bars(head + body).lengths]


def test_lengths_by_hand():
    """Eighths: 6 fill 3/4. c3/2 is 3/16, c/ 1/16, c// 1/32, [ce]2 a quarter."""
    assert lengths("c6 | c2d2e2 | c3/2d/2e4 |") == ["3/4"] * 3
    assert lengths("c/d/e//f// |") == ["3/16"]
    assert lengths("[ce]2 z4 | [c2e2]2 |") == ["3/4", "1/2"]


def test_broken_rhythm_and_tuplets():
    """c>d is 3/16 + 1/16; c<<d is 1/32 + 7/32; three eighths in the time of two."""
    assert lengths("c>d c<d | c>>d c<<d |") == ["1/2", "1/2"]
    assert lengths("(3cde (3c2d2e2 |") == ["3/4"]
    assert lengths("(3:2:4cdef |") == ["1/3"]  # four eighths, each at two thirds


def test_what_carries_no_time_is_passed_by():
    assert lengths('{gf}c2 "Am"d2 !trill!.e2~ | (c2 d2) e2- |\\\n[M:3/4]e6 |') == ["3/4"] * 3


def test_a_line_end_closes_a_full_bar_only():
    assert lengths("c2d2e2\nc2d2\ne2 | c6") == ["3/4"] * 3
    assert lengths("c2d2\ne2c2\nd2e2 |") == ["3/2"]  # never full at a line's end


def test_pick_ups_and_repeats():
    full, half = "c2d2e2 |", "c2d2e2 |"
    assert abc.bars(HEAD + "e2 |" + 4 * full).add_up
    assert abc.bars(HEAD + "e2 |" + 3 * full + "c2d2 :|").add_up
    assert abc.bars(HEAD + "e2 |" + 2 * full + "c2d2 :: e2 |" + 3 * half).add_up
    assert not abc.bars(HEAD + 3 * full).add_up  # too short to tell
    assert not abc.bars(HEAD + 2 * full + "c2d2 |" + 3 * full).add_up  # a hole inside
    assert not abc.bars(HEAD + "c8 |" + 4 * full).add_up  # a pick-up longer than a bar


def test_metres_and_units():
    assert abc.bars("M:C\nK:C\nCDEFGABc|").full == (True,)  # L is 1/8 without L:
    assert abc.bars("M:2/4\nK:C\nCDEFGABc|").full == (True,)  # and 1/16 below 3/4
    assert abc.metre_of({"M": "C|"}) == 1 and abc.metre_of({"M": "6/8"}) == F(3, 4)


def test_only_music_drops_the_rest():
    tune = "X:3\nT:Name\nM:2/4\nN:note\nL:1/8\nK:C\nC4|D4|\n"
    assert abc.only_music(tune) == "M:2/4\nL:1/8\nK:C\nC4|D4|\n"


@pytest.mark.parametrize("tune, text", [
    ("", "expected a header"),
    ("M:3/4\nL:1/8\nc2", "expected a header up to K:, got 'c2'"),
    ("M:3/4\nL:1/8", "expected a field K:"),
    ("M:none\nK:C\nc2|", "M: expected a metre such as 6/8, got 'none'"),
    ("M:3/0\nK:C\nc2|", "M: expected a metre"),
    ("M:3/4\nL:x\nK:C\nc2|", "L: expected a length"),
    (HEAD + "c2 ? d2", "expected ABC, got '. d2' at place 3"),
    (HEAD + "c/0 |", "expected a length such as 3/2"),
    (HEAD + ">c |", "expected a note before it"),
    (HEAD + "| |", "at least one note"),
])
def test_what_is_no_tune_is_refused(tune, text):
    with pytest.raises(ValueError, match=text):
        abc.bars(tune)
    assert not abc.is_tune(tune)


def test_bars_equal_those_of_music21():
    """Bar by bar by its tokens, and in total by its whole converter."""
    converter = pytest.importorskip("music21.converter")
    bodies = ("c2d2e2|c>de2 f2|(3cde c4|[ce]2 z4|c3/2d/2e4|", "G2|A3 BA2|{a}G/A/B c4||c2:|")
    for tune in (HEAD + body for body in bodies):
        ours, theirs = abc.bars(tune), abc.by_music21(tune)
        assert theirs.lengths == ours.lengths and theirs.ends == ours.ends
        stream = converter.parseData("X:1\n" + tune, format="abc").flatten()
        assert stream.highestTime == pytest.approx(4 * float(sum(theirs.lengths)))


def test_where_music21_and_we_differ():
    """A line without its last bar line, and a new unit length inside a tune."""
    pytest.importorskip("music21")
    lines = HEAD + "c2d2e2\nc2d2e2|c2d2e2|c2d2e2|"
    assert abc.bars(lines).add_up and not abc.by_music21(lines).add_up
    unit = HEAD + "c2d2e2|\nL:1/16\nc2d2e2|"
    assert abc.bars(unit).full == (True, True) and abc.by_music21(unit).full == (True, False)
    with pytest.raises(ValueError, match="at least one note"):
        abc.by_music21(HEAD + "| |")
