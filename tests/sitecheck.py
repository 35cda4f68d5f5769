"""What must hold of every page of a built site; each check returns a list of complaints.

The checks read files only. What needs a browser (formulas as drawn, requests as made,
contrast, keyboard) is in tests/browser.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup, Tag

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "audio": "src",
          "video": "src", "embed": "src", "object": "data", "input": "src"}
FETCHED_RELS = {"stylesheet", "icon", "preload", "prefetch", "modulepreload", "manifest",
                "apple-touch-icon", "mask-icon", "preconnect", "dns-prefetch", "shortcut"}
IN_CSS = re.compile(r"""(?:url\(\s*|@import\s+)["']?\s*((?:https?:)?//[^"')\s]+)""", re.I)
LEFTOVER = re.compile(r"\\[A-Za-z]{2,}|\$[^\s$]|[^\s$]\$|\{[a-z:]+\}`|```|:::|^\([a-z-]+\)=", re.M)
COMMAND = re.compile(r"\\([A-Za-z]+)")
ENVIRONMENT = re.compile(r"\\(begin|end)\{([^}]*)\}")


class Site:
    """A folder of HTML pages, each parsed once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    @cached_property
    def pages(self) -> dict[Path, BeautifulSoup]:
        """Every page but those that belong to static files."""
        found = sorted(self.folder.rglob("*.html"))
        return {
            path: BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
            for path in found
            if not {"_static", "_sources", "reports"} & set(path.relative_to(self.folder).parts)
        }

    @cached_property
    def anchors(self) -> dict[Path, set[str]]:
        """Everything on a page that a fragment may name."""
        return {
            path: {tag["id"] for tag in page.find_all(id=True)}
            | {tag["name"] for tag in page.find_all("a", attrs={"name": True})}
            for path, page in self.pages.items()
        }

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def broken_links(site: Site) -> list[str]:
    """Links and sources inside the site that lead nowhere, fragments included."""
    wrong = []
    for path, page in site.pages.items():
        for tag, url in _addresses(page):
            parts = urlsplit(url)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(site.folder) or not target.is_file():
                wrong.append(f"{site.name(path)}: {url} leads to no file")
            elif parts.fragment and unquote(parts.fragment) not in site.anchors.get(target, {""}):
                if target in site.anchors and not (tag.name == "a" and parts.fragment == "top"):
                    wrong.append(f"{site.name(path)}: {url} leads to no place on that page")
    return wrong


def _addresses(page: BeautifulSoup) -> Iterator[tuple[Tag, str]]:
    for tag in page.find_all(True):
        for key in ("href", "src"):
            if tag.get(key) and tag.name != "base" and not tag[key].startswith("data:"):
                yield tag, tag[key]


def duplicate_ids(site: Site) -> list[str]:
    """Ids that stand twice on one page."""
    wrong = []
    for path, page in site.pages.items():
        counted = Counter(tag["id"] for tag in page.find_all(id=True))
        wrong += [f"{site.name(path)}: id {key!r} {n} times" for key, n in counted.items() if n > 1]
    return wrong


def missing_alt(site: Site) -> list[str]:
    """Images that say nothing to who cannot see them; drawings without a name likewise.

    An empty text marks decoration and is allowed outside figures and outputs only. A text
    that is just a file name says nothing.
    """
    wrong = []
    for path, page in site.pages.items():
        for image in page.find_all("img"):
            alt = image.get("alt")
            shown = image.find_parent("figure") or image.find_parent(class_="cell_output")
            named = bool(alt) and Path(image.get("src", "")).stem == Path(alt).stem
            if alt is None or (shown and not alt.strip()) or named:
                wrong.append(f"{site.name(path)}: {image.get('src', '')[:60]} has alt {alt!r}")
        for drawing in page.find_all("svg", attrs={"role": "img"}):
            if not drawing.get("aria-label") and not drawing.find("title"):
                wrong.append(f"{site.name(path)}: a drawing without a name")
    return wrong


def external_loads(site: Site) -> list[str]:
    """Scripts, styles, images and fonts that a page would fetch from another host."""
    wrong = []
    for path, page in site.pages.items():
        found = [tag.get(key, "") for name, key in LOADED.items() for tag in page.find_all(name)]
        found += [
            tag.get("href", "")
            for tag in page.find_all("link")
            if FETCHED_RELS & {rel.lower() for rel in tag.get("rel", [])}
        ]
        for tag in page.find_all(srcset=True):
            found += [part.split()[0] for part in tag["srcset"].split(",") if part.strip()]
        for text in [t.get_text() for t in page.find_all("style")]:
            found += IN_CSS.findall(text)
        for tag in page.find_all(style=True):
            found += IN_CSS.findall(tag["style"])
        wrong += [f"{site.name(path)}: loads {url}" for url in found if _foreign(url)]
    for sheet in site.folder.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8", errors="replace")
        wrong += [f"{site.name(sheet)}: loads {url}" for url in IN_CSS.findall(text)]
    return wrong


def _foreign(url: str) -> bool:
    return bool(urlsplit(url).netloc)


def bad_equations(site: Site, known: set[str]) -> list[str]:
    """Formulas with braces or environments that do not match, or an unknown command."""
    wrong = []
    for path, page in site.pages.items():
        for tag in page.select("div.math, span.math"):
            number = tag.select_one(".eqno")
            text = tag.get_text().replace(number.get_text() if number else "", "", 1)
            wrong += [f"{site.name(path)}: {text.strip()[:60]!r}: {c}" for c in tex_complaints(text, known)]
    return wrong


def leftover_markup(site: Site) -> list[str]:
    """Source text that a reader would see: dollars, TeX commands, roles, fences."""
    wrong = []
    for path, page in site.pages.items():
        body = page.find("article") or page.body or page
        for text in body.find_all(string=LEFTOVER):
            if not text.find_parent(["code", "pre", "script", "style", "textarea"]) and not (
                text.find_parent(class_=["math", "course-claim"])
            ):
                found = LEFTOVER.search(text)
                wrong.append(f"{site.name(path)}: {text[max(0, found.start() - 20) :][:60]!r}")
    return wrong


def tex_complaints(text: str, known: set[str]) -> list[str]:
    """What a TeX reader would refuse in one formula."""
    found = []
    depth = 0
    for brace in re.findall(r"(?<!\\)(?:\\\\)*([{}])", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            break
    if depth:
        found.append("braces do not match")
    opened: list[str] = []
    for kind, name in ENVIRONMENT.findall(text):
        if kind == "begin":
            opened.append(name)
        elif not opened or opened.pop() != name:
            found.append(f"\\end{{{name}}} closes nothing")
    found += [f"\\begin{{{name}}} is not closed" for name in opened]
    if text.count(r"\left") - len(re.findall(r"\\left(?:arrow|right)", text)) != text.count(
        r"\right"
    ) - len(re.findall(r"\\right(?:arrow|harpoon|left)", text)):
        found.append("\\left and \\right do not match")
    return found + [f"unknown command \\{c}" for c in sorted(set(COMMAND.findall(text)) - known)]


def known_commands(mathjax: Path) -> set[str]:
    """Every name that the vendored MathJax may know as a command or an environment.

    It reads the keys of the tables in its file, a superset that no misspelling is likely
    to be in.
    """
    text = mathjax.read_text(encoding="utf-8")
    return set(re.findall(r"""[{,]"?\\{0,2}([A-Za-z]+)"?:""", text)) | {"left", "right", "begin", "end"}


def wrong_numbers(site: Site, stem: str, numbers: dict[str, dict[str, str]]) -> list[str]:
    """Numbers on a notebook's page that differ from those of the generated notebook."""
    page = site.pages[site.folder / "notebooks" / f"{stem}.html"]
    wrong = []
    for kind, labels in numbers.items():
        for label, number in labels.items():
            place = page.find(id=f"equation-{label}" if kind == "equation" else label)
            shown = place and place.select_one(".eqno, .caption-number")
            text = shown.get_text().strip("() ¶#\n").split()[-1] if shown else "nothing"
            if text != number:
                wrong.append(f"{stem}: {kind} {label}: notebook {number}, site {text}")
    return wrong


def without_language_or_title(site: Site) -> list[str]:
    """Pages that do not say their language or their title (the redirect at the root may)."""
    return [
        site.name(path)
        for path, page in site.pages.items()
        if not page.find("meta", attrs={"http-equiv": re.compile("refresh", re.I)})
        and (not page.html.get("lang") or not page.title or not page.title.get_text().strip())
    ]
