"""``course new chapter NAME``: start a page with every heading that the rules ask for."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import pages
from .project import CourseError, find_root

OPENING = """
# {title}

One sentence on what this chapter is about.

## Question

The question that the chapter answers, as a reader would ask it.

## Objectives

After this chapter you can

- compute ... by hand;
- explain why ...

## Prerequisites

What the reader has seen before, with links.

## Notation

| symbol | meaning | shape |
|---|---|---|
| $x$ | ... | $(D,)$ |

## Setup

```{code-cell} ipython3
import matplotlib.pyplot as plt

from course_utils import plotting, runtime

plotting.use_style()
runtime.seed_everything(0)
```
"""

CLOSING = """
## First section

A labelled equation, the code with the same symbols, a check, a figure, and a paragraph
that reads the figure.

$$
x = 1
$$ (eq-{slug}-first)

The code of equation {eq}`eq-{slug}-first`:

```{code-cell} ipython3
x = 1
assert x == 1
```

## Exercises

```{exercise} By hand
:label: ex-{slug}-first

What is $x$?
```

```{solution} ex-{slug}-first
:class: dropdown

By {eq}`eq-{slug}-first`, it is 1.
```

## Quiz

```{quiz}
question: 'What is $x$?'
options:
  - text: '0'
    why: 'No: look at the equation again.'
  - text: '1'
    correct: true
    why: 'Yes: the equation says so.'
```

## Summary

- What to remember.

## References

```{bibliography}
:filter: docname in docnames
```
"""


def new_chapter(root: Path, name: str) -> tuple[Path, str]:
    """Create the page of a chapter.

    Parameters
    ----------
    root : Path
        Folder of the course.
    name : str
        ``NN_name``, for instance ``"03_glove"``.

    Returns
    -------
    (Path, str)
        The new file, and in words what is left to do.

    Raises
    ------
    CourseError
        If the name has another form or the file exists.
    """
    path = root / "notebooks" / f"{name.removesuffix('.md')}.md"
    number = pages.chapter_of(path)
    if path.exists():
        raise CourseError(f"{path} exists already. Edit it, or choose another name.")
    words = path.stem.split("_", 1)[1]
    text = pages.HEADER + OPENING + CLOSING
    for key, value in {"title": words.replace("_", " ").capitalize(), "slug": words}.items():
        text = text.replace("{" + key + "}", value.replace("_", "-") if key == "slug" else value)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path, _left(path, number)


def _left(path: Path, number: int) -> str:
    return (
        f"1. _toc.yml: put '- file: notebooks/{path.stem}' in the place of "
        f"'- file: book/chapters/{number:02d}'\n"
        f"   (a further page of a chapter goes below its first one, under 'sections:').\n"
        f"2. book/syllabus.yml, chapter {number}: add '{path.stem}' to 'notebooks'.\n"
        f"3. Write; then `course sync notebooks/{path.name}`, `course lint`, `make book`."
    )


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``course new chapter NAME`` to the command line."""
    parser = commands.add_parser("new", help="start a new chapter")
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    chapter = kinds.add_parser(
        "chapter",
        help="write a page with all fixed headings",
        description="Write notebooks/NAME.md and say what to add to which list.",
    )
    chapter.add_argument("name", help="NN_name, for instance 03_glove")
    chapter.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Create the page and say what is left to do."""
    root = (options.root or find_root()).resolve()
    path, left = new_chapter(root, options.name)
    print(f"Wrote {path.relative_to(root)}. What is left:\n{left}")
    return 0
