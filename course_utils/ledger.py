"""Claims and scores that a notebook puts on record.

Introduced in chapter 1. A cell calls `claim` for a statement of the lecture that it has
just tested, and `score` for a line of the running scoreboard. Both show a small card and
leave the same facts as JSON in the cell's output; the pages *Claims* and *Scoreboard* of
the book are generated from those stored outputs, so nothing on them is typed by hand.
"""

from __future__ import annotations

import math
from html import escape

CLAIM = "application/vnd.course.claim+json"
SCORE = "application/vnd.course.score+json"

VERDICTS = ("confirmed", "confirmed with limits", "not seen here", "corrected")


def claim(
    row: str,
    statement: str,
    *,
    figure: str,
    verdict: str,
    holds: bool,
    control: str = "",
) -> None:
    """Put the test of one claim on record.

    Parameters
    ----------
    row : str
        Row of the syllabus, for instance ``"T4"``.
    statement : str
        The claim as the lecture makes it.
    figure : str
        What was measured, with its interval, built from variables.
    verdict : str
        One of `VERDICTS`. Where the data decide, compute it in the cell.
    holds : bool
        The check: that the figure supports the verdict. It must be able to fail.
    control : str
        What the figure is compared with: chance, an untrained model, a shuffle.

    Raises
    ------
    AssertionError
        If `holds` is false: the notebook, and with it the build, stops here.
    ValueError
        If the verdict is not one of the four.
    """
    if verdict not in VERDICTS:
        raise ValueError(f"verdict: expected one of {VERDICTS}, got {verdict!r}.")
    facts = {
        "row": row,
        "statement": statement,
        "figure": figure,
        "verdict": verdict,
        "holds": bool(holds),
        "control": control,
    }
    _show(CLAIM, facts, _claim_text(facts), _claim_html(facts))
    assert holds, f"{row}: the figure does not support the verdict {verdict!r}: {figure}"


def score(
    task: str,
    model: str,
    *,
    value: float,
    interval: tuple[float, float],
    seconds: float,
    parameters: int,
    metric: str = "accuracy",
) -> None:
    """Put one line of the scoreboard on record.

    Parameters
    ----------
    task : str
        Data set and split, the same words in every chapter.
    model : str
        Short name of the model, unique within the task.
    value : float
        The figure, in the metric's unit (a share for accuracy, bits for bits/character).
    interval : (float, float)
        95 % interval of the figure.
    seconds : float
        Training time on the machine that executed the notebook.
    parameters : int
        Number of learned numbers.
    """
    low, high = interval
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(
            f"interval: expected low <= value <= high, got {low}, {value}, {high}."
        )
    facts = {
        "task": task,
        "model": model,
        "metric": metric,
        "value": float(value),
        "low": float(low),
        "high": float(high),
        "seconds": round(float(seconds), 2),
        "parameters": int(parameters),
    }
    _show(SCORE, facts, _score_text(facts), _score_html(facts))


def _show(mime: str, facts: dict, text: str, html: str) -> None:
    from IPython.display import display

    display({mime: facts, "text/plain": text, "text/html": html}, raw=True)


def _claim_text(facts: dict) -> str:
    control = f" (control: {facts['control']})" if facts["control"] else ""
    return (
        f"Claim {facts['row']}: {facts['statement']}\n"
        f"Measured: {facts['figure']}{control}\n"
        f"Verdict: {facts['verdict']}"
    )


def _claim_html(facts: dict) -> str:
    slug = facts["verdict"].replace(" ", "-")
    control = (
        f'<br><span class="course-control">Control: {escape(facts["control"])}</span>'
        if facts["control"]
        else ""
    )
    return (
        f'<div class="course-claim course-verdict-{slug}">'
        f'<strong>Claim {escape(facts["row"])}.</strong> {escape(facts["statement"])}'
        f'<br><span class="course-figure">Measured: {escape(facts["figure"])}</span>'
        f"{control}"
        f'<br><strong class="course-verdict">{escape(facts["verdict"])}</strong></div>'
    )


def _score_text(facts: dict) -> str:
    return (
        f"Scoreboard, {facts['task']}: {facts['model']}, {facts['metric']} "
        f"{facts['value']:.3f} [{facts['low']:.3f}, {facts['high']:.3f}], "
        f"{facts['seconds']:.1f} s, {facts['parameters']:,} parameters"
    )


def _score_html(facts: dict) -> str:
    return f'<div class="course-score">{escape(_score_text(facts))}</div>'
