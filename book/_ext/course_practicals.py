"""``{practical-sessions}``: the list of practical sessions, from their student notebooks.

The notebooks are copied into the site, so that a session can be fetched without Colab.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from course_generated import Generated, raw
from docutils import nodes
from sphinx.application import Sphinx

from course_utils.authoring.project import address


def stored(root: Path) -> list[Path]:
    """The student notebooks, in the order of their names."""
    found = sorted((root / "practicals").glob("*/*.ipynb"))
    return [path for path in found if path.stem == path.parent.name]


class PracticalSessions(Generated):
    """One section for each session: what it asks, how long it takes, where to get it."""

    def run(self) -> list[nodes.Node]:
        root = self.depend()
        found = []
        for path in stored(root):
            self.env.note_dependency(str(path))
            notebook = json.loads(path.read_text(encoding="utf-8"))
            facts = notebook["metadata"]["course"]
            html = self.facts(facts, path, address(root)) + goals(notebook)
            found.append(self.section(facts["title"], path.stem, raw(html)))
        return found or [nodes.paragraph("", "No session is written yet.")]

    def facts(self, facts: dict, path: Path, url: str) -> str:
        """A line on the size of a session, its links, and its questions."""
        chapters = ", ".join(str(number) for number in facts["chapters"])
        hours, rest = divmod(facts["minutes"], 60)
        said = escape(facts["title"])
        doors = [f'<a class="course-door" href="{escape(self.file(path))}" download>Download'
                 f'<span class="course-hidden"> {said}</span></a>']
        if urlsplit(url).netloc == "github.com":
            place = f"{urlsplit(url).path}/blob/main/practicals/{path.stem}/{path.name}"
            doors.insert(0, '<a class="course-door" href="https://colab.research.google.com'
                            f'/github{escape(place)}">Run on Colab'
                            f'<span class="course-hidden"> {said}</span></a>')
        questions = "".join(f"<li>{escape(title)}</li>" for title in facts["questions"])
        return (
            f"<p>{len(facts['questions'])} questions, {facts['points']:g} points, "
            f"{hours} h {rest:02d} min; builds on chapter{'s' * (len(facts['chapters']) > 1)} "
            f"{chapters}.</p>"
            f'<p class="course-lesson"><span class="course-doors">{" ".join(doors)}</span></p>'
            f"<details><summary>The questions</summary><ol>{questions}</ol></details>"
        )

    def file(self, path: Path) -> str:
        page = self.env.app.builder.get_target_uri(self.env.docname)
        return "../" * page.count("/") + f"practicals/{path.name}"


def goals(notebook: dict) -> str:
    """The objectives of a session, as a list."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if source.startswith("## Objectives"):
            section = source.split("\n## ")[0]
            items = [
                " ".join(item.split()) for item in section.split("\n- ")[1:]
            ]
            listed = "".join(f"<li>{plain(item)}</li>" for item in items)
            return f"<p>After it, students can</p><ul>{listed}</ul>"
    return ""


def plain(text: str) -> str:
    """Inline Markdown of an objective as HTML: code, emphasis and formulas."""
    pieces = escape(text.split("\n\n")[0]).split("`")
    made = "".join(
        f"<code>{piece}</code>" if odd % 2 else formulas(piece) for odd, piece in enumerate(pieces)
    )
    return made


def formulas(text: str) -> str:
    """``$x$`` as MathJax takes it on the site; ``*x*`` as emphasis."""
    pieces = text.split("$")
    if len(pieces) % 2 == 0:
        return text
    return "".join(
        f'<span class="math notranslate nohighlight">\\({piece}\\)</span>' if odd % 2
        else emphasised(piece)
        for odd, piece in enumerate(pieces)
    )


def emphasised(text: str) -> str:
    """``*x*`` as emphasis."""
    pieces = text.split("*")
    if len(pieces) % 2 == 0:
        return text
    return "".join(f"<em>{p}</em>" if odd % 2 else p for odd, p in enumerate(pieces))


def copy(app: Sphinx, error: Exception | None) -> None:
    """Put the student notebooks where the download links point."""
    if error or app.builder.format != "html":
        return
    target = Path(app.outdir) / "practicals"
    target.mkdir(exist_ok=True)
    for path in stored(Path(app.srcdir)):
        (target / path.name).write_bytes(path.read_bytes())


def again(app: Sphinx, env, added, changed, removed) -> list[str]:
    """Read the page again when a session has come or gone."""
    found = [str(path) for path in stored(Path(app.srcdir))]
    known, env.course_practicals = getattr(env, "course_practicals", found), found
    return [] if known == found else [d for d in env.found_docs if d.endswith("practicals")]


def setup(app: Sphinx) -> None:
    """Register the directive and the copying."""
    app.add_directive("practical-sessions", PracticalSessions)
    app.connect("env-get-outdated", again)
    app.connect("build-finished", copy)
