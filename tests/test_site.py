"""The built site: links, anchors, ids, alt texts, formulas, numbers, nothing from outside.

The folder is _build/html, or the one named by COURSE_SITE. Each check is first shown to
catch a seeded defect on a small page.
"""

import os
from pathlib import Path

import pytest
import sitecheck
import yaml
from course_utils.authoring import numbering, pages, project

ROOT = Path(__file__).parents[1]
FOLDER = Path(os.environ.get("COURSE_SITE", ROOT / "_build" / "html"))
KNOWN = sitecheck.known_commands(ROOT / "vendor/mathjax/es5/tex-mml-chtml.js")


@pytest.fixture(scope="module")
def site():
    if not (FOLDER / "book" / "index.html").is_file():
        pytest.skip(f"no site at {FOLDER}: run `make book` first")
    return sitecheck.Site(FOLDER)


# ---- the site ---------------------------------------------------------------------------


def test_links_lead_somewhere(site):
    assert sitecheck.broken_links(site) == []


def test_ids_are_unique(site):
    assert sitecheck.duplicate_ids(site) == []


def test_images_have_a_text(site):
    assert sitecheck.missing_alt(site) == []


def test_nothing_is_loaded_from_outside(site):
    assert sitecheck.external_loads(site) == []


def test_formulas_are_well_formed(site):
    assert sitecheck.bad_equations(site, KNOWN) == []


def test_no_source_text_is_left(site):
    assert sitecheck.leftover_markup(site) == []


def test_pages_have_language_and_title(site):
    assert sitecheck.without_language_or_title(site) == []


def test_every_page_of_the_contents_is_built(site):
    missing = [name for name in pages.toc(ROOT) if not (FOLDER / f"{name}.html").is_file()]
    assert missing == []


def test_numbers_equal_those_of_the_notebooks(site):
    listed = [Path(name).stem for name in pages.toc(ROOT) if name.startswith("notebooks/")]
    for stem in listed:
        numbers = numbering.page_numbers(ROOT, stem)
        assert sitecheck.wrong_numbers(site, stem, numbers) == []


def test_download_buttons_serve_the_notebooks(site):
    for name in pages.toc(ROOT):
        if name.startswith("notebooks/"):
            stored = (ROOT / f"{name}.ipynb").read_bytes()
            assert (FOLDER / "_sources" / f"{name}.ipynb").read_bytes() == stored
            html = (FOLDER / f"{name}.html").read_text(encoding="utf-8")
            assert f"_sources/{name}.ipynb" in html


def test_no_dead_buttons_without_an_address(site):
    html = (FOLDER / "book" / "notation.html").read_text(encoding="utf-8")
    assert ("source-repository-button" in html) == bool(project.address(ROOT))


def test_ledger_lists_every_row(site):
    page = site.pages[site.folder / "book" / "claims.html"]
    shown = [tag["id"] for tag in page.select("ul.course-rows > li")]
    wanted = [f"row-{row.key}" for c in project.chapters(ROOT) for row in c.rows]
    assert shown == wanted and len(wanted) == 65


# ---- the sources ------------------------------------------------------------------------


def test_contents_and_syllabus_agree():
    """A notebook of the syllabus is listed; a placeholder stands until a first page does."""
    listed = pages.toc(ROOT)
    for chapter in project.chapters(ROOT):
        stub = f"book/chapters/{chapter.number:02d}"
        for stem in chapter.notebooks:
            assert f"notebooks/{stem}" in listed
        if chapter.part != chapter.title:
            begun = any(pages.NAME.match(stem)[2] in ("", "a") for stem in chapter.notebooks)
            assert (stub in listed) == (not begun), stub
            assert (ROOT / f"{stub}.md").is_file() == (not begun), stub


def test_titles_agree():
    """A placeholder has the title that the syllabus gives to its chapter."""
    for chapter in project.chapters(ROOT):
        stub = ROOT / f"book/chapters/{chapter.number:02d}.md"
        if stub.is_file():
            assert stub.read_text(encoding="utf-8").startswith(f"# {chapter.title}\n")


def test_address_stands_in_one_place():
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert "repository" not in config
    assert not {"baseurl", "use_edit_page_button"} & set(config["html"])


def test_mathjax_is_whole():
    """Without the extensions a single \\boldsymbol would stop every formula of its page."""
    folder = ROOT / "vendor/mathjax"
    assert (folder / "LICENSE").read_text(encoding="utf-8").lstrip().startswith("Apache License")
    assert (folder / "es5/input/tex/extensions/boldsymbol.js").is_file()
    assert len(list((folder / "es5/output/chtml/fonts/woff-v2").glob("*.woff"))) == 23
    assert sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) < 2.5e6


