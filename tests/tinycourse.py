"""A course small enough to be flattened, executed and built inside a test."""

from pathlib import Path

from nbformat.v4 import new_output

from course_utils.authoring import notebook, pages
from course_utils.authoring.flatten import Course
from course_utils.authoring.pages import HEADER

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
    "RU5ErkJggg=="
)

BIBLIOGRAPHY = r"""
@article{harris1954,
  author = {Harris, Zellig S.}, title = {Distributional {S}tructure},
  journal = {Word}, volume = 10, pages = {146--162}, year = 1954
}
@inproceedings{svore2001,
  author = {{\v{S}}vore, A. and van Dijk, B. and Third, C.}, title = {Two words},
  booktitle = {Proceedings}, year = 2001
}
@book{pair1999, author = {One, A. and Two, B.}, title = {Pairs}, publisher = {P}, year = 1999}
"""
GLOSSARY = """# Glossary

(words)=
## Words

```{glossary}
token
  An occurrence in a text.
```
"""


def make(folder: Path, *, repository: str = "", **notebooks: str) -> Path:
    """Write a course with these notebooks; the keyword is ``n`` and the stem: ``n01_a``."""
    stems = sorted(name.removeprefix("n") for name in notebooks)
    (folder / "book").mkdir()
    (folder / "notebooks").mkdir()
    write = {
        "pyproject.toml": f'[tool.course]\nrepository = "{repository}"\n',
        "_toc.yml": _contents(stems),
        "book/syllabus.yml": "chapters: []\n",
        "book/index.md": "# Index\n",
        "book/glossary.md": GLOSSARY,
        "book/references.bib": BIBLIOGRAPHY,
    }
    for name, text in write.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name, body in notebooks.items():
        page(folder, name.removeprefix("n"), body)
    return folder


def page(root: Path, stem: str, body: str) -> Path:
    """Write one page: `body` below the usual header."""
    path = root / "notebooks" / f"{stem}.md"
    path.write_text(f"{HEADER}\n{body.strip()}\n", encoding="utf-8")
    return path


def code(source: str, options: str = "") -> str:
    """A code cell in MyST; `options` is YAML."""
    head = f"---\n{options.strip()}\n---\n" if options else ""
    return f"```{{code-cell}} ipython3\n{head}{source.strip()}\n```\n"


def figure(name: str, caption: str = "A line.", alt: str = "one rising line") -> str:
    """A code cell that draws a figure with caption and alternative text."""
    return code(
        "import matplotlib.pyplot as plt\n\n"
        "fig, ax = plt.subplots(figsize=(1, 1))\nax.plot([1, 2])\nplt.show()",
        f'mystnb:\n  figure:\n    name: {name}\n    caption: "{caption}"\n'
        f'  image:\n    alt: "{alt}"',
    )


def store(root: Path, stem: str, *, text: str = "printed", **metadata) -> Path:
    """Store a page's notebook as if executed: images where it draws, `text` where it prints."""
    read = pages.read(root / "notebooks" / f"{stem}.md")
    fresh = notebook.build(read, Course.load(root))
    for cell in notebook.code_cells(fresh):
        if "plt.show()" in cell.source:
            cell.outputs = [new_output("display_data", {"image/png": PIXEL})]
        elif "print(" in cell.source:
            cell.outputs = [new_output("stream", name="stdout", text=f"{text}\n")]
    fresh.metadata["course"] |= {"seconds": 1.0} | metadata
    notebook.write(fresh, read.stored)
    return read.stored


def _contents(stems: list[str]) -> str:
    """`_toc.yml` with 01b_x below 01_x."""
    lines = ["format: jb-book", "root: book/index", "parts:"]
    lines += ["  - caption: Lectures", "    numbered: 2", "    chapters:"]
    for stem in stems:
        if stem[2] == "_":
            lines.append(f"      - file: notebooks/{stem}")
            if any(other[:2] == stem[:2] and other[2] != "_" for other in stems):
                lines.append("        sections:")
        else:
            lines.append(f"          - file: notebooks/{stem}")
    lines += ["  - caption: Course", "    chapters:", "      - file: book/glossary"]
    return "\n".join(lines) + "\n"
