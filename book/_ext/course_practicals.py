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
from docutils.statemachine import StringList
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
            size = raw(self.facts(facts, path, address(root)))
            aims = self.parsed(goals(notebook), str(path))
            found.append(self.section(facts["title"], path.stem, size, *aims))
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

    def parsed(self, lines: list[str], source: str) -> list[nodes.Node]:
        """Markdown as nodes, so that the page loads what its formulas need."""
        made = nodes.Element()
        self.state.nested_parse(StringList(lines, source), 0, made)
        return made.children

    def file(self, path: Path) -> str:
        page = self.env.app.builder.get_target_uri(self.env.docname)
        return "../" * page.count("/") + f"practicals/{path.name}"


def goals(notebook: dict) -> list[str]:
    """The objectives of a session: lines of Markdown."""
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if source.startswith("## Objectives"):
            items = source.split("\n## ")[0].split("\n- ")[1:]
            return ["After it, students can", "",
                    *("- " + " ".join(item.split("\n\n")[0].split()) for item in items)]
    return []


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
