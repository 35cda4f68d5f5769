"""What becomes of each directive of the subset in plain Markdown.

Boxes become quotations with a bold title, what is folded away becomes ``<details>``, and
exercises, theorems and quiz questions keep the numbers they have on the site.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from . import quiz
from .blocks import Directive

if TYPE_CHECKING:
    from .flatten import Flattener

BOXES = ("note", "tip", "warning", "important")
CLASSES = (*BOXES, "erratum", "dropdown")
OPTIONS = {
    "admonition": {"class"},
    **dict.fromkeys(BOXES, {"class"}),
    "dropdown": {"open"},
    "exercise": {"label", "class"},
    "solution": {"class"},
    "solution-start": {"class"},
    "solution-end": set(),
    **dict.fromkeys(("prf:theorem", "prf:proposition", "prf:definition"), {"label"}),
    "prf:proof": set(),
    "quiz": set(),
    "bibliography": {"filter", "style"},
}


def flatten(block: Directive, page: Flattener) -> str:
    """One directive as plain Markdown.

    Raises
    ------
    CourseError
        If the directive or one of its options is not in the subset.
    """
    if block.name not in OPTIONS:
        raise block.place.error(
            f"the directive {{{block.name}}} is not in the subset. Known are: "
            f"{', '.join(OPTIONS)}."
        )
    unknown = sorted(set(block.options) - OPTIONS[block.name])
    if unknown:
        raise block.place.error(
            f"{{{block.name}}}: the option ':{unknown[0]}:' is not in the subset."
        )
    if block.name in BOXES or block.name == "admonition":
        return _box(block, page)
    if block.name.startswith("prf:"):
        return _theorem(block, page)
    return RULES[block.name](block, page)


def _box(block: Directive, page: Flattener) -> str:
    classes = block.options.get("class", "").split()
    strange = [name for name in classes if name not in CLASSES]
    if strange:
        raise block.place.error(
            f"the class '{strange[0]}' is unknown. Known are: {', '.join(CLASSES)}."
        )
    if block.name == "admonition" and not block.argument:
        raise block.place.error("{admonition} needs a title: ```{admonition} Title")
    kinds = [block.name] if block.name in BOXES else classes
    word = next((kind.capitalize() for kind in kinds if kind != "dropdown"), "")
    title, body = _title(word, block, page)
    if "dropdown" in classes:
        return _details(title, page.blocks(body, block.inside))
    return _quoted(f"**{_ended(title)}**", page.blocks(body, block.inside, tight=True))


def _title(word: str, block: Directive, page: Flattener) -> tuple[str, str]:
    """Title and body of a box: a note has no title, its first line may hold text."""
    if block.name in BOXES:
        return word, "\n".join(part for part in (block.argument, block.body) if part)
    title = page.line(block.argument, block.place)
    if word and not title.lower().startswith(word.lower()):
        title = f"{word}: {title}"
    return title, block.body


def _dropdown(block: Directive, page: Flattener) -> str:
    if not block.argument:
        raise block.place.error("{dropdown} needs a title: ```{dropdown} Title")
    title = page.line(block.argument, block.place)
    return _details(title, page.blocks(block.body, block.inside))


def _exercise(block: Directive, page: Flattener) -> str:
    return _numbered(block, page) + "\n\n" + page.blocks(block.body, block.inside)


def _solution(block: Directive, page: Flattener) -> str:
    return _details(_solves(block, page), page.blocks(block.body, block.inside))


def _solution_start(block: Directive, page: Flattener) -> str:
    heading = f"**{_solves(block, page)}.**"
    body = page.blocks(block.body, block.inside)
    return f"{heading}\n\n{body}" if body else heading


def _solution_end(block: Directive, page: Flattener) -> str:
    return "**End of the solution.**"


def _solves(block: Directive, page: Flattener) -> str:
    label = page.label(block.argument, block.place)
    if label.kind != "exercise":
        raise block.place.error(f"'{block.argument}' labels no exercise ({label.kind}).")
    return f"Solution of exercise {label.number}"


def _theorem(block: Directive, page: Flattener) -> str:
    if block.name == "prf:proof":
        title = page.line(block.argument, block.place)
        lead = f"**Proof{' of ' + title if title else ''}.**"
    else:
        lead = _numbered(block, page)
    return _quoted(lead, page.blocks(block.body, block.inside, tight=True))


def _numbered(block: Directive, page: Flattener) -> str:
    """The bold lead of an exercise or theorem: kind, number, title."""
    name = block.options.get("label", "")
    if not name:
        raise block.place.error(f"{{{block.name}}} needs a label: ':label: ex-name'.")
    label = page.label(name, block.place)
    lead = f"{label.kind.capitalize()} {label.number}"
    if block.argument:
        lead += f": {page.line(block.argument, block.place)}"
    return f"**{_ended(lead)}**"


def _quiz(block: Directive, page: Flattener) -> str:
    try:
        asked = quiz.parse(block.body)
    except quiz.QuizError as error:
        raise block.place.error(str(error)) from error
    page.questions += 1
    place = block.inside
    letters = [f"({chr(ord('a') + n)})" for n in range(len(asked.options))]
    listed = [
        f"- {letter} {page.line(option.text, place)}"
        for letter, option in zip(letters, asked.options)
    ]
    answers = [
        f"- **{letter}** {page.line(option.why, place)}"
        for letter, option in zip(letters, asked.options)
    ]
    body = f"**{letters[asked.answer]}** is right.\n\n" + "\n".join(answers)
    question = page.blocks(asked.question, place)
    lead = f"**Question {page.questions}.** {question}"
    return "\n\n".join([lead, "\n".join(listed), _details("Answer", body)])


def _bibliography(block: Directive, page: Flattener) -> str:
    if block.options.get("filter") != "docname in docnames":
        raise block.place.error("{bibliography} needs ':filter: docname in docnames'.")
    return page.course.references.listed(page.cited)


def _quoted(lead: str, body: str) -> str:
    lines = f"{lead}\n\n{body}".rstrip().split("\n")
    return "\n".join(f"> {line}".rstrip() for line in lines)


def _details(title: str, body: str) -> str:
    """Folded text; without the blank lines, the Markdown inside would not render."""
    summary = escape(title, quote=False)
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>"


def _ended(title: str) -> str:
    return title if title[-1:] in ".?!:" else f"{title}."


RULES = {
    "dropdown": _dropdown,
    "exercise": _exercise,
    "solution": _solution,
    "solution-start": _solution_start,
    "solution-end": _solution_end,
    "quiz": _quiz,
    "bibliography": _bibliography,
}
