"""MyST to plain Markdown: every construct of the subset, and every refusal with its line."""

import subprocess
import sys

import pytest
from tinycourse import code, figure, make, page, store

from course_utils.authoring import notebook, numbering, pages, prime, quiz
from course_utils.authoring.flatten import Course
from course_utils.authoring.project import CourseError

TITLE = "# Demo\n\n"


def flattened(root, stem="01_demo"):
    """The Markdown of all cells of a page, as on Colab."""
    read = pages.read(root / "notebooks" / f"{stem}.md")
    cells = notebook.build(read, Course.load(root)).cells
    return "\n\n".join(c.source for c in cells if c.cell_type == "markdown")


def plain(tmp_path, body, **course):
    """`body` under a title, flattened, without the title."""
    root = make(tmp_path, n01_demo=TITLE + "## Section\n\n" + body, **course)
    return flattened(root).split("## Section\n\n", 1)[1]


# ---- constructs ----------------------------------------------------------------------


def test_a_labelled_formula_gets_its_tag_and_references_its_number(tmp_path):
    text = plain(tmp_path, "$$\na = b\n$$ (eq-a)\n\nBy {eq}`eq-a`, $c$; code `{eq}` stays.")
    assert text == "$$\na = b \\tag{1.1}\n$$\n\nBy (1.1), $c$; code `{eq}` stays."


def test_a_formula_in_a_box_stays_on_one_line(tmp_path):
    """A second line would begin with '>', which notebooks take for a part of the formula."""
    text = plain(tmp_path, "```{note}\n$$\na =\nb\n$$ (eq-a)\n```")
    assert text == "> **Note.**\n>\n> $$a = b \\tag{1.1}$$"


@pytest.mark.parametrize(
    "opening, title",
    [
        ("{admonition} Erratum: the sign\n:class: erratum", "Erratum: the sign."),
        ("{admonition} The sign\n:class: erratum", "Erratum: The sign."),
        ("{admonition} Look\n:class: tip", "Tip: Look."),
        ("{admonition} Plain", "Plain."),
        ("{warning}", "Warning."),
    ],
)
def test_boxes_become_quotations_with_a_bold_title(tmp_path, opening, title):
    text = plain(tmp_path, f"```{opening}\n\nInside {{term}}`token`.\n```")
    assert text == f"> **{title}**\n>\n> Inside token."


def test_what_is_folded_has_blank_lines_so_that_markdown_inside_renders(tmp_path):
    text = plain(tmp_path, "```{dropdown} If $a < b$\nIt **is**.\n```")
    assert text == (
        "<details>\n<summary>If $a &lt; b$</summary>\n\nIt **is**.\n\n</details>"
    )


def test_exercise_solution_and_gated_solution(tmp_path):
    text = plain(
        tmp_path,
        "```{exercise} By hand\n:label: ex-a\n\nDo.\n```\n\n"
        "```{solution} ex-a\n:class: dropdown\n\nDone.\n```\n\n"
        "```{exercise} In code\n:label: ex-b\n\nRun.\n```\n\n"
        "```{solution-start} ex-b\n:class: dropdown\n```\n\n"
        + code("1")
        + "\n```{solution-end}\n```\n\nSee {ref}`ex-a`.",
    )
    assert "**Exercise 1.1: By hand.**\n\nDo." in text
    assert "<summary>Solution of exercise 1.1</summary>\n\nDone.\n\n</details>" in text
    assert "**Exercise 1.2: In code.**\n\nRun.\n\n**Solution of exercise 1.2.**" in text
    assert text.endswith("**End of the solution.**\n\nSee Exercise 1.1.")


def test_theorem_and_proof(tmp_path):
    text = plain(
        tmp_path,
        "```{prf:theorem} Big\n:label: thm\n\nAll.\n```\n\n```{prf:proof}\nClear.\n```\n\n"
        "By {prf:ref}`thm`.",
    )
    assert text == (
        "> **Theorem 1.1: Big.**\n>\n> All.\n\n> **Proof.**\n>\n> Clear.\n\nBy Theorem 1.1."
    )


