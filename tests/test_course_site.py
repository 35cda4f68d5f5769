"""The book's Sphinx extension on a course of two pages, and the HTML it generates."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tinycourse
from bs4 import BeautifulSoup
from course_utils import ledger
from course_utils.authoring import notebook, project, render
from nbformat.v4 import new_output
from sphinx.errors import ExtensionError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import course_site  # noqa: E402

SYLLABUS = """
chapters:
  - number: 1
    title: Counting
    part: Words
    complete: {complete}
    notebooks: [01_one, 01b_two]
    rows:
      T1: {{topic: Sizes, claim: Small & simple.}}
      T2: {{topic: Angles, claim: They are right.}}
  - number: 2
    title: Sessions
    part: Sessions
    complete: false
    notebooks: []
    rows:
      P1: {{topic: A session, claim: It is long.}}
"""
INDEX = "# Index\n\n## Schedule\n\n```{schedule}\n```\n\nSee {row}`T2`.\n"
ONE = r"""
# One

## Quiz

A formula.

$$
a^2 = b
$$ (eq-a)

```{quiz}
question: 'Is $x^2$ *even*?'
options:
  - text: 'for $x$ even'
    correct: true
    why: 'A product of `2`.'
  - text: '$\sqrt{2}$'
    why: 'Not whole.'
```

## Claims

""" + tinycourse.code("claim('T1', 'Small & simple.')") + "\nAnd again.\n\n" + tinycourse.code(
    "claim('T1', 'Simple, again.')"
)
TWO = "# Two\n\n## More\n\n$$\nc\n$$ (eq-c)\n\n" + tinycourse.code("claim('T2', 'Right.')")
SCORE = """[{"task": "Topics", "model": "A", "metric": "accuracy", "value": 0.85, "low": 0.84,
 "high": 0.86, "seconds": 2.0, "parameters": 1000, "notebook": "01_one"},
 {"task": "Topics", "model": "B <b>", "metric": "accuracy", "value": 0.9, "low": 0.88,
 "high": 0.91, "seconds": 300.0, "parameters": 5, "notebook": "01_one"}]"""


def facts(row: str, statement: str, holds: bool = True) -> dict:
    return {"row": row, "statement": statement, "figure": "7 of 9", "holds": holds,
            "verdict": "confirmed", "control": "chance"}


def record(root: Path, stem: str, *claims: dict) -> None:
    """Give each code cell of a stored notebook the record that its claim would leave."""
    stored = notebook.read(tinycourse.store(root, stem))
    cells = [cell for cell in notebook.code_cells(stored) if "claim(" in cell.source]
    for cell, claim in zip(cells, claims, strict=True):
        data = {ledger.CLAIM: claim, "text/plain": "x", "text/html": ledger._claim_html(claim)}
        cell.outputs = [new_output("display_data", data)]
    notebook.write(stored, root / "notebooks" / f"{stem}.ipynb")


def make(folder: Path, *, complete: bool = False, holds: bool = True, url: str = "") -> Path:
    root = tinycourse.make(folder, repository=url, n01_one=ONE, n01b_two=TWO)
    (root / "book" / "syllabus.yml").write_text(SYLLABUS.format(complete=str(complete).lower()))
    (root / "book" / "results").mkdir()
    record(root, "01_one", facts("T1", "Small & simple.", holds), facts("T1", "Simple, again."))
    record(root, "01b_two", facts("T2", "Right."))
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A site built with the book's own extension and configuration, at a public address."""
    root = make(tmp_path_factory.mktemp("course"), url="https://github.com/Someone/course")
    shutil.copytree(ROOT / "book" / "_ext", root / "book" / "_ext")
    for name in ("_static", "_extra"):
        shutil.copytree(ROOT / "book" / name, root / "book" / name)
    shutil.copy(ROOT / "_config.yml", root)
    (root / "vendor").mkdir()
    (root / "book" / "index.md").write_text(INDEX)
    (root / "book" / "claims.md").write_text("# Claims\n\n```{claims-ledger}\n```\n")
    (root / "book" / "scores.md").write_text("# Scores\n\n```{scoreboard}\n```\n")
    (root / "book" / "results" / "01.json").write_text(SCORE)
    shutil.copytree(ROOT / "tests" / "tinypractical", root / "practicals" / "tinypractical")
    (root / "book" / "practicals.md").write_text("# Sessions\n\n```{practical-sessions}\n```\n")
    contents = (root / "_toc.yml").read_text()
    (root / "_toc.yml").write_text(
        contents + "".join(f"      - file: book/{n}\n" for n in ("claims", "scores", "practicals"))
    )
    build = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", build, "build", ".", "-q", "-W", "-n", "--keep-going"]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-3000:]
    return root / "_build" / "html"


