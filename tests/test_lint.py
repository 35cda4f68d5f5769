"""Each rule for authors finds its seeded defect, and a page that keeps them all is clean."""

import nbformat
import pytest
from nbformat.v4 import new_output
from tinycourse import code, figure, make, store

from course_utils.authoring import notebook, sync
from course_utils.authoring.lint import lint
from course_utils.authoring.project import CourseError
from course_utils.authoring.skeleton import new_chapter

PAGE = f"""
# Demo

About something that has {{cite:t}}`harris1954` as its source.

## Question

Which question does this chapter answer, and for whom is the answer of any use?

## Objectives

- compute something by hand, and see that the code gives the same number;
- explain in your own words what the figure shows, and what would refute it.

## Prerequisites

None but patience, some paper, and a pencil that is sharp enough to compute with.

## Notation

Nothing needs a symbol here; all that is meant is said in words, and said only once.

## Setup

{code("import sys")}
## The only section

We draw a line. It rises, since the second number is larger than the first of the two.

$$
\\begin{{aligned}}
a &= b
\\end{{aligned}}
$$ (eq-a)

{figure("fig-a", alt="one line that rises")}
The line of {{numref}}`fig-a` rises.

{code("for _ in range(2):" + chr(10) + "    print(len(sys.path))")}
## Exercises

```{{exercise}} By hand
:label: ex-a

What is it?
```

```{{solution}} ex-a
:class: dropdown

This.
```

## Quiz

```{{quiz}}
question: A?
options:
  - {{text: x, correct: true, why: w}}
  - {{text: z, why: v}}
```

## Summary

It is so.

## References

```{{bibliography}}
:filter: docname in docnames
```
""".replace("len(sys.path)", "len(sys.argv)")
SHOW = "plt.show()"


def linted(tmp_path, old="", new="", further="", outputs=None):
    """The findings on PAGE with `old` replaced by `new`, with stored outputs."""
    assert old in PAGE
    pages = {"n01_demo": PAGE.replace(old, new, 1) if old else PAGE}
    if further:
        pages["n01b_more"] = further
    root = make(tmp_path, **pages)
    for name in pages:
        path = store(root, name.removeprefix("n"))
        if outputs is not None:
            written = nbformat.read(path, 4)
            for cell in notebook.code_cells(written):
                if SHOW in cell.source:
                    cell.outputs = outputs
            nbformat.write(written, path)
    return lint(root)


def test_a_page_that_keeps_the_rules_is_clean(tmp_path):
    assert linted(tmp_path) == []


@pytest.mark.parametrize(
    "rule, old, new",
    [
        ("title", "# Demo\n", "# Demo\n\n# Demo again\n"),
        ("headings", "## Objectives", "## Aims"),
        ("headings", "## Quiz", "## Summary"),
        ("headings", "## Notation", "## Notation\n\n## Another"),
        ("headings", "## The only section", "### The only section"),
        ("align", "{aligned}\na &= b\n\\end{aligned}", "{align}\na &= b\n\\end{align}"),
        ("macro", "a &= b", "\\def\\x{a} \\x &= b"),
        ("macro", "a &= b", "a &= b \\label{x}"),
        ("solution", "```{solution} ex-a\n:class: dropdown\n\nThis.\n```\n", ""),
        ("references", "{cite:t}`harris1954`", "Harris"),
        ("prose", "import sys\n", "import sys\n" + "x = 1 + 1 + 1\n" * 20),
        ("long-line", "import sys\n", "import sys  # " + "x" * 66 + "\n"),
        ("semicolon", SHOW, f"{SHOW};"),
        ("semicolon", SHOW, f"{SHOW};  # shown"),
        ("by-hand", "import sys\n", "import sys\n%pip install torch\n"),
        ("by-hand", "import sys\n", "import sys\n!wget https://x.org\n"),
        ("by-hand", "import sys\n", "import sys\nsys.path.append('..')\n"),
        ("warnings", "import sys\n", "import sys, warnings\nwarnings.filterwarnings('ignore')\n"),
        ("warnings", "import sys\n", "import warnings, sys\nwarnings.simplefilter('ignore')\n"),
        ("history", "for _ in range(2):\n    print(len(sys.argv))", "print(_)"),
        ("history", "len(sys.argv)", "Out[3]"),
        ("history", "len(sys.argv)", "In[3]"),
        ("history", "len(sys.argv)", "_3"),
        ("syntax", "len(sys.argv)", "len("),
        ("long-cell", "import sys\n", "import sys\n" + "\n" * 24 + "x = 1\n"),
        ("setup", "import sys\n", "import sys\n" + "\n" * 11 + "x = 1\n"),
        ("setup", "## Notation\n", "## Notation\n\n" + code("x = 1")),
        ("median", "## Exercises", code("x = 1" + "\n" * 6 + "y = 2") * 4 + "\n## Exercises"),
        ("figure", '  image:\n    alt: "one line that rises"\n', ""),
        ("figure", '  figure:\n    name: fig-a\n    caption: "A line."\n', ""),
        ("figure", '    caption: "A line."\n', ""),
        ("alt", '"one line that rises"', '"figure"'),
    ],
)
def test_each_rule_finds_its_defect(tmp_path, rule, old, new):
    if "fig-a" in old or "caption" in old:  # nothing may refer to what is not there
        new_page = PAGE.replace("The line of {numref}`fig-a` rises.", "The line rises here.")
        root = make(tmp_path, n01_demo=new_page.replace(old, new))
        found = lint(root)
    else:
        found = linted(tmp_path, old, new)
    assert any(f"[{rule}]" in line for line in found), found
    assert all(line.startswith("notebooks/01_demo.md, line ") for line in found)


