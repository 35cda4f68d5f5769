"""Stored benchmark figures: read, missing, and no repository."""

import pytest

from course_utils import stored


def test_reads_refuses_and_does_without(tmp_path):
    (tmp_path / "race.json").write_text('{"seeds": 3}', "utf-8")
    assert stored.benchmark("race", tmp_path) == {"seeds": 3}
    with pytest.raises(KeyError, match=r"expected one of \['race'\]"):
        stored.benchmark("other", tmp_path)
    assert stored.benchmark("race", tmp_path / "nowhere") is None


def test_the_race_of_the_practical_is_there():
    race = stored.benchmark("poet")
    assert len(race["bits_per_character"]["window"]) == race["seeds"]


def test_scores_of_all_chapters_best_first(tmp_path):
    line = '{{"task": "{}", "model": "{}", "value": {}}}'
    (tmp_path / "01.json").write_text(f"[{line.format('t', 'a', 0.5)}]", "utf-8")
    more = f"[{line.format('t', 'b', 0.7)}, {line.format('u', 'c', 0.9)}]"
    (tmp_path / "03.json").write_text(more, "utf-8")
    assert [found["model"] for found in stored.scores("t", tmp_path)] == ["b", "a"]
    assert stored.scores("t", tmp_path / "nowhere") == []