def soup(site: Path, name: str) -> BeautifulSoup:
    return BeautifulSoup((site / name).read_text(encoding="utf-8"), "html.parser")


# ---- pages ------------------------------------------------------------------------------


def test_a_quiz_needs_no_script(site):
    quiz = soup(site, "notebooks/01_one.html").select_one(".course-quiz")
    inputs = quiz.select("input[type=radio]")
    assert len(inputs) == 2 and len({i["name"] for i in inputs}) == 1
    for radio in inputs:  # the label names it, the explanation follows it
        option = radio.parent
        assert option.select_one(f'label[for="{radio["id"]}"]').get_text(strip=True)
        assert option.select_one("input ~ .course-feedback .course-why").get_text(strip=True)
    assert quiz.select(".course-question em") and quiz.select(".course-question .math")
    assert [bool(o.select(".course-right")) for o in quiz.select(".course-option")] == [True, False]
    assert "aria-label" not in inputs[0].attrs and inputs[1]["aria-label"] == r"\sqrt{2}"
    assert not quiz.find_all("script") and "onclick" not in str(quiz)


def test_the_ledger_points_to_the_cards(site):
    rows = soup(site, "book/claims.html").select(".course-rows > li")
    assert [row["id"] for row in rows] == ["row-T1", "row-T2", "row-P1"]
    links = [a["href"] for row in rows for a in row.select("a.course-where")]
    assert links == [
        "../notebooks/01_one.html#claim-T1",
        "../notebooks/01_one.html#claim-T1-2",
        "../notebooks/01b_two.html#claim-T2",
    ]
    for link in links:
        page, anchor = link.removeprefix("../").split("#")
        assert "course-claim" in soup(site, page).find(id=anchor)["class"]
    assert "still to come" in rows[2].get_text()
    assert soup(site, "book/index.html").find("a", href="claims.html#row-T2", class_="course-key")


def test_chapters_are_numbered_as_their_files(site):
    one, two = (soup(site, f"notebooks/{name}.html") for name in ("01_one", "01b_two"))
    titles = [page.select_one("article h1").get_text() for page in (one, two)]
    assert [title.rstrip("#") for title in titles] == ["1. One", "1b. Two"]
    assert not one.select("h2 .section-number") and not two.select("h2 .section-number")
    assert [p.select_one(".eqno").get_text()[:5] for p in (one, two)] == ["(1.1)", "(1.2)"]


def test_the_address_makes_the_buttons(site):
    html = (site / "notebooks/01b_two.html").read_text(encoding="utf-8")
    path = "Someone/course/blob/main/notebooks/01b_two.ipynb"
    assert f"https://colab.research.google.com/github/{path}" in html
    assert "https://github.com/Someone/course/edit/main/notebooks/01b_two.md" in html
    assert '"og:url" content="https://someone.github.io/course/notebooks/01b_two.html"' in html
    assert "https://someone.github.io/course/book/index.html" in (site / "404.html").read_text()
    assert "course/notebooks/01_one.html" in (site / "sitemap.xml").read_text()
    assert "thebe" not in html.lower().replace("thebe-config", "")


def test_the_download_is_the_stored_notebook(site):
    for stem in ("01_one", "01b_two"):
        stored = site.parents[1] / "notebooks" / f"{stem}.ipynb"
        assert (site / "_sources/notebooks" / f"{stem}.ipynb").read_bytes() == stored.read_bytes()


def test_practical_sessions_are_listed_and_can_be_fetched(site):
    section = soup(site, "book/practicals.html").select_one("section#tinypractical")
    assert section.h2.get_text().startswith("Means and sums")
    text = " ".join(section.get_text().split())
    assert "3 questions, 7 points, 0 h 10 min; builds on chapter 1." in text
    assert "compute a mean by hand and in code;" in text and "The centred sum" in text
    links = {a.contents[0]: a["href"] for a in section.select(".course-door")}
    fetched = (site / "book" / links["Download"]).resolve()
    assert fetched.read_bytes() == (ROOT / "tests/tinypractical/tinypractical.ipynb").read_bytes()
    place = "Someone/course/blob/main/practicals/tinypractical/tinypractical.ipynb"
    assert links["Run on Colab"] == f"https://colab.research.google.com/github/{place}"
    assert not list(site.rglob("master*")), "a master is on the site"


def test_a_page_with_a_formula_loads_what_shows_it(site):
    for page in site.rglob("*.html"):
        found = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
        if found.select(".math"):
            assert found.select("script[src*=mathjax]"), page.name


def test_the_schedule_has_times_and_links(site):
    first = soup(site, "book/index.html").select_one(".course-schedule > li")
    links = {a.contents[0]: a["href"] for a in first.select(".course-door")}
    assert set(links) == {"Run on Colab", "Download"}
    pages = {a.get_text(): a["href"] for a in first.select(".course-lesson > a")}
    assert set(pages) == {"One", "Two"}
    for link in (*pages.values(), links["Download"]):
        assert (site / "book" / link).resolve().is_file()
    assert "runs in 1.0 s" in first.get_text()


