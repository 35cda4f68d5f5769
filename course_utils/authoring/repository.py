"""The repository's public address: kept in one place, written wherever it is needed.

The place is ``[tool.course] repository`` in pyproject.toml. The site's buttons read it at
build time; the notebooks' install cell, README.md and CITATION.cff are rewritten from it.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from urllib.parse import urlsplit

from .project import CourseError, address, find_root

SETTING = re.compile(r'^(repository\s*=\s*)"[^"]*"', re.M)
LINKS = re.compile(r"(<!-- address -->\n).*?(<!-- /address -->)", re.S)
CITED = re.compile(r"^repository-code:.*\n", re.M)


def checked(url: str) -> str:
    """`url` without a trailing slash or .git; CourseError if it is no address.

    >>> checked("https://github.com/someone/course.git/")
    'https://github.com/someone/course'
    """
    plain = url.strip().rstrip("/").removesuffix(".git")
    parts = urlsplit(plain)
    if plain and (parts.scheme != "https" or parts.path.count("/") != 2):
        raise CourseError(
            f"address: expected https://HOST/OWNER/NAME, got {url!r}. "
            "Give '' to remove the address."
        )
    return plain


def colab(url: str, notebook: str) -> str:
    """Where Colab opens a notebook of the repository; only GitHub addresses have one."""
    path = urlsplit(url).path
    return (
        f"https://colab.research.google.com/github{path}/blob/main/notebooks/"
        f"{notebook}.ipynb"
    )


def readme_links(url: str, first: str) -> str:
    """The lines of README.md that depend on the address."""
    if not url:
        return "The course has no public address yet: build it with `make book`.\n"
    owner, name = urlsplit(url).path.strip("/").split("/")
    return (
        f"[Read it](https://{owner}.github.io/{name}/) · "
        f"[Run chapter 1 on Colab]({colab(url, first)}) · [Source]({url})\n"
    )


def derived(root: Path, url: str) -> dict[Path, str]:
    """Every text file that depends on the address, with the text it must have."""
    readme, cited = root / "README.md", root / "CITATION.cff"
    first = sorted(p.stem for p in (root / "notebooks").glob("*.md"))[0]
    lines = readme_links(url, first)
    citation = CITED.sub("", cited.read_text(encoding="utf-8"))
    if url:
        citation = citation.rstrip("\n") + f"\nrepository-code: {url}\n"
    return {
        readme: LINKS.sub(
            lambda m: m.group(1) + lines + m.group(2), readme.read_text(encoding="utf-8")
        ),
        cited: citation,
    }


def disagreements(root: Path) -> list[str]:
    """Files that say something else than pyproject.toml (the notebooks: `course sync`)."""
    return [
        str(path.relative_to(root))
        for path, text in derived(root, address(root)).items()
        if path.read_text(encoding="utf-8") != text
    ]


def set_repository(root: Path, url: str) -> list[str]:
    """Write the address everywhere; returns the files changed, relative to `root`.

    Stored outputs of the notebooks are kept: only their install cell changes.
    """
    from .practicals.command import release_again
    from .sync import reflatten

    url = checked(url)
    project = root / "pyproject.toml"
    text = project.read_text(encoding="utf-8")
    if not SETTING.search(text):
        raise CourseError(f"{project}: expected [tool.course] repository, found none.")
    wanted = derived(root, url)
    wanted[project] = SETTING.sub(rf'\1"{url}"', text, count=1)
    changed = []
    for path, new in wanted.items():
        if path.read_text(encoding="utf-8") != new:
            path.write_text(new, encoding="utf-8")
            changed.append(str(path.relative_to(root)))
    return changed + reflatten(root) + release_again(root.resolve())


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add ``course set-repository`` to the command line."""
    parser = commands.add_parser(
        "set-repository",
        help="set the public address of the repository wherever it is written",
        description="Rewrite pyproject.toml, README.md, CITATION.cff and the install "
        "cell of every notebook and practical session. Stored outputs are kept.",
    )
    parser.add_argument("url", help="https://HOST/OWNER/NAME, or '' for none")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Set the address and say what changed."""
    changed = set_repository(options.root or find_root(), options.url)
    print("\n".join(changed) if changed else "Nothing to change.")
    return 0