def test_a_finding_names_the_line(tmp_path):
    found = linted(tmp_path, SHOW, f"{SHOW};")
    lines = (tmp_path / "notebooks/01_demo.md").read_text().splitlines()
    assert [lines[int(f.split("line ")[1].split()[0]) - 1] for f in found] == [f"{SHOW};"]


IMAGE = new_output("display_data", {"image/png": "aGVsbG8="})


@pytest.mark.parametrize(
    "rule, outputs",
    [
        ("one-figure", []),
        ("one-figure", [IMAGE, IMAGE]),
        ("one-figure", [IMAGE, new_output("execute_result", {"text/plain": "1"})]),
        ("stderr", [IMAGE, new_output("stream", name="stderr", text="UserWarning: x\n")]),
        ("object", [new_output("execute_result", {"text/plain": "<a.B object at 0x7f12>"})]),
    ],
)
def test_outputs_are_looked_at_too(tmp_path, rule, outputs):
    assert any(f"[{rule}]" in line for line in linted(tmp_path, outputs=outputs))


def test_an_image_without_caption_and_alternative_text_is_found(tmp_path):
    """Nothing in the source says that the cell draws; its stored output does."""
    further = "# More\n\n## Question\n\nWhy?\n\n## Setup\n\n" + code("draw()") + "\n## Summary\n\nSo."
    root = make(tmp_path, n01_demo=PAGE, n01b_more=further)
    store(root, "01_demo")
    path = store(root, "01b_more")
    assert lint(root) == []
    written = nbformat.read(path, 4)
    notebook.code_cells(written)[0].outputs = [IMAGE]
    nbformat.write(written, path)
    (found,) = lint(root)
    lines = (root / "notebooks/01b_more.md").read_text().splitlines()
    assert found.startswith(f"notebooks/01b_more.md, line {lines.index('draw()') + 1} [figure]")


def test_a_further_section_needs_fewer_headings(tmp_path):
    found = linted(tmp_path, further="# More\n\n## Question\n\nWhy?\n\n## Summary\n\nSo.")
    assert len(found) == 1 and "Question · Setup · Summary" in found[0]


def test_a_page_belongs_into_the_contents_under_its_number(tmp_path):
    root = make(tmp_path, n01_demo=PAGE, n03_third=PAGE.replace("-a", "-c"))
    found = lint(root)
    assert "called chapter 3, but _toc.yml makes it chapter 2" in found[0]
    contents = root / "_toc.yml"
    contents.write_text(contents.read_text().replace("      - file: notebooks/03_third\n", ""))
    assert "in no numbered part of _toc.yml" in lint(root)[0]


def test_a_broken_page_is_one_finding(tmp_path):
    root = make(tmp_path, n01_demo=PAGE.replace("What is it?", "```{note}\nWhat is it?"))
    assert len(lint(root)) == 1 and "not closed" in lint(root)[0]


# ---- new chapters --------------------------------------------------------------------


def test_a_new_chapter_flattens_and_breaks_no_rule_but_that_of_its_sources(tmp_path):
    root = make(tmp_path, n01_demo=PAGE)
    path, left = new_chapter(root, "02_next_one")
    assert "- file: notebooks/02_next_one" in left and "add '02_next_one'" in left
    contents = root / "_toc.yml"
    contents.write_text(
        contents.read_text().replace("01_demo\n", "01_demo\n      - file: notebooks/02_next_one\n")
    )
    store(root, "01_demo")
    store(root, "02_next_one")
    assert sync.problems(root) == []
    assert [line for line in lint(root) if "[references]" not in line] == []
    with pytest.raises(CourseError, match="exists already"):
        new_chapter(root, "02_next_one")


@pytest.mark.parametrize("name", ["next", "2_next", "02-next", "02next"])
def test_a_chapter_has_a_number_and_a_name(tmp_path, name):
    with pytest.raises(CourseError, match="expected a name like 03_name.md"):
        new_chapter(make(tmp_path), name)