def test_the_scoreboard_is_sorted_and_escaped(site):
    rows = soup(site, "book/scores.html").select(".course-scores tbody tr")
    assert [row.th.contents[0] for row in rows] == ["B <b>", "A"]
    assert "90.0 %" in rows[0].get_text() and "88.0 to 91.0 %" in rows[0].get_text()
    assert "5 min" in rows[0].get_text() and "1,000" in rows[1].get_text()


# ---- gates ------------------------------------------------------------------------------


def prepare(root: Path) -> None:
    course_site.prepare(SimpleNamespace(srcdir=str(root), outdir=str(root / "_build" / "html")))


def test_a_right_ledger_passes(tmp_path):
    prepare(make(tmp_path, complete=True))
    assert (tmp_path / "_build" / ".jupyter_cache").is_dir()


def test_a_complete_chapter_needs_every_row(tmp_path):
    root = make(tmp_path, complete=True)
    text = (root / "book" / "syllabus.yml").read_text()
    extra = "      T3: {topic: Weights, claim: They help.}\n"
    (root / "book" / "syllabus.yml").write_text(text.replace("  - number: 2", f"{extra}  - number: 2"))
    with pytest.raises(ExtensionError, match=r"T3 \(Weights\): missing"):
        prepare(root)


def test_a_failing_claim_stops_the_build(tmp_path):
    with pytest.raises(ExtensionError, match=r"T1 \(Sizes\): failing in 01_one"):
        prepare(make(tmp_path, holds=False))


def test_a_stale_notebook_stops_the_build(tmp_path):
    root = make(tmp_path)
    page = root / "notebooks" / "01_one.md"
    page.write_text(page.read_text().replace("Simple, again", "Simple, for once"))
    with pytest.raises(ExtensionError, match="stale"):
        prepare(root)


# ---- HTML -------------------------------------------------------------------------------


def line(row: str, status: str, verdict: str = "") -> dict:
    return {"row": row, "status": status, "verdict": verdict}


def test_a_row_counts_once_and_failing_wins():
    lines = [
        line("T1", "failing"), line("T1", "passing", "confirmed"),
        line("T2", "passing", "corrected"), line("T3", "missing"), line("T4", "missing"),
    ]
    assert render.counts(lines) == {"failing": 1, "corrected": 1, "still to come": 2}


def test_the_summary_adds_up_to_all_rows():
    lines = [line(f"T{n}", "missing") for n in range(3)] + [line("T9", "passing", "confirmed")]
    html = render.ledger_summary(lines)
    shares = [float(s) for s in re.findall(r"width:([\d.]+)%", html)]
    assert "4 rows" in html and shares == [25.0, 75.0]


def test_smaller_perplexity_is_better():
    lines = [
        {"task": "t", "metric": metric, "model": model, "value": value}
        for metric in ("accuracy", "Perplexity", "bits per character")
        for model, value in [("a", 0.5), ("b", 0.7)]
    ]
    order = {m: [line["model"] for line in g] for (_, m), g in render.by_task(lines).items()}
    assert order == {
        "accuracy": ["b", "a"], "Perplexity": ["a", "b"], "bits per character": ["a", "b"]
    }


def test_an_interval_is_drawn_to_scale():
    svg = render.interval_svg({"low": 0.2, "value": 0.4, "high": 0.6}, 0.0, 1.0)
    # 120 wide with 6 at each edge: 0.2 lies at 6 + 0.2 * 108 = 27.6
    assert 'd="M27.6 7H70.8"' in svg and 'cx="49.2"' in svg


def test_an_interval_of_no_width_is_drawn():
    assert 'cx="6.0"' in render.interval_svg({"low": 1.0, "value": 1.0, "high": 1.0}, 1.0, 1.0)


def test_a_broken_results_file_says_what_to_do(tmp_path):
    (tmp_path / "book" / "results").mkdir(parents=True)
    path = tmp_path / "book" / "results" / "01.json"
    for text in ("{", "[3]", '[{"task": "t"}]'):
        path.write_text(text)
        with pytest.raises(project.CourseError, match="course sync"):
            render.scores(tmp_path)


def test_the_bibliography_holds_what_the_course_cites_and_no_more():
    entries = re.findall(r"@\w+\{(\w+),", (ROOT / "book/references.bib").read_text("utf-8"))
    pages = [*ROOT.glob("notebooks/*.md"), *ROOT.glob("book/*.md")]
    cited = re.findall(r"\{cite:\w+\}`([^`]+)`", "\n".join(p.read_text("utf-8") for p in pages))
    keys = {key.strip() for group in cited for key in group.split(",")}
    assert keys == set(entries)
