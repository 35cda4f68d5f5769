"""Interface strings in six languages, aligned by key.

Introduced with chapter 10. Adds to `fetching`: nested JSON made flat, pairs
without repetitions, and a split that no near-duplicate crosses.
"""

import hashlib
import json
import re
from dataclasses import dataclass

from .errors import expect
from .fetching import files

# How many strings each language has.
COUNTS = {
    "en": 44_434,
    "fr": 21_602,
    "de": 44_435,
    "es": 44_282,
    "cs": 44_438,
    "ru": 38_074,
}


@dataclass(frozen=True)
class Pairs:
    """``sources[i]`` and ``targets[i]`` say the same."""

    sources: list  # of str
    targets: list  # of str

    def __len__(self):
        return len(self.sources)


def interface_strings(language):
    """Load every interface string of one language.

    Parameters
    ----------
    language : str
        One of ``en fr de es cs ru``.

    Returns
    -------
    dict of (str, str) to str
        ``(component, key)`` to string, such as ``("sun", "title")``.

    Notes
    -----
    Source: the homeassistant wheel, Apache-2.0. Placeholders in braces and
    Markdown are kept.
    """
    if language not in COUNTS:
        raise ValueError(
            f"Expected one of {' '.join(COUNTS)}, got {language!r}."
        )
    text = files("interface")[f"{language}.json"].read_text("utf-8")
    strings = {
        (path.split("/")[2], key): value
        for path, file in json.loads(text).items()
        for key, value in flat(json.loads(file))
    }
    what, count = f"strings of {language}", COUNTS[language]
    expect(what, count, len(strings), "interface")
    return strings


def interface_pairs(source="en", target="fr", *, longest=12, share=10):
    """Load translation pairs, split so that no near-duplicate crosses.

    A pair is kept once; pairs with equal sides, braces, links or line
    breaks are dropped. Two sources that differ only in case, digits or
    punctuation fall on the same side, by the SHA-256 of what they share;
    a training pair whose target stands in the test part is dropped.

    Parameters
    ----------
    source, target : str
        Two of ``en fr de es cs ru``.
    longest : int
        Most words on either side.
    share : int
        About one pair in ``share`` goes to the test part.

    Returns
    -------
    train, test : Pairs
        In an order that is fixed and as good as shuffled.
    """
    here, there = interface_strings(source), interface_strings(target)
    both = {(here[key], there[key]) for key in here if key in there}
    kept = [pair for pair in both if plain_pair(*pair, longest)]
    kept.sort(key=lambda pair: (side(pair[0]), pair))
    test = [pair for pair in kept if int(side(pair[0]), 16) % share == 0]
    seen = {side(pair[0]) for pair in test}, {side(pair[1]) for pair in test}
    train = [
        pair
        for pair in kept
        if side(pair[0]) not in seen[0] and side(pair[1]) not in seen[1]
    ]
    return as_pairs(train), as_pairs(test)


def as_pairs(pairs):
    """Return (source, target) tuples as `Pairs`."""
    return Pairs([one for one, _ in pairs], [other for _, other in pairs])


def flat(tree, start=""):
    """Yield (dotted key, string) for every leaf of nested dictionaries.

    Examples
    --------
    >>> list(flat({"a": {"b": "x"}, "c": "y"}))
    [('a.b', 'x'), ('c', 'y')]
    """
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from flat(value, f"{start}{key}.")
        else:
            yield start + key, value


def plain_pair(one, other, longest):
    """Tell whether a pair is plain text, short, and really translated."""
    return one != other and all(
        1 <= len(text.split()) <= longest
        and not re.search(r"[{}\[\]<>\n`]|https?:", text)
        for text in (one, other)
    )


def side(text):
    """Return a digest of the letters of a text, case aside."""
    letters = re.sub(r"[\W\d_]+", " ", text.lower()).strip()
    return hashlib.sha256(letters.encode()).hexdigest()
