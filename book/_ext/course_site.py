"""Sphinx extension of the book: buttons, gates and numbers; it loads the other parts.

`course_generated` fills the ledger, the scoreboard and the schedule, `course_practicals`
lists the practical sessions, `course_quiz` holds the quiz, `course_pages` tends to each
page. This part turns the public address into buttons, stops a build whose claims are not
right, fills the execution cache from the stored notebooks, so that building executes
nothing, and numbers pages as their files are.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

import course_generated
import course_pages
import course_practicals
import course_quiz
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from course_utils.authoring import claims
from course_utils.authoring.pages import toc
from course_utils.authoring.prime import prime
from course_utils.authoring.project import CourseError, address


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


def setup(app: Sphinx) -> dict:
    """Register this part and the others."""
    for part in (course_generated, course_pages, course_practicals, course_quiz):
        part.setup(app)
    app.connect("config-inited", set_address)
    app.connect("builder-inited", prepare)
    app.connect("env-before-read-docs", as_counted)
    app.connect("env-get-updated", as_shown, priority=900)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
