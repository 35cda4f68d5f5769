"""The built site in a real browser, wide and at 390 pixels, light and dark, on paper.

Every page: no request leaves this machine, nothing fails to load, no message of an error,
every formula is set, nothing sticks out to the right, no new complaint of axe. Once: the
search works from a file, a quiz with the keyboard and without scripts. Each check is first
shown to catch a seeded defect.
"""

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, serve

# What the theme itself leaves, by axe's rule and a part of the element's code.
ALLOWED = [
    ("label-content-name-mismatch", "search-button"),  # says "Search", shows the keys too
    ("label-content-name-mismatch", "theme-switch-button"),  # says "Color mode", shows icons
    ("region", "logo__title"),  # the title beside the mark lies outside the landmarks
]


def pages_of(folder: Path) -> list[str]:
    """Every page but those of static files and the redirect at the root."""
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*.html")]
    skipped = ("_static/", "_sources/", "reports/")
    return sorted(name for name in found if not name.startswith(skipped) and name != "index.html")


def new(violations: list[dict]) -> list[str]:
    return [
        f"{v['rule']}: {v['target']}: {v['html']}"
        for v in violations
        if not any(v["rule"] == rule and part in v["html"] for rule, part in ALLOWED)
    ]


def complaints(seen: dict) -> list[str]:
    """What is wrong with a page, from the report of look.mjs."""
    named = [f"{key}: {entry}" for key in (
        "outside", "failed", "errors", "maths", "unset", "images", "wide", "narrow"
    ) for entry in seen[key]]
    return named + [f"light: {v}" for v in new(seen["light"])] + [
        f"dark: {v}" for v in new(seen["dark"])
    ]


@pytest.fixture(scope="module")
def report(look, folder, address):
    names = pages_of(folder)
    seen = look("pages", *[f"{address}/{name}" for name in names])
    return {name: seen[f"{address}/{name}"] for name in names}


def test_every_page_is_right(report):
    wrong = {name: complaints(seen) for name, seen in report.items() if complaints(seen)}
    assert wrong == {}
    assert len(report) > 10


def test_pages_work_from_a_file(look, folder):
    """Without a server: nothing missing, every formula set."""
    names = [n for n in pages_of(folder) if n.startswith("notebooks/")][:1]
    names += ["book/index.html", "book/errata.html"]
    seen = look("pages", *[(folder / name).resolve().as_uri() for name in names])
    assert [complaints(page) for page in seen.values()] == [[]] * len(names)


def test_search_finds_a_word_from_a_file(look, folder):
    seen = look("search", folder.resolve(), "perplexity")
    assert seen["found"] and any("glossary.html" in link for link in seen["links"])
    assert seen["outside"] == []


def test_search_admits_that_a_word_is_absent(look, folder):
    assert look("search", folder.resolve(), "xylophonequux")["links"] == []


def test_paper_shows_everything(report):
    """Solutions open, explanations of the quiz shown, long lines wrapped, no side bars."""
    printed = {name: seen["printed"] for name, seen in report.items()}
    names = [n for n in printed if n.startswith("notebooks/")] or ["book/errata.html"]
    nothing = {"hidden": [], "cut": [], "shown": []}
    assert {n: printed[n] for n in names if printed[n] != nothing} == {}


@pytest.mark.parametrize("scripts", [True, False])
def test_a_quiz_is_answered_with_the_keyboard(look, folder, scripts):
    found = sorted((folder / "notebooks").glob("*.html"))
    pages = [page for page in found if "course-quiz" in page.read_text(encoding="utf-8")]
    if not pages:
        pytest.skip("no page has a quiz yet")
    seen = look("quiz", pages[0].resolve().as_uri(), NO_SCRIPT="" if scripts else "1")
    assert not any(seen["before"])
    assert seen["focused"] == "radio" and seen["ring"] == "solid"
    assert seen["first"][:2] == [True, False] and sum(seen["first"]) == 1
    assert seen["second"][:2] == [False, True] and sum(seen["second"]) == 1


# ---- seeded defects ---------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Seeded</title>
<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">
<style>body { font-family: sans-serif; background: #fff; color: #222 }</style>
<script defer src="mathjax/es5/tex-mml-chtml.js"></script></head>
<body><main><h1>A page</h1>%s</main></body></html>"""

DEFECTS = {
    "right": ("", r'<p>A formula: <span class="math">\(x^2\)</span></p>'),
    "host": ("outside: https://cdn.example/a.png", '<img alt="red" src="https://cdn.example/a.png">'),
    "absent": ("failed: 404", '<script src="nowhere.js"></script>'),
    "message": ("errors: seeded", '<script>console.error("seeded")</script>'),
    "throw": ("errors: Error: thrown", '<script>throw new Error("thrown")</script>'),
    "command": ("maths:", r'<div class="math" id="a">\[\fraq{1}{2}\]</div>'),
    "brace": ("unset:", r'<div class="math">\[\frac{1}{2\]</div>'),
    "unset": ("unset:", '<p><span class="math">x without marks</span></p>'),
    "wide": ("wide:", '<div style="width: 1500px">x</div>'),
    "narrow": ("narrow:", '<div style="width: 600px">x</div>'),
    "contrast": ("light: color-contrast", '<p style="color: #bbb">hard to read</p>'),
    "token": (
        "light: color-contrast",
        '<div class="code"><div class="highlight"><pre><span class="k">for</span> '
        '<span class="k">in</span> <span class="c1" style="color: #bbb">a pale remark</span>'
        '</pre></div></div>',
    ),
    "alt": ("light: image-alt", '<img src="data:image/gif;base64,R0lGODlhAQABAAAAACw=">'),
    "label": ("light: label", '<input type="radio" name="a">'),
    "scroll": (
        "light: scrollable-region",
        '<pre style="overflow: auto; width: 100px; height: 3rem">%s</pre>' % ("one long line " * 40),
    ),
}


@pytest.fixture(scope="module")
def seeded(look, tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeded")
    shutil.copytree(ROOT / "vendor" / "mathjax", folder / "mathjax")
    for name, (_, body) in DEFECTS.items():
        (folder / f"{name}.html").write_text(PAGE % body, encoding="utf-8")
    server = serve(folder)
    base = f"http://127.0.0.1:{server.server_port}"
    seen = look("pages", *[f"{base}/{name}.html" for name in DEFECTS])
    server.shutdown()
    return {name: complaints(seen[f"{base}/{name}.html"]) for name in DEFECTS}


@pytest.mark.parametrize("name", DEFECTS)
def test_a_defect_is_seen(seeded, name):
    wanted = DEFECTS[name][0]
    if wanted:
        assert any(wanted in complaint for complaint in seeded[name]), seeded[name]
    else:
        assert seeded[name] == []


def test_what_paper_would_hide_is_seen(look, tmp_path):
    page = tmp_path / "paper.html"
    page.write_text(
        PAGE % '<div class="course-why" style="display: none">Because.</div>'
        '<pre style="width: 90px; overflow: hidden">a line that is much too long for its box</pre>'
        '<div class="bd-sidebar-primary">still here</div>'
    )
    (seen,) = look("pages", page.as_uri()).values()
    assert [len(seen["printed"][key]) for key in ("hidden", "cut", "shown")] == [1, 1, 1]