def test_citations_and_the_list_of_this_page_alone(tmp_path):
    text = plain(
        tmp_path,
        "{cite:t}`harris1954`, {cite:p}`svore2001,pair1999`.\n\n"
        "```{bibliography}\n:filter: docname in docnames\n```",
    )
    first, listed = text.split("\n\n")
    assert first == "Harris (1954), (Švore et al., 2001; One and Two, 1999)."
    assert [line.split(".")[0] for line in listed.split("\n")] == ["- Zellig S", "- A", "- A"]
    assert "*Word*, 10:146–162, 1954" in listed and "Pairs" in listed

    page(tmp_path, "01_demo", "# T\n\n{cite:t}`harris1954`\n\n```{bibliography}\n:filter: docname in docnames\n```")
    assert "Pairs" not in flattened(tmp_path)


def test_quiz_shows_options_and_hides_answers(tmp_path):
    text = plain(
        tmp_path,
        "$$ x = 1 $$ (eq-x)\n\n```{quiz}\nquestion: Is $x$ one?\noptions:\n"
        "  - text: 'no'\n    why: 'No: {eq}`eq-x`.'\n"
        "  - text: 'yes'\n    correct: true\n    why: 'Yes.'\n```",
    )
    assert "**Question 1.** Is $x$ one?\n\n- (a) no\n- (b) yes\n\n<details>" in text
    assert "**(b)** is right.\n\n- **(a)** No: (1.1).\n- **(b)** Yes." in text


def test_a_caption_follows_its_cell_with_number(tmp_path):
    root = make(tmp_path, n01_demo=TITLE + figure("fig-a", "See {numref}`fig-a`."))
    cells = notebook.build(pages.read(root / "notebooks/01_demo.md"), Course.load(root)).cells
    assert cells[-1].source == "**Figure 1.1.** See Figure 1.1."
    assert cells[-2].source.startswith("import matplotlib")
    assert cells[-1].metadata.course.generated


def test_links_to_pages_need_a_site(tmp_path):
    body = TITLE + "(here)=\n## S\n\n[the words](../book/glossary.md#words), [](../book/glossary.md), {ref}`words`, [](#words), {ref}`here`, [out](https://x.org)."
    without = flattened(make(tmp_path, n01_demo=body))
    assert "the words, Glossary, Words, Words, S, [out](https://x.org)." in without

    other = tmp_path / "other"
    other.mkdir()
    text = flattened(make(other, n01_demo=body, repository="https://github.com/me/course"))
    address = "https://me.github.io/course/book/glossary.html"
    for name, target in [("the words", "#words"), ("Glossary", ""), ("Words", "#words")]:
        assert f"[{name}]({address}{target}), " in text
    assert "colab.research.google.com/github/me/course/blob/main/notebooks/01_demo.ipynb" in text


def test_comments_and_targets_leave_nothing(tmp_path):
    assert plain(tmp_path, "A.\n\n% a remark\n\n(x)=\n### B") == "A.\n\n### B"


