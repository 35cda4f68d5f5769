"""Registry entries of tunes, plain files, and data inside packages.

Introduced with chapter 2. Adds to `sources`: origin, licence, digests.
"""

from .sources import Entry, Installed, Member, Pack, Url, Wheel

TUNES = Entry(
    name="tunes",
    title="Folk tunes in ABC notation: Essen, Aird, O'Neill, Ryan",
    licence="free for research and teaching; see the files of music21",
    origin="Essen Folksong Collection and others, from music21",
    source=Wheel(
        "music21",
        "10.5.1",
        "music21-10.5.1-py3-none-any.whl",
        20_118_992,
        "dc3309498c4c95cebdf8d4f20c868deb6b63bce1d929cad4f51a7ccc982987b1",
    ),
    members=(
        Pack(
            "tunes.json",
            (
                "music21/corpus/essenFolksong/*.abc",
                "music21/corpus/airdsAirs/*.abc",
                "music21/corpus/oneills1850/*.abc",
                "music21/corpus/ryansMammoth/*.abc",
            ),
            4_549_400,
            "4b3b427ef1a96613493aeb5397b5af42d52f428dda218265ef74923e88d0a782",
        ),
    ),
    chapters=(10,),
)

FLEURS = Entry(
    name="fleurs",
    title="Les Fleurs du Mal, Baudelaire",
    licence="public domain (Project Gutenberg 6099)",
    origin="the file of the course's first practical sessions",
    source=Url(
        "http://cedric.cnam.fr/~thomen/cours/US330X/fleurs_mal.txt",
        "fleurs_mal.txt",
        183_593,
        text=True,
    ),
    members=(
        Member(
            "fleurs_mal.txt",
            178_236,
            "dbaaa3ef8e9ea2f637912b5562e8a041cf91f09b87846a7ab4d602427c1bc53b",
        ),
    ),
    chapters=(10,),
)

TINY_SHAKESPEARE = Entry(
    name="tinyshakespeare",
    title="Tiny Shakespeare: 40,000 lines of plays",
    licence="public domain",
    origin="Karpathy (2015), char-rnn",
    source=Url(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/"
        "tinyshakespeare/input.txt",
        "tinyshakespeare.txt",
        1_115_394,
    ),
    members=(
        Member(
            "tinyshakespeare.txt",
            1_115_394,
            "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        ),
    ),
)

GENSIM = Installed("gensim", "pip install gensim")

WIKIPEDIA = Entry(
    name="wikipedia",
    title="A sample of the English Wikipedia: 106 articles",
    licence="CC BY-SA 3.0 and GFDL",
    origin="Wikipedia, from gensim",
    source=GENSIM,
    members=(
        Member(
            "test/test_data/enwiki-latest-pages-articles1.xml"
            "-p000000010p000030302-shortened.bz2",
            1_695_871,
            "a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
        ),
    ),
    chapters=(2, 3, 4),
)

LEE = Entry(
    name="leenews",
    title="300 short news items of the Australian Broadcasting Corporation",
    licence="free for research",
    origin="Lee, Pincombe and Welsh (2005), from gensim",
    source=GENSIM,
    members=(
        Member(
            "test/test_data/lee_background.cor",
            360_082,
            "5d78d6dafd953bbf65797bef09a9ffb9ec430583381be705f8fd460000f370fb",
        ),
    ),
)

ANALOGIES = Entry(
    name="analogies",
    title="19,544 analogy questions in 14 sections",
    licence="Apache-2.0",
    origin="Mikolov and others (2013), from gensim",
    source=GENSIM,
    members=(
        Member(
            "test/test_data/questions-words.txt",
            603_955,
            "8c29b3332afc46f3fb8be04cb5297bf96f39aa7131272dff57869b4485b22a36",
        ),
    ),
    chapters=(3, 4),
)

WORDSIM = Entry(
    name="wordsim353",
    title="WordSim-353: 353 word pairs, rated from 0 to 10",
    licence="CC BY 4.0",
    origin="Finkelstein and others (2002), from gensim",
    source=GENSIM,
    members=(
        Member(
            "test/test_data/wordsim353.tsv",
            7_186,
            "f92a022fc2537793a15bc3a8c162ebcd74990e033a228bb6388cb71e4c0b1e1d",
        ),
    ),
    chapters=(2, 3, 4),
)

SIMLEX = Entry(
    name="simlex999",
    title="SimLex-999: 999 word pairs, rated for similarity from 0 to 10",
    licence="free for research",
    origin="Hill, Reichart and Korhonen (2015), from gensim",
    source=GENSIM,
    members=(
        Member(
            "test/test_data/simlex999.txt",
            18_126,
            "d5e0501971478a511430ee880bd0121e94ac701ba86d90544d83e6d2ba3db05d",
        ),
    ),
    chapters=(2, 3, 4),
)

STDLIB = Entry(
    name="stdlib",
    title="The source code of Python's own standard library",
    licence="PSF-2.0",
    origin="this Python; the text differs from version to version",
    source=Installed("the standard library", "a complete Python"),
    members=(),
    chapters=(10,),
)

FOUND = (
    TUNES,
    FLEURS,
    TINY_SHAKESPEARE,
    WIKIPEDIA,
    LEE,
    ANALOGIES,
    WORDSIM,
    SIMLEX,
    STDLIB,
)
