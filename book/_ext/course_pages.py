"""What is done to each page, and once all are written.

Anchors on claim cards, the notebook behind the download button, roles and ids that other
extensions get wrong, facts for link previews; then ``404.html`` and the site map.
"""

from __future__ import annotations

import re
from collections import Counter
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from course_utils.authoring import render

CARD = re.compile(
    r'<div class="course-claim (?P<rest>[^>]*)>(?P<head>.{0,60}?Claim (?P<row>[A-Z]\d+))', re.S
)
# The theme names no mode until a reader chooses one, and then complains in the console. Set
# here and not as its default: without scripts, "auto" would leave the page without colours.
MODE = "document.documentElement.dataset.mode ||= 'auto';"
SITEMAP = """<?xml version="1.0" encoding="utf-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">
{}</urlset>
"""


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

    Entries of a bibliography are list items (their role is deprecated), a folded cell says
    another name than it shows, and the content of each exercise, solution and proof
    carries the same id.
    """
    body = body.replace('role="doc-biblioentry"', 'role="listitem"')
    body = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")
    return re.sub(r' id="(exercise|solution|proof)-content"', "", body)


def _thebe(item) -> bool:
    body = getattr(item, "attributes", {}).get("body") or ""
    return "thebe" in str(getattr(item, "filename", item)).lower() or "THEBE" in body


def _first_words(doctree: nodes.document) -> str:
    paragraph = next(doctree.findall(nodes.paragraph), None)
    return " ".join(paragraph.astext().split())[:200] if paragraph else ""


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
    missing = missing.replace("{{home}}", f"{base}book/index.html")
    (out / "404.html").write_text(missing, encoding="utf-8")
    if base:
        pages = sorted(app.env.found_docs)
        lines = "".join(f"<url><loc>{base}{name}.html</loc></url>\n" for name in pages)
        (out / "sitemap.xml").write_text(SITEMAP.format(lines), encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Connect everything above to its event."""
    app.add_js_file(None, body=MODE)
    app.connect("doctree-resolved", mark_claims)
    app.connect("html-page-context", offer_notebook)
    app.connect("html-page-context", tidy_page, priority=900)
    app.connect("build-finished", finish)