# ---- refusals ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body, message",
    [
        ("```{figure} a.png\n```", "{figure} is not in the subset"),
        ("```{note}\n:name: x\n\nA\n```", "':name:' is not in the subset"),
        ("```{admonition} A\n:class: odd\n\nA\n```", "class 'odd' is unknown"),
        ("{doc}`x`", "role {doc} is not in the subset"),
        ("{eq}`eq-none`", "no page defines the label 'eq-none'"),
        ("{cite:t}`none2000`", "'none2000' is not in references.bib"),
        ("{term}`tokken`", "'tokken' is not in book/glossary.md"),
        ("[x](none.md)", "leads to no page"),
        ("[x](../book/references.bib)", "leads to no page"),
        ("(x)=\nText.\n\n{ref}`x`", "stands above no heading"),
        ("![x](a.png)", "images are drawn by a code cell"),
        ("A[^1]", "footnotes"),
        ("{{ x }}", "substitutions"),
        ("[x](https://x.org){.big}", "attributes"),
        ("A {eq}`eq-a\n\nB", "no closing backtick"),
        (":::{note}\nA", "fence ::: is not closed"),
        ("A\n:::\n", "':::' is not in the subset"),
        ("> ```{note}\n> A\n> ```", "is not in the subset"),
        ("\\begin{align}\na\n\\end{align}", "is not in the subset"),
        ("A\n$$\na\n$$", "blank line is missing"),
        ("$$\na\n\nb\n$$", "not closed before a blank line"),
        ("$$a$$ is it", "needs its lines to itself"),
        ("```{exercise} A\n\nB\n```", "needs a label"),
        ("```{solution} ex-none\nB\n```", "no page defines the label 'ex-none'"),
        ("```{quiz}\nquestion: a\noptions: []\n```", "list of at least two"),
    ],
)
def test_what_colab_cannot_show_is_refused_with_its_line(tmp_path, body, message):
    root = make(tmp_path, n01_demo=f"{TITLE}First.\n\nSecond.\n\n{body}")
    start = (root / "notebooks/01_demo.md").read_text().split("Second.")[0].count("\n") + 3
    with pytest.raises(CourseError, match=r"01_demo\.md, line \d+: ") as caught:
        flattened(root)
    assert message in str(caught.value)
    line = int(str(caught.value).split("line ")[1].split(":")[0])
    assert start <= line <= start + body.count("\n")


@pytest.mark.parametrize(
    "one, two",
    [
        ("$$ a $$ (same)", "$$ b $$ (same)"),
        ("$$ a $$ (same)", figure("same")),
        ("(same)=\n## A", "```{exercise} A\n:label: same\n\nB\n```"),
    ],
)
def test_a_label_is_used_once_in_the_whole_course(tmp_path, one, two):
    root = make(tmp_path, n01_a=TITLE + one, n02_b=TITLE + two)
    with pytest.raises(CourseError, match="02_b.md, line .*'same' is taken by .*01_a.md"):
        numbering.collect(root)


def test_a_page_needs_title_and_header(tmp_path):
    with pytest.raises(CourseError, match="expected '# Title'"):
        flattened(make(tmp_path, n01_demo="Text only."))
    (tmp_path / "notebooks/01_demo.md").write_text("# T\n")
    with pytest.raises(CourseError, match="header is missing"):
        flattened(tmp_path)


def test_a_figure_needs_a_name(tmp_path):
    cell = code("1", "mystnb:\n  figure:\n    caption: A line.")
    with pytest.raises(CourseError, match="no 'name: fig-...'"):
        flattened(make(tmp_path, n01_demo=TITLE + cell))


# ---- quiz ----------------------------------------------------------------------------

GOOD = "question: A?\noptions:\n  - {text: 'x', correct: true, why: w}\n  - {text: 'y', why: v}\n"


def test_quiz_reads_question_options_and_answer():
    asked = quiz.parse(GOOD)
    assert (asked.question, asked.answer, asked.options[1].why) == ("A?", 0, "v")
    assert quiz.parse(GOOD.replace("why: v", r'why: "\\beta"')).options[1].why == r"\beta"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("question: A?", "question: A: b?", "not valid YAML in line 1"),
        ("question: A?\n", "", "'question' is missing"),
        (", correct: true", "", "exactly one option with 'correct: true', found 0"),
        ("why: v", "why: v, correct: true", "found 2"),
        ("why: v", "wy: v", "got wy"),
        (", why: v", "", "option 2: 'why' is missing"),
        ("'x'", "'  '", "'text' is empty"),
        ("'x'", "0.5", "reads 0.5, not a text"),
        ("'x'", '"\\beta"', "backslash in double quotes"),
        ("true", "'yes'", "expected true or nothing"),
    ],
)
def test_quiz_says_what_is_wrong(old, new, message):
    assert old in GOOD
    with pytest.raises(quiz.QuizError) as caught:
        quiz.parse(GOOD.replace(old, new))
    assert message in str(caught.value)


