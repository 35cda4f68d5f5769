"""Chapter 10, dates: written by hand, read back by an independent parser, aligned."""

import datetime
import doctest
import re

import numpy as np
import pytest

from course_utils import dates
from course_utils.dates import FORMATS, MONTHS, draw, even, inside, spread, write


def read(text):
    """An independent reader: find year, month and day by their looks."""
    year = int(re.search(r"\d{4}", text).group())
    rest = re.sub(r"\d{4}", " ", text)
    numbers = [int(n) for n in re.findall(r"\d+", rest)]
    month = [i for i, name in enumerate(MONTHS, 1) if name[:3] in rest.replace("Mon", "")]
    if month:
        return datetime.date(year, month[0], numbers[0])
    first, second = numbers
    return datetime.date(year, *((first, second) if "/" in text else (second, first)))


def test_doctests():
    assert doctest.testmod(dates).failed == 0


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_can_be_read_back_and_has_known_letters(form):
    for number in range(dates.FIRST.toordinal(), dates.FIRST.toordinal() + 400, 3):
        day = datetime.date.fromordinal(number)
        date = write(day, form)
        assert date.target == day.isoformat() and read(date.source) == day
        assert set(date.source + date.target) <= set(dates.ALPHABET)


@pytest.mark.parametrize("form", FORMATS)
def test_alignment_points_to_what_it_says(form):
    """Where one digit is aligned with one digit, they are equal; names cover the name."""
    for day in (datetime.date(1987, 11, 23), datetime.date(1806, 5, 7)):
        date = write(day, form)
        for i, character in enumerate(date.target):
            there = "".join(np.array(list(date.source))[date.truth[i]])
            if character == "-":
                assert there == ""
            elif there.isdigit() and len(there) == 1:
                field = {5: day.month, 6: day.month, 8: day.day, 9: day.day}.get(i)
                assert there == (str(field) if field is not None and field < 10 else character)
            else:
                assert i in (5, 6) and there in (MONTHS[day.month - 1], MONTHS[day.month - 1][:3])


def test_no_day_is_on_both_sides():
    rng = np.random.default_rng(0)
    train = {d.target for d in draw(3000, rng, held_out=False)}
    test = {d.target for d in draw(1000, rng, held_out=True)}
    assert not train & test
    free = draw(2000, np.random.default_rng(1))
    share = np.mean([
        dates.in_test(datetime.date.fromisoformat(d.target).toordinal()) for d in free
    ])
    assert 0.16 < share < 0.24


def test_same_seed_same_dates():
    a, b = (draw(20, np.random.default_rng(5)) for i in range(2))
    assert [d.source for d in a] == [d.source for d in b]


def test_inside_by_hand():
    """Rows with a truth: 0.9 and 1.0, the hyphen does not count: 0.95; even: 2/3 and 1/3."""
    truth = np.array([[0, 1, 1], [0, 0, 0], [1, 0, 0]], dtype=bool)
    A = np.array([[0.1, 0.2, 0.7, 0.0], [0.5, 0.25, 0.25, 0.0], [1.0, 0, 0, 0]])
    assert inside([A], [truth]) == pytest.approx(0.95)
    assert inside(even([truth]), [truth]) == pytest.approx(0.5)


def test_spread_leaves_hyphens_empty_and_stops_at_the_ends():
    truth = np.array([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1]], dtype=bool)
    wanted = [[1, 1, 1, 0], [0, 0, 0, 0], [0, 1, 1, 1]]
    assert spread(truth, 2).astype(int).tolist() == wanted
    assert np.array_equal(spread(truth, 0), truth)
