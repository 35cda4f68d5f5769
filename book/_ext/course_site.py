"""Sphinx extension of the book: generated parts, quizzes, buttons, and gates.

Directives
    ``{claims-ledger}``, ``{chapter-rows} N``, ``{scoreboard}``, ``{schedule}``: generated
    from the executed notebooks, see `course_utils.authoring.render`.
    ``{quiz}``: one question; works without any script.
At the start of a build
    The execution cache is filled from the stored notebooks, so that nothing is executed,
    and the build stops if a claim fails or a complete chapter lacks one.
At its end
    Each notebook is offered for download, and ``404.html`` is written.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

from course_utils.authoring import claims, render
from course_utils.authoring.pages import toc
from course_utils.authoring.prime import prime
from course_utils.authoring.project import Chapter, CourseError, address, chapters
from course_utils.authoring.quiz import QuizError, parse
from course_utils.authoring.repository import colab

LOGGER = logging.getLogger(__name__)
# The theme names no mode until a reader chooses one, and then complains in the console. Set
# here and not as its default: without scripts, "auto" would leave the page without colours.
MODE = "document.documentElement.dataset.mode ||= 'auto';"
CARD = re.compile(r'<div class="course-claim (?P<rest>[^>]*)>(?P<head>.{0,60}?Claim (?P<row>[A-Z]\d+))', re.S)


# ---- the public address -----------------------------------------------------------------


def set_address(app: Sphinx, config) -> None:
    """Buttons and absolute addresses, from the one place where the address stands."""
    url = address(Path(app.srcdir))
    host = urlsplit(url).netloc
    options = config.html_theme_options
    for button in ("repository", "edit_page", "issues"):
        options[f"use_{button}_button"] = host in ("github.com", "gitlab.com")
    if not options["use_repository_button"]:
        return
    options |= {"repository_url": url, "repository_branch": "main", "path_to_docs": ""}
    if host == "github.com":
        owner, name = urlsplit(url).path.strip("/").split("/")
        config.html_baseurl = f"https://{owner.lower()}.github.io/{name}/"
        options["launch_buttons"] = {"colab_url": "https://colab.research.google.com"}


# ---- gates ------------------------------------------------------------------------------


def prepare(app: Sphinx) -> None:
    """Stop on a ledger that is not right; fill the execution cache."""
    root = Path(app.srcdir)
    try:
        wrong = claims.problems(root)
        if wrong:
            raise CourseError("the claims ledger is not right:\n  " + "\n  ".join(wrong))
        listed = [name for name in toc(root) if name.startswith("notebooks/")]
        sources = [root / f"{name}.md" for name in listed]
        prime(Path(app.outdir).parent / ".jupyter_cache", sources, root)
    except CourseError as error:
        raise ExtensionError(str(error)) from error


# ---- numbers of chapters ----------------------------------------------------------------


def as_counted(app: Sphinx, env, docnames) -> None:
    """Before reading: the numbers that Sphinx will compare its new count with."""
    env.toc_secnumbers = getattr(env, "course_counted", env.toc_secnumbers)


def as_shown(app: Sphinx, env) -> list[str]:
    """Number pages as their files are, 6, 6b, 6c, and leave headings without a number.

    Figures, equations and exercises have their numbers by now, counted by chapter.
    """
    env.course_counted = env.toc_secnumbers
    shown = {}
    for docname, counted in env.course_counted.items():
        letter = re.match(r"notebooks/\d\d([a-z]?)_", docname)
        number = counted.get("", ())
        number = (f"{number[0]}{letter[1]}",) if letter and letter[1] else number
        shown[docname] = {anchor: None if anchor else number for anchor in counted}
        env.titles[docname]["secnumber"] = number
        for entry in env.tocs[docname].findall(nodes.reference):
            entry["secnumber"] = None if entry["anchorname"] else number
    env.toc_secnumbers = shown
    return []


# ---- directives that generate -----------------------------------------------------------


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
        node = nodes.section("", nodes.title(title, title), *content, ids=[key], names=[key])
        return node


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
        return [
            self.section(task, nodes.make_id(f"{task}-{metric}"), raw(render.score_table(lines, self.link)))
            for (task, metric), lines in groups.items()
        ]


class Schedule(Generated):
    """All chapters with their rows, run times and links."""

    def run(self) -> list[nodes.Node]:
        root = self.depend()
        url = address(root)
        folder = self.to("notebooks/x").removesuffix("x.html")
        if not folder.endswith("notebooks/"):
            raise self.error("schedule: expected a builder that writes one file a page.")
        sources = folder.removesuffix("notebooks/") + "_sources/notebooks/"

        def lessons(chapter: Chapter) -> list[render.Lesson]:
            return [
                render.Lesson(
                    chapter.title,
                    run_time(root / "notebooks" / f"{stem}.ipynb"),
                    self.link(stem),
                    f"{sources}{stem}.ipynb",
                    colab(url, stem) if urlsplit(url).netloc == "github.com" else "",
                )
                for stem in chapter.notebooks
            ]

        def page(chapter: Chapter) -> str:
            stub = f"book/chapters/{chapter.number:02d}"
            target = f"notebooks/{chapter.notebooks[0]}" if chapter.notebooks else stub
            return self.to(target) if target in self.env.found_docs else ""

        html = render.schedule(
            chapters(root), lessons, page, lambda row: self.to("book/claims", f"row-{row}")
        )
        return [raw(html)]


def row_role(name, rawtext, text, lineno, inliner, options=None, content=None):
    """``{row}`T4` ``: a link to that row of the ledger."""
    env = inliner.document.settings.env
    known = [row.key for chapter in chapters(Path(env.srcdir)) for row in chapter.rows]
    if text not in known:
        message = inliner.reporter.error(f"row: book/syllabus.yml has no row {text!r}.", line=lineno)
        return [inliner.problematic(rawtext, rawtext, message)], [message]
    uri = env.app.builder.get_relative_uri(env.docname, "book/claims")
    link = nodes.reference("", text, internal=True, refuri=f"{uri}#row-{text}", classes=["course-key"])
    return [link], []


def run_time(notebook: Path) -> float | None:
    """Seconds that the stored notebook took, as `course sync` noted them."""
    if not notebook.is_file():
        return None
    metadata = json.loads(notebook.read_text(encoding="utf-8"))["metadata"]
    return metadata.get("course", {}).get("seconds")


# ---- quiz -------------------------------------------------------------------------------


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

    def option(self, option, name: str, key: str) -> list[nodes.Node]:
        kind, word = ("right", "Right.") if option.correct else ("wrong", "Not so.")
        return [
            raw(f'<div class="course-option"><input type="radio" name="{name}" id="{key}"{spoken(option.text)}/>'
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


# ---- pages ------------------------------------------------------------------------------


def mark_claims(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Give each claim card an id, so that the ledger can point to it."""
    seen: Counter = Counter()

    def marked(match: re.Match) -> str:
        seen[match["row"]] += 1
        anchor = render.claim_anchor(match["row"], seen[match["row"]])
        return f'<div id="{anchor}" class="course-claim {match["rest"]}>{match["head"]}'

    for node in doctree.findall(nodes.raw):
        if 'class="course-claim' in node.astext():
            node.children[:] = []
            node += nodes.Text(CARD.sub(marked, node.rawsource or node.astext()))