# ---- seeded defects ---------------------------------------------------------------------

PAGE = """<!DOCTYPE html><html lang="en"><head><title>A page</title>
<link rel="stylesheet" href="style.css"></head><body><h1 id="top-title">A</h1>
<a href="other.html#there">a link</a><img src="a.png" alt="a red square">
<div class="math" id="equation-eq-a"><span class="eqno">(1.1)</span>\\[\\frac{a}{b}\\]</div>
%s</body></html>"""


def built(folder: Path, extra: str = "", css: str = "") -> sitecheck.Site:
    """A site of two pages, right in every respect, with `extra` on the first of them."""
    (folder / "notebooks").mkdir(parents=True)
    (folder / "notebooks" / "other.html").write_text(
        '<html lang="en"><head><title>B</title></head><body><p id="there">B</p></body></html>'
    )
    (folder / "notebooks" / "01_a.html").write_text(PAGE % extra)
    (folder / "notebooks" / "style.css").write_text(css)
    (folder / "notebooks" / "a.png").write_bytes(b"")
    return sitecheck.Site(folder)


def complaints(site: sitecheck.Site) -> list[str]:
    return [
        *sitecheck.broken_links(site),
        *sitecheck.duplicate_ids(site),
        *sitecheck.missing_alt(site),
        *sitecheck.external_loads(site),
        *sitecheck.bad_equations(site, KNOWN),
        *sitecheck.leftover_markup(site),
        *sitecheck.without_language_or_title(site),
        *sitecheck.wrong_numbers(site, "01_a", {"equation": {"eq-a": "1.1"}}),
    ]


def test_a_right_page_passes(tmp_path):
    right = (
        '<a href="https://example.org">out</a><a href="#top-title">up</a>'
        r'<span class="math">\(\left[\begin{matrix}1\\2\end{matrix}\right] \leftarrow \{x\}\)</span>'
    )
    assert complaints(built(tmp_path, right, "a { background: url(data:x) }")) == []


@pytest.mark.parametrize(
    "defect, said",
    [
        ('<a href="nowhere.html">x</a>', "leads to no file"),
        ('<a href="../../outside.html">x</a>', "leads to no file"),
        ('<a href="other.html#elsewhere">x</a>', "leads to no place"),
        ('<a href="#elsewhere">x</a>', "leads to no place"),
        ('<p id="top-title">twice</p>', "2 times"),
        ('<img src="a.png">', "has alt None"),
        ('<figure><img src="a.png" alt=" "></figure>', "has alt ' '"),
        ('<img src="a.png" alt="a.png">', "has alt 'a.png'"),
        ('<svg role="img"></svg>', "without a name"),
        ('<script src="https://cdn.example/x.js"></script>', "loads https://cdn.example"),
        ('<link rel="stylesheet" href="//fonts.example/a.css">', "loads //fonts.example"),
        ('<link rel="preconnect" href="https://fonts.example">', "loads https://fonts"),
        ('<p style="background: url(\'https://x.example/a.png\')">x</p>', "loads https://x"),
        ('<style>@import "https://x.example/a.css";</style>', "loads https://x"),
        (r'<div class="math">\[\frac{a}{b\]</div>', "braces do not match"),
        (r'<span class="math">\(\fraq{a}{b}\)</span>', r"unknown command \fraq"),
        (r'<div class="math">\[\begin{aligned}a\end{align}\]</div>', "closes nothing"),
        (r'<div class="math">\[\begin{cases}a\]</div>', "is not closed"),
        (r'<div class="math">\[\left( a \]</div>', r"\left and \right"),
        (r"<p>adds $x^\top x</p><ul><li>\dots$</li></ul>", r"$x^\\top x"),
        (r"<p>\frac12</p>", r"\\frac12"),
        ("<p>see {eq}`eq-a`</p>", "{eq}`"),
        ("<p>costs 3$</p>", "3$"),
    ],
)
def test_a_defect_is_found(tmp_path, defect, said):
    assert any(said in complaint for complaint in complaints(built(tmp_path, defect)))


def test_a_font_from_outside_is_found(tmp_path):
    css = "@font-face { src: url(https://fonts.example/a.woff2) }"
    assert "loads https://fonts" in complaints(built(tmp_path, css=css))[0]


def test_a_wrong_number_is_found(tmp_path):
    site = built(tmp_path)
    wanted = {"equation": {"eq-a": "1.2", "eq-b": "1.3"}}
    assert sitecheck.wrong_numbers(site, "01_a", wanted) == [
        "01_a: equation eq-a: notebook 1.2, site 1.1",
        "01_a: equation eq-b: notebook 1.3, site nothing",
    ]
