"""Directives whose content comes from the executed notebooks, and the role that links there.

``{claims-ledger}``, ``{chapter-rows} N``, ``{scoreboard}`` and ``{schedule}``; the HTML is
written by `course_utils.authoring.render`. ``{row}`T4` `` links to a row of the ledger.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from course_utils.authoring import claims, render
from course_utils.authoring.project import Chapter, address, chapters
from course_utils.authoring.repository import colab


class Generated(SphinxDirective):
    """What the generated parts share: links, sections, and what they depend on."""

    def depend(self) -> Path:
        """Read this page again whenever a source of the generated parts changes."""
        root = Path(self.env.srcdir)
        for path in sources(root):
            self.env.note_dependency(path)
        return root

    def link(self, notebook: str, anchor: str = "") -> str:
        return self.to(f"notebooks/{notebook}", anchor)

    def to(self, docname: str, anchor: str = "") -> str:
        uri = self.env.app.builder.get_relative_uri(self.env.docname, docname)
        return f"{uri}#{anchor}" if anchor else uri

    def section(self, title: str, key: str, *content: nodes.Node) -> nodes.section:
        key = nodes.make_id(key)
        return nodes.section("", nodes.title(title, title), *content, ids=[key], names=[key])


def sources(root: Path) -> list[str]:
    """The files that the generated parts are made of."""
    found = [root / "book" / "syllabus.yml", root / "pyproject.toml"]
    found += sorted((root / "notebooks").glob("*.ipynb"))
    found += sorted((root / "book" / "results").glob("*.json"))
    return [str(path) for path in found]


def new_sources(app: Sphinx, env, added, changed, removed) -> list[str]:
    """Pages with generated parts, if a source has come or gone since the last build."""
    found = sources(Path(app.srcdir))
    known, env.course_sources = getattr(env, "course_sources", found), found
    return [] if known == found else [d for d in env.found_docs if found[0] in env.dependencies[d]]


def raw(html: str) -> nodes.raw:
    return nodes.raw("", html, format="html")


def by_chapter(lines: list[dict], chapter: Chapter) -> list[dict]:
    return [line for line in lines if line["chapter"] == chapter.number]


class ClaimsLedger(Generated):
    """Every row of the course, by chapter, with what was found."""

    def run(self) -> list[nodes.Node]:
        root = self.depend()
        lines = claims.collect(root)
        found = [raw(render.ledger_summary(lines))]
        for chapter in chapters(root):
            named = chapter.title != chapter.part
            title = f"{chapter.number} · {chapter.title}" if named else chapter.title
            body = render.ledger_rows(by_chapter(lines, chapter), self.link)
            found.append(self.section(title, f"ledger-{chapter.number}", raw(body)))
        return found


class ChapterRows(Generated):
    """The rows of one chapter, for its page while it is in preparation."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        root = self.depend()
        number = int(self.arguments[0])
        lines = [line for line in claims.collect(root) if line["chapter"] == number]
        if not lines:
            raise self.error(f"chapter-rows: book/syllabus.yml has no chapter {number}.")
        return [raw(render.ledger_rows(lines, self.link, anchors=False))]


class Scoreboard(Generated):
    """One table a task, from book/results/*.json."""

    def run(self) -> list[nodes.Node]:
        groups = render.by_task(render.scores(self.depend()))
        if not groups:
            return [nodes.paragraph("", "No chapter has put a score on record yet.")]
        found = []
        for (task, metric), group in groups.items():
            table = raw(render.score_table(group, self.link))
            title = render.capital(f"{task}: {metric}")
            found.append(self.section(title, f"{task}-{metric}", table))
        return found


class Schedule(Generated):
    """All chapters with their rows, run times and links."""

    def run(self) -> list[nodes.Node]:
        html = render.schedule(
            chapters(self.depend()),
            lambda chapter: [self.lesson(stem) for stem in chapter.notebooks],
            self.page,
            lambda row: self.to("book/claims", f"row-{row}"),
        )
        return [raw(html)]

    def lesson(self, stem: str) -> render.Lesson:
        root = Path(self.env.srcdir)
        stored, url = root / "notebooks" / f"{stem}.ipynb", address(root)
        page = self.link(stem)
        source = page.replace("notebooks/", "_sources/notebooks/", 1)
        return render.Lesson(
            title=title(stored.with_suffix(".md")),
            seconds=run_time(stored),
            page=page,
            download=source.removesuffix(".html") + ".ipynb",
            colab=colab(url, stem) if urlsplit(url).netloc == "github.com" else "",
        )

    def page(self, chapter: Chapter) -> str:
        stub = f"book/chapters/{chapter.number:02d}"
        stub = "book/practicals" if chapter.title == "Practical sessions" else stub
        target = f"notebooks/{chapter.notebooks[0]}" if chapter.notebooks else stub
        return self.to(target) if target in self.env.found_docs else ""


def row_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """``{row}`T4` ``: a link to that row of the ledger."""
    env = inliner.document.settings.env
    known = [row.key for chapter in chapters(Path(env.srcdir)) for row in chapter.rows]
    if text not in known:
        said = f"row: book/syllabus.yml has no row {text!r}."
        message = inliner.reporter.error(said, line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    uri = env.app.builder.get_relative_uri(env.docname, "book/claims") + f"#row-{text}"
    return [nodes.reference("", text, internal=True, refuri=uri, classes=["course-key"])], []


def title(page: Path) -> str:
    """The heading of a page."""
    return re.search(r"^# (.+)$", page.read_text(encoding="utf-8"), re.M)[1].strip()


def run_time(notebook: Path) -> float | None:
    """Seconds that the stored notebook took, as `course sync` noted them."""
    if not notebook.is_file():
        return None
    metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("course", {}).get("seconds")


def setup(app: Sphinx) -> None:
    """Register the directives, the role, and what makes their pages stale."""
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("chapter-rows", ChapterRows)
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("schedule", Schedule)
    app.add_role("row", row_role)
    app.connect("env-get-outdated", new_sources)