def offer_notebook(app: Sphinx, pagename, templatename, context, doctree) -> None:
    """The download button of a page that has a notebook serves that notebook."""
    if (Path(app.srcdir) / pagename).with_suffix(".ipynb").is_file():
        context["ipynb_source"] = f"{pagename}.ipynb"


def tidy_page(app: Sphinx, pagename, templatename, context, doctree) -> None:
    """Drop Thebe's scripts, which are not used; mend roles; describe the page to previews."""
    for kind in ("script_files", "css_files"):
        if kind in context:
            context[kind][:] = [item for item in context[kind] if not _thebe(item)]
    if "body" in context:
        context["body"] = mended(context["body"])
    base = app.config.html_baseurl
    if base and doctree is not None:
        facts = {
            "og:title": nodes.Text(context.get("title", "")).astext(),
            "og:type": "article",
            "og:url": f"{base}{pagename}.html",
            "og:site_name": app.config.html_title,
            "og:description": _first_words(doctree),
        }
        context["metatags"] = context.get("metatags", "") + "".join(
            f'<meta property="{key}" content="{escape(re.sub("<[^>]*>", "", value))}"/>\n'
            for key, value in facts.items()
        )


def mended(body: str) -> str:
    """A page's HTML without what its extensions get wrong.

    Entries of a bibliography are list items (their role is deprecated), and the content
    of each exercise, solution and proof carries the same id.
    """
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    return re.sub(r' id="(exercise|solution|proof)-content"', "", body)


def _thebe(item) -> bool:
    body = getattr(item, "attributes", {}).get("body") or ""
    return "thebe" in str(getattr(item, "filename", item)).lower() or "THEBE" in body


def _first_words(doctree: nodes.document) -> str:
    paragraph = next(doctree.findall(nodes.paragraph), None)
    return " ".join(paragraph.astext().split())[:200] if paragraph else ""


# ---- the end ----------------------------------------------------------------------------


def finish(app: Sphinx, error: Exception | None) -> None:
    """Put the notebooks where the download buttons point, and write the 404 page."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for notebook in (Path(app.srcdir) / "notebooks").glob("*.ipynb"):
        target = out / "_sources" / "notebooks" / notebook.name
        if target.parent.is_dir():
            target.write_bytes(notebook.read_bytes())
    missing = (Path(__file__).parent / "404.html").read_text(encoding="utf-8")
    base = app.config.html_baseurl or ""
    (out / "404.html").write_text(missing.replace("{{home}}", f"{base}book/index.html"), encoding="utf-8")
    if base:
        pages = sorted(app.env.found_docs)
        lines = "".join(f"<url><loc>{base}{name}.html</loc></url>\n" for name in pages)
        space = "http://www.sitemaps.org/schemas/sitemap/0.9"
        (out / "sitemap.xml").write_text(
            f'<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="{space}">\n{lines}</urlset>\n',
            encoding="utf-8",
        )


def setup(app: Sphinx) -> dict:
    """Register everything above."""
    app.add_directive("claims-ledger", ClaimsLedger)
    app.add_directive("chapter-rows", ChapterRows)
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("schedule", Schedule)
    app.add_directive("quiz", Quiz)
    app.add_role("row", row_role)
    app.add_js_file(None, body=MODE)
    app.connect("config-inited", set_address)
    app.connect("builder-inited", prepare)
    app.connect("env-get-outdated", new_sources)
    app.connect("env-before-read-docs", as_counted)
    app.connect("env-get-updated", as_shown, priority=900)
    app.connect("doctree-resolved", mark_claims)
    app.connect("html-page-context", offer_notebook)
    app.connect("html-page-context", tidy_page, priority=900)
    app.connect("build-finished", finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
