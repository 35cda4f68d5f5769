"""Word segmentation: tags, splits, batches, figures of merit."""

import pytest
import torch

from course_utils import tagging
from course_utils.tagging import Line

PLAY = """# Title

## ACT I

_Enter two_

**HAMLET**
To be, or not to be: that told'st me so well
_Aside_ O my lord!
_Exit_
"""


def plays(n=9):
    return {
        f"play {i}": f"**X**\nthe dog number {'abcdefghi'[i] * 3} barks\nthe same line here\n"
        for i in range(n)
    }


def test_lines_leave_headings_speakers_and_directions_out():
    lines = list(tagging.lines_of(PLAY, longest=7))
    assert lines == [
        ["to", "be", "or", "not", "to", "be", "that"],
        ["toldst", "me", "so", "well"],
        ["o", "my", "lord"],
    ]


def test_tags_and_spans_are_inverse():
    words = ["o", "my", "lord", "a", "b"]
    letters, tags = tagging.tag_words(words)
    assert tags == "SBEBMMESS"
    assert [letters[a:b] for a, b in tagging.spans(tags)] == words
    assert tagging.illegal(tags) == 0


def test_spans_of_any_tags_cover_the_line():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        tags = torch.randint(4, (11,), generator=generator).tolist()
        found = tagging.spans(tags)
        assert found[0][0] == 0 and found[-1][1] == 11
        assert all(a[1] == b[0] for a, b in zip(found, found[1:]))


def test_illegal_counts_start_and_end():
    assert tagging.illegal("BE") == 0
    assert tagging.illegal("E") == 1  # cannot start
    assert tagging.illegal("B") == 1  # cannot end
    assert tagging.illegal("M") == 2
    assert tagging.illegal("BB") == 2  # B to B, and the end


def test_f1_by_hand():
    # truth: i | am | the | king; prediction joins the first two: hits 2, guesses 3
    f1 = tagging.span_f1(["BMEBMEBMME"], ["SBEBMEBMME"])
    assert f1 == pytest.approx(2 * 2 / (3 + 4))
    # counts are summed over lines, not averaged
    both = tagging.span_f1(["BE", "BMEBMEBMME"], ["BE", "SBEBMEBMME"])
    assert both == pytest.approx(2 * 3 / (4 + 5))


def test_splits_share_no_play_and_no_line():
    splits = tagging.split_plays(plays())
    parts = [{line.source for line in part} for part in splits]
    assert parts[1] == {"play 3"} and parts[2] == {"play 7"}
    assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    letters = [line.letters for part in splits for line in part]
    assert len(letters) == len(set(letters)) == 9 + 1  # "the same line here" once
    assert "thesamelinehere" in {line.letters for line in splits.train}


def test_too_few_plays():
    with pytest.raises(ValueError, match="at least 8"):
        tagging.split_plays(plays(7))


def test_collate_pads_on_the_right():
    lines = [Line("ab", "BE", ""), Line("iamz", "SBME", "")]
    x, y, mask = tagging.collate(lines)
    assert x.tolist() == [[1, 2, 0, 0], [9, 1, 13, 26]]
    assert mask.tolist() == [[True, True, False, False], [True] * 4]
    assert y[mask].tolist() == [0, 2, 3, 0, 1, 2]
    assert tagging.untag(y, mask) == [[0, 2], [3, 0, 1, 2]]


def test_batches_see_each_line_once():
    lines = [Line("ab" * n, "BE" * n, "") for n in range(1, 12)]
    generator = torch.Generator().manual_seed(1)
    sizes = [int(m.sum()) for _, _, m in tagging.batches(lines, 3, generator=generator)]
    assert len(sizes) == 4 and sum(sizes) == sum(len(line.letters) for line in lines)


def test_report_of_the_truth_and_of_a_constant():
    lines = [Line("iamtheking", "SBEBMEBMME", ""), Line("ab", "BE", "")]
    truth = [[tagging.TAGS.index(k) for k in line.tags] for line in lines]
    perfect = tagging.evaluate(truth, lines)
    assert (perfect.accuracy, perfect.f1, perfect.illegal) == (1.0, 1.0, 0.0)
    constant = tagging.evaluate([[0] * len(t) for t in truth], lines)  # all B
    # one-letter words everywhere: "i" is found, 12 guesses, 5 words
    assert constant.f1 == pytest.approx(2 * 1 / (12 + 5))
    assert constant.accuracy == pytest.approx(4 / 12)


def test_errors_say_what_to_do():
    with pytest.raises(TypeError, match="list of words"):
        tagging.tag_words("the dog")
    with pytest.raises(ValueError, match="a to z"):
        tagging.encode("né")
    with pytest.raises(ValueError, match="one tag for each"):
        tagging.span_f1(["BE"], ["BME"])
    with pytest.raises(ValueError, match="at least one line"):
        tagging.collate([])
