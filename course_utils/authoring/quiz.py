"""Read the body of a ``{quiz}`` directive; the site and the notebooks share this parser.

A quiz holds one question. Its body is YAML::

    question: Cosine similarity lies in ...
    options:
      - text: '[0, 1]'
        why: 'No: a negative dot product makes it negative.'
      - text: '[-1, 1]'
        correct: true
        why: 'Yes: it is the cosine of an angle.'
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from .project import CourseError

QUOTE = "Put single quotes around it: '...'."


class QuizError(CourseError):
    """The body of a quiz is not as it should be; the message says where and what to do."""


@dataclass(frozen=True)
class Option:
    """One answer to choose from, in Markdown, with the reason it is right or wrong."""

    text: str
    correct: bool
    why: str


@dataclass(frozen=True)
class Question:
    """One question in Markdown, with at least two options of which one is correct."""

    question: str
    options: tuple[Option, ...]

    @property
    def answer(self) -> int:
        """Position of the correct option, from 0."""
        return next(n for n, option in enumerate(self.options) if option.correct)


def parse(text: str) -> Question:
    """Read the body of one quiz.

    Parameters
    ----------
    text : str
        The YAML between the fences of the directive.

    Returns
    -------
    Question

    Raises
    ------
    QuizError
        If it is not valid YAML, if a key is missing, unknown or not text, or if the
        options are fewer than two or not exactly one of them is correct.

    Examples
    --------
    >>> body = '''
    ... question: Is 2 even?
    ... options:
    ...   - {text: 'yes', correct: true, why: 2 is twice 1.}
    ...   - {text: 'no', why: 2 is twice 1.}
    ... '''
    >>> parse(body).options[0].correct
    True
    """
    fields = _load(text)
    _only(fields, {"question", "options"}, "quiz")
    listed = fields.get("options")
    if not isinstance(listed, list) or len(listed) < 2:
        raise QuizError("quiz, options: expected a list of at least two, each '- text: ...'.")
    options = tuple(_option(entry, n) for n, entry in enumerate(listed, start=1))
    right = sum(option.correct for option in options)
    if right != 1:
        raise QuizError(
            f"quiz: expected exactly one option with 'correct: true', found {right}."
        )
    return Question(_words(fields, "question", "quiz"), options)


def _load(text: str) -> dict:
    try:
        _refuse_escapes(yaml.compose(text), text)
        fields = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1} of its body" if mark else ""
        raise QuizError(
            f"quiz: not valid YAML{where} ({getattr(error, 'problem', error)}). "
            f"A text with ': ' or ' #' or a bracket at its start needs quotes. {QUOTE}"
        ) from error
    if not isinstance(fields, dict):
        raise QuizError("quiz: expected the keys 'question' and 'options', found neither.")
    return fields


def _refuse_escapes(node: yaml.Node | None, text: str) -> None:
    """In double quotes YAML reads ``\\beta`` as a control character and ``eta``."""
    if isinstance(node, yaml.MappingNode):
        for pair in node.value:
            for part in pair:
                _refuse_escapes(part, text)
    elif isinstance(node, yaml.SequenceNode):
        for part in node.value:
            _refuse_escapes(part, text)
    elif isinstance(node, yaml.ScalarNode) and node.style == '"':
        raw = text[node.start_mark.index : node.end_mark.index]
        if "\\" in re.sub(r'\\[\\"]', "", raw):
            raise QuizError(f"quiz: a backslash in double quotes, {raw}. {QUOTE}")


def _option(entry: object, number: int) -> Option:
    where = f"quiz, option {number}"
    if not isinstance(entry, dict):
        raise QuizError(f"{where}: expected the keys 'text' and 'why', got {entry!r}.")
    _only(entry, {"text", "correct", "why"}, where)
    correct = entry.get("correct", False)
    if not isinstance(correct, bool):
        raise QuizError(f"{where}, correct: expected true or nothing, got {correct!r}.")
    return Option(_words(entry, "text", where), correct, _words(entry, "why", where))


def _only(fields: dict, known: set[str], where: str) -> None:
    unknown = sorted(str(key) for key in fields if key not in known)
    if unknown:
        raise QuizError(
            f"{where}: expected the keys {', '.join(sorted(known))}; "
            f"got {', '.join(unknown)}. {QUOTE}"
        )


def _words(fields: dict, key: str, where: str) -> str:
    value = fields.get(key)
    if value is None:
        raise QuizError(f"{where}: '{key}' is missing. Each question and option needs one.")
    if not isinstance(value, str):
        raise QuizError(f"{where}, {key}: YAML reads {value!r}, not a text. {QUOTE}")
    if not value.strip():
        raise QuizError(f"{where}: '{key}' is empty. Each question and option needs one.")
    return value.strip()
