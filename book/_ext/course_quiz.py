"""The ``{quiz}`` directive: one question that works without any script."""

from __future__ import annotations

import re
from html import escape

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_utils.authoring.quiz import Option, QuizError, parse


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


class Quiz(SphinxDirective):
    """One question with options; choosing one shows why it is right or wrong.

    Radio buttons and style sheets only: no script, so it works from a file and with the
    keyboard, and every explanation is printed on paper.
    """

    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            question = parse("\n".join(self.content))
        except QuizError as error:
            raise self.error(str(error)) from error
        name = f"quiz-{self.env.new_serialno('course-quiz') + 1}"
        found: list[nodes.Node] = [
            raw(f'<div class="course-quiz" role="radiogroup" aria-labelledby="{name}">'
                f'<div class="course-question" id="{name}">'),
            *self.words(question.question),
            raw("</div>"),
        ]
        for number, option in enumerate(question.options):
            found += self.option(option, name, f"{name}-{chr(97 + number)}")
        return [*found, raw("</div>")]

    def option(self, option: Option, name: str, key: str) -> list[nodes.Node]:
        kind, word = ("right", "Right.") if option.correct else ("wrong", "Not so.")
        return [
            raw('<div class="course-option">'
                f'<input type="radio" name="{name}" id="{key}"{spoken(option.text)}/>'
                f'<label for="{key}">'),
            *self.words(option.text, inline=True),
            raw('</label><div class="course-feedback" aria-live="polite">'
                f'<div class="course-why course-{kind}"><p class="course-mark">{word}</p>'),
            *self.words(option.why),
            raw("</div></div></div>"),
        ]

    def words(self, text: str, inline: bool = False) -> list[nodes.Node]:
        """Markdown as nodes; inline: without the paragraph around it."""
        found = self.parse_text_to_nodes(text)
        if inline:
            if len(found) != 1 or not isinstance(found[0], nodes.paragraph):
                raise self.error(f"quiz: expected one line as the text of an option: {text}")
            return [nodes.inline("", "", *found[0].children)]
        return found


def spoken(text: str) -> str:
    """A name for an option that is nothing but a formula, which has no words to read out."""
    alone = re.fullmatch(r"\$([^$]+)\$[.,;]?", text.strip())
    return f' aria-label="{escape(alone[1])}"' if alone else ""


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("quiz", Quiz)
