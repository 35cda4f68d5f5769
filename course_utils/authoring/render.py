"""The generated parts of the site as HTML: ledger, scoreboard, schedule.

Plain functions from lists of facts to strings; the Sphinx extension of the book places
the result on a page. `link` arguments turn a target into an address relative to the page.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ..ledger import VERDICTS
from .project import Chapter, CourseError

SMALLER_IS_BETTER = ("perplexity", "bits", "error", "loss", "nats")
COLUMNS = ("task", "model", "metric", "value", "low", "high", "seconds", "parameters")


# ---- claims ledger ----------------------------------------------------------------------


def counts(lines: Iterable[dict]) -> Counter:
    """Rows by what became of them: a verdict, ``failing``, a session, ``still to come``.

    A row that is tested several times counts once, with its last verdict; one failing
    test makes the row failing.
    """
    state: dict[str, str] = {}
    for line in lines:
        if state.get(line["row"]) != "failing":
            state[line["row"]] = _state(line)
    return Counter(state.values())


def ledger_summary(lines: list[dict]) -> str:
    """One bar and one sentence that say how much of the ledger is proved."""
    found, total = counts(lines), len({line["row"] for line in lines})
    parts, legend = [], []
    for state in (*VERDICTS, "failing", "practical session", "still to come"):
        if found[state]:
            share = 100 * found[state] / total
            parts.append(
                f'<span class="course-share {_class(state)}" style="width:{share:.2f}%"></span>'
            )
            legend.append(f"<li>{_badge(state)} {found[state]}</li>")
    return (
        f'<div class="course-tally"><p><strong>{total} rows.</strong></p>'
        f'<div class="course-bar" aria-hidden="true">{"".join(parts)}</div>'
        f'<ul>{"".join(legend)}</ul></div>'
    )


def ledger_rows(
    lines: list[dict], link: Callable[[str, str], str], anchors: bool = True
) -> str:
    """The rows of one chapter, each with every test made of it.

    Parameters
    ----------
    lines : list of dict
        As `course_utils.authoring.claims.collect` gives them.
    link : callable
        From a notebook's stem and an anchor to the address of that place.
    anchors : bool
        Whether each row carries the id ``row-T4``: on the ledger's own page.
    """
    rows: dict[str, list[dict]] = {}
    for line in lines:
        rows.setdefault(line["row"], []).append(line)
    places: Counter = Counter()
    items = "".join(
        _ledger_item(tests, link, places, anchors) for tests in rows.values()
    )
    return f'<ul class="course-rows">{items}</ul>'


def claim_anchor(row: str, number: int) -> str:
    """Id of the `number`-th card (from 1) of a row on its notebook's page.

    >>> claim_anchor("T4", 1), claim_anchor("T4", 2)
    ('claim-T4', 'claim-T4-2')
    """
    return f"claim-{row}" if number == 1 else f"claim-{row}-{number}"


def _ledger_item(
    tests: list[dict], link: Callable, places: Counter, anchors: bool
) -> str:
    row = tests[0]["row"]
    ident = f' id="row-{row}"' if anchors else ""
    return (
        f'<li{ident}><span class="course-key">{escape(row)}</span>'
        f'<div class="course-body"><p class="course-topic">{escape(tests[0]["topic"])}</p>'
        + "".join(_ledger_test(test, link, places) for test in tests)
        + "</div></li>"
    )


def _ledger_test(test: dict, link: Callable, places: Counter) -> str:
    parts = [f'<p class="course-said">{escape(test["claim"])}</p>']
    if test["figure"]:
        control = f' <span class="course-control">Control: {escape(test["control"])}</span>'
        parts.append(
            f'<p class="course-figure">{escape(test["figure"])}'
            f'{control if test["control"] else ""}</p>'
        )
    where = ""
    if test["notebook"]:
        places[test["notebook"], test["row"]] += 1
        anchor = claim_anchor(test["row"], places[test["notebook"], test["row"]])
        target = escape(link(test["notebook"], anchor if test["figure"] else ""))
        where = f' <a class="course-where" href="{target}">{escape(test["notebook"])}</a>'
    parts.append(f'<p class="course-outcome">{_badge(_state(test))}{where}</p>')
    return f'<div class="course-test">{"".join(parts)}</div>'


def _state(line: dict) -> str:
    if line["status"] == "passing":
        return line["verdict"]
    return {"failing": "failing", "missing": "still to come",
            "session": "practical session"}[line["status"]]


def _class(state: str) -> str:
    return "course-verdict-" + state.replace(" ", "-")


def _badge(state: str) -> str:
    return f'<span class="course-badge {_class(state)}">{escape(state)}</span>'


# ---- scoreboard -------------------------------------------------------------------------


def scores(root: Path) -> list[dict]:
    """All lines of book/results/*.json, in the order of the chapters.

    Raises
    ------
    CourseError
        If a file is not a list of scores.
    """
    found = []
    for path in sorted((root / "book" / "results").glob("*.json")):
        try:
            lines = json.loads(path.read_text(encoding="utf-8"))
            missing = [c for line in lines for c in COLUMNS if c not in line]
        except (ValueError, TypeError) as error:
            raise CourseError(f"{path}: expected a list of scores. Run `course sync`.") from error
        if missing:
            raise CourseError(f"{path}: a score lacks {missing[0]!r}. Run `course sync`.")
        found += lines
    return found


def by_task(lines: list[dict]) -> dict[tuple[str, str], list[dict]]:
    """Scores grouped by task and metric, the best first."""
    groups: dict[tuple[str, str], list[dict]] = {}
    for line in lines:
        groups.setdefault((line["task"], line["metric"]), []).append(line)
    for (_, metric), group in groups.items():
        smaller = any(word in metric.lower() for word in SMALLER_IS_BETTER)
        group.sort(key=lambda line: line["value"] if smaller else -line["value"])
    return groups


def score_table(lines: list[dict], link: Callable[[str, str], str]) -> str:
    """One task as a table: figure, interval drawn on a common scale, cost, notebook."""
    name = f"{lines[0]['task']}, {lines[0]['metric']}"
    low, high = min(line["low"] for line in lines), max(line["high"] for line in lines)
    rows = "".join(_score_row(line, low, high, link) for line in lines)
    heads = "".join(
        f'<th scope="col"{kind}>{head}</th>'
        for head, kind in [
            ("Model", ""),
            (escape(capital(lines[0]["metric"])), ' class="course-number"'),
            ("95 % interval", ""),
            ("Training", ' class="course-number"'),
            ("Parameters", ' class="course-number"'),
        ]
    )
    return (
        f'<div class="course-scroll" tabindex="0" role="region" aria-label="{escape(name)}">'
        f'<table class="course-scores"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _score_row(line: dict, low: float, high: float, link: Callable) -> str:
    notebook, place = line.get("notebook", ""), ""
    if notebook:
        short = f"page {notebook.split('_')[0].lstrip('0')}"
        place = f'<a class="course-where" href="{escape(link(notebook, ""))}">{short}</a>'
    value, *ends = (_figure(line[k], line["metric"]) for k in ("value", "low", "high"))
    interval = f"<span>{ends[0].removesuffix(' %')} to {ends[1]}</span>"
    return (
        f'<tr><th scope="row">{escape(line["model"])}{place}</th>'
        f'<td class="course-number">{value}</td>'
        f'<td><div class="course-drawn">{interval_svg(line, low, high)}{interval}</div></td>'
        f'<td class="course-number">{duration(line["seconds"])}</td>'
        f'<td class="course-number">{line["parameters"]:,}</td></tr>'
    )


def interval_svg(line: dict, low: float, high: float) -> str:
    """A figure with its interval as a dot on a bar, on the scale from `low` to `high`."""
    width, edge, span = 120, 6, (high - low) or 1.0

    def x(value: float) -> float:
        return round(edge + (width - 2 * edge) * (value - low) / span, 1)

    return (
        f'<svg class="course-interval" width="{width}" height="14" aria-hidden="true" '
        f'viewBox="0 0 {width} 14"><path class="course-axis" d="M{edge} 7H{width - edge}"/>'
        f'<path class="course-whisker" d="M{x(line["low"])} 7H{x(line["high"])}"/>'
        f'<circle cx="{x(line["value"])}" cy="7" r="4"/></svg>'
    )


def capital(text: str) -> str:
    """The text with a capital first letter, the others as they are.

    >>> capital("word F1")
    'Word F1'
    """
    return text[:1].upper() + text[1:]


def _figure(value: float, metric: str) -> str:
    return f"{100 * value:.1f} %" if metric == "accuracy" else f"{value:.3f}"


def duration(seconds: float) -> str:
    """A time as a reader wants it.

    >>> duration(0.04), duration(2.34), duration(75), duration(5400)
    ('0.04 s', '2.3 s', '75 s', '90 min')
    """
    if seconds >= 120:
        return f"{seconds / 60:.0f} min"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.{1 if seconds >= 1 else 2}f} s"


# ---- schedule ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """One notebook of the schedule, with the addresses a reader may want."""

    title: str
    seconds: float | None  # run time of all cells when they were last executed
    page: str
    download: str
    colab: str  # empty where the course has no public address


def schedule(
    chapters: Iterable[Chapter],
    lessons: Callable[[Chapter], list[Lesson]],
    page: Callable[[Chapter], str],
    row: Callable[[str], str],
) -> str:
    """The chapters in order, with rows covered, run times and links.

    Parameters
    ----------
    chapters : iterable of Chapter
    lessons : callable
        From a chapter to its notebooks; empty if none is written.
    page : callable
        From a chapter to the address of its page, or an empty string.
    row : callable
        From a row to its address in the ledger.
    """
    parts: dict[str, list[str]] = {}
    for chapter in chapters:
        item = _schedule_item(chapter, lessons(chapter), page(chapter), row)
        parts.setdefault(chapter.part, []).append(item)
    return "".join(
        f'<section class="course-part"><h3>{escape(part)}</h3>'
        f'<ul class="course-schedule">{"".join(items)}</ul></section>'
        for part, items in parts.items()
    )


def _schedule_item(
    chapter: Chapter, lessons: list[Lesson], page: str, row: Callable[[str], str]
) -> str:
    title = escape(chapter.title)
    if page and not lessons:
        title = f'<a href="{escape(page)}">{title}</a>'
    sessions = chapter.title == chapter.part
    number = "P" if sessions else str(chapter.number)
    rows = " ".join(f'<a href="{escape(row(r.key))}">{r.key}</a>' for r in chapter.rows)
    body = "".join(map(_lesson, lessons))
    if not body and not (sessions and page):
        body = '<p class="course-soon">In preparation</p>'
    return (
        f'<li><span class="course-key">{number}</span><div class="course-body">'
        f'<p class="course-topic">{title}</p>{body}'
        f'<p class="course-covers"><span>Rows</span> {rows}</p></div></li>'
    )


def _lesson(lesson: Lesson) -> str:
    time = f"runs in {duration(lesson.seconds)}" if lesson.seconds is not None else ""
    links = [("Run on Colab", lesson.colab), ("Download", lesson.download)]
    doors = " ".join(
        f'<a class="course-door" href="{escape(url)}"'
        f'{" download" if text == "Download" else ""}>{text}'
        f'<span class="course-hidden"> {escape(lesson.title)}</span></a>'
        for text, url in links
        if url
    )
    return (
        f'<p class="course-lesson"><a href="{escape(lesson.page)}">{escape(lesson.title)}</a>'
        f'<span class="course-doors">{doors} <span class="course-time">{time}</span></span></p>'
    )
