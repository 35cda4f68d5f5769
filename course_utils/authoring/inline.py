"""Rewrite what stands inside a paragraph: roles, links; code and maths stay as they are."""

from __future__ import annotations

import re
from typing import Protocol

from .blocks import Place

TOKEN = re.compile(
    r"""
    (?P<escaped>\\[^\n])
  | \{(?P<role>[A-Za-z][\w:.+-]*)\}(?P<ticks>`+)(?P<content>.+?)(?<!`)(?P=ticks)(?!`)
  | (?P<code>(?P<quote>`+)(?!`).+?(?<!`)(?P=quote)(?!`))
  | (?P<maths>\$(?:\\.|[^$\\])+\$)
  | (?P<image>!\[[^\]]*\]\([^)]*\))
  | \[(?P<shown>(?:\\.|`[^`]*`|[^\[\]`])*)\]\((?P<address>[^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)
  | (?P<footnote>\[\^[^\]]+\])
  | (?P<filled>\{\{)
  | (?P<bare>\{[A-Za-z][\w:.+-]*\}`)
  | (?P<attributes>(?<=[\])`*_])\{[.\#][^}]*\})
    """,
    re.X | re.S,
)

REFUSED = {
    "image": "images are drawn by a code cell, so that they get a number and a caption.",
    "footnote": "footnotes do not show on Colab; put the remark into the text.",
    "filled": "substitutions {{...}} do not work on Colab; write the words.",
    "bare": "this role has no closing backtick in its paragraph.",
    "attributes": "attributes {.class} or {#id} do not work on Colab; leave them out.",
}


class Rules(Protocol):
    """What becomes of a role and of a link; both give plain Markdown."""

    def role(self, name: str, content: str, place: Place) -> str: ...

    def link(self, shown: str, address: str, place: Place) -> str: ...


def rewrite(text: str, rules: Rules, place: Place) -> str:
    """`text` with roles and links replaced by what `rules` make of them.

    Code spans, inline maths and escaped signs are left alone. A paragraph ends at a blank
    line, so that a stray dollar or backtick does no harm further down.

    Raises
    ------
    CourseError
        On MyST that neither Colab nor GitHub shows.
    """
    pieces, offset = [], 0
    for piece in re.split(r"(\n[ \t]*\n)", text):
        pieces.append(_paragraph(piece, rules, place.at(offset)))
        offset += piece.count("\n")
    return "".join(pieces)


def _paragraph(text: str, rules: Rules, place: Place) -> str:
    def replace(match: re.Match) -> str:
        here = place.at(text.count("\n", 0, match.start()))
        if match["role"]:
            return rules.role(match["role"], " ".join(match["content"].split()), here)
        if match["address"] is not None:
            shown = rewrite(match["shown"], rules, here)
            return rules.link(shown, match["address"], here)
        for kind, reason in REFUSED.items():
            if match[kind]:
                raise here.error(f"'{match[0]}': {reason}")
        return match[0]

    return TOKEN.sub(replace, text)


def parts(content: str) -> tuple[str, str]:
    """A role's content ``shown <label>`` as (shown, label); shown is empty if not given."""
    match = re.fullmatch(r"(.+?)\s*<([^<>]+)>", content, re.S)
    return (match[1], match[2].strip()) if match else ("", content.strip())