# ---- numbers -------------------------------------------------------------------------

FIRST = (
    "# One\n\n## S\n\n$$ a $$ (eq-a)\n\n$$ u $$\n\n```{note}\n$$ b $$ (eq-b)\n```\n\n"
    "### Deep\n\n```{exercise} A\n:label: ex-a\n\n$$ c $$ (eq-c)\n```\n\n"
    "```{prf:definition} D\n:label: def-a\n\nD.\n```\n\n" + figure("fig-a")
)
SECOND = (
    "# Two\n\n## S\n\n" + figure("fig-b") + "\n$$ d $$ (eq-d)\n\n"
    "```{exercise} B\n:label: ex-b\n\nB.\n```\n\n"
    + code("print(2)") +
    "```{prf:theorem} T\n:label: thm-b\n\nT.\n```\n\n{eq}`eq-a`, {numref}`fig-a`"
)
THIRD = "# Three\n\n$$ e $$ (eq-e)\n\n" + figure("fig-e") + code("print(1)")
NUMBERS = {
    "01_one": {
        "equation": {"eq-a": "1.1", "eq-b": "1.2", "eq-c": "1.3"},
        "exercise": {"ex-a": "1.1"},
        "definition": {"def-a": "1.1"},
        "figure": {"fig-a": "1.1"},
    },
    "01b_two": {
        "figure": {"fig-b": "1.2"},
        "equation": {"eq-d": "1.4"},
        "exercise": {"ex-b": "1.2"},
        "theorem": {"thm-b": "1.1"},
    },
    "02_three": {"equation": {"eq-e": "2.1"}, "figure": {"fig-e": "2.1"}},
}
CONFIG = """
title: Tiny
only_build_toc_files: true
exclude_patterns: ["notebooks/**.ipynb", "_build/**"]
execute: {execute_notebooks: cache}
bibtex_bibfiles: [book/references.bib]
sphinx:
  recursive_update: true
  extra_extensions: [sphinx_exercise, sphinx_proof]
  config: {math_eqref_format: "({number})", numfig_secnum_depth: 1}
"""


def test_numbers_go_on_over_the_pages_of_a_chapter(tmp_path):
    root = make(tmp_path, n01_one=FIRST, n01b_two=SECOND, n02_three=THIRD)
    assert {stem: numbering.page_numbers(root, stem) for stem in NUMBERS} == NUMBERS


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The three pages built as a site from stored outputs that no execution would give."""
    root = make(tmp_path_factory.mktemp("site"), n01_one=FIRST, n01b_two=SECOND, n02_three=THIRD)
    (root / "_config.yml").write_text(CONFIG)
    for stem in NUMBERS:
        store(root, stem, text="from the stored run")
    sources = sorted((root / "notebooks").glob("*.md"))
    assert prime.prime(root / "_build/.jupyter_cache", sources, root) == 3
    build = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", build, "build", ".", "-q", "-W", "-n"]
    built = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    return root


def test_numbers_are_those_of_the_built_site(site):
    from bs4 import BeautifulSoup

    for stem in NUMBERS:
        html = (site / f"_build/html/notebooks/{stem}.html").read_text(encoding="utf-8")
        soup = BeautifulSoup(html, "html.parser")
        for kind, numbers in numbering.page_numbers(site, stem).items():
            for label, number in numbers.items():
                at = f"equation-{label}" if kind == "equation" else label
                where = ".eqno" if kind == "equation" else ".caption-number"
                shown = soup.find(id=at).select_one(where).get_text()
                assert shown.strip("() ¶#").split()[-1] == number, (stem, label)


def test_the_site_shows_stored_outputs_and_executes_nothing(site):
    for stem in ("01b_two", "02_three"):
        html = (site / f"_build/html/notebooks/{stem}.html").read_text(encoding="utf-8")
        assert "from the stored run" in html
