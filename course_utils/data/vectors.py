"""Word vectors, encoder weights, and the questions that test them.

Introduced with chapters 2 to 5. Adds to `fetching`: arrays read without
pickles, and the classic word-similarity and analogy lists.
"""

from dataclasses import dataclass

import numpy as np

from .errors import DataError, expect
from .fetching import files


@dataclass(frozen=True)
class WordVectors:
    """Row ``i`` of ``matrix`` is the vector of ``words[i]``."""

    words: list  # of str, n_vocab of them, by falling frequency
    matrix: np.ndarray  # (n_vocab, D) float32


def glove(count=400_000):
    """Load GloVe 6B in 50 dimensions.

    Parameters
    ----------
    count : int
        How many of the most frequent words to keep.

    Returns
    -------
    WordVectors
        ``words`` in lower case, by falling frequency; ``matrix`` of shape
        (count, 50), float32.

    Raises
    ------
    DataError
        pyarrow, which reads the list of words, is not installed.

    Notes
    -----
    Source: Pennington, Socher and Manning (2014), trained on 6 billion
    tokens; PDDL 1.0.
    """
    if not 1 <= count <= 400_000:
        raise ValueError(f"Expected count from 1 to 400,000, got {count}.")
    found = files("glove")
    words = parquet_words(found["glove_6B_index.parquet"])
    path = found["glove_6B_50d_emb.npy"]
    matrix = np.load(path, mmap_mode="r", allow_pickle=False)
    expect("shape", (400_000, 50), matrix.shape, "glove")
    expect("words", 400_000, len(words), "glove")
    return WordVectors(words[:count], np.array(matrix[:count]))


def parquet_words(path):
    """Return the only column of a parquet file as a list of strings."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DataError(
            "The list of GloVe's words is a parquet file",
            expected="the package pyarrow, which reads it",
            got=str(error),
            todo="Run `pip install pyarrow`.",
        ) from error
    return pyarrow.parquet.read_table(path).column(0).to_pylist()


def minilm_files():
    """Locate the weights and the vocabulary of all-MiniLM-L6-v2.

    Returns
    -------
    dict of str to pathlib.Path
        ``model.safetensors``, ``vocab.txt`` (30,522 lines),
        ``tokenizer.json`` and ``config.json``, all in one folder.

    Notes
    -----
    Six layers, 12 heads, 384 dimensions; Apache-2.0. There is no
    masked-language-model head among the weights.
    """
    found = files("minilm")
    lines = found["vocab.txt"].read_text("utf-8").split("\n")
    expect("vocabulary", 30_522, len(lines) - (lines[-1] == ""), "minilm")
    return found


def google_analogies():
    """Load the analogy questions of Mikolov and others (2013).

    Returns
    -------
    dict of str to list of tuple
        Section name to questions ``(a, b, c, d)``, as in *Athens is to
        Greece as Baghdad is to Iraq*; 19,544 questions in 14 sections,
        cased as in the file.
    """
    path = files("analogies")["questions-words.txt"]
    sections = {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith(":"):
            questions = sections.setdefault(line[1:].strip(), [])
        else:
            questions.append(tuple(line.split()))
    lengths = {len(q) for questions in sections.values() for q in questions}
    expect("words a question", {4}, lengths, "analogies")
    expect("sections", 14, len(sections), "analogies")
    total = sum(map(len, sections.values()))
    expect("questions", 19_544, total, "analogies")
    return sections


def wordsim353():
    """Load WordSim-353: how related people find two words.

    Returns
    -------
    list of (str, str, float)
        353 rated pairs, from 0 to 10 (Finkelstein and others, 2002).
    """
    return rated_pairs("wordsim353", "wordsim353.tsv", 353)


def simlex999():
    """Load SimLex-999: how similar (not just related) two words are.

    Returns
    -------
    list of (str, str, float)
        999 rated pairs, from 0 to 10 (Hill, Reichart and Korhonen, 2015).
    """
    return rated_pairs("simlex999", "simlex999.txt", 999)


def rated_pairs(name, file, count):
    """Return the rows of a list of rated word pairs."""
    rows = [
        line.split("\t")
        for line in files(name)[file].read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    expect("pairs", count, len(rows), name)
    return [(a, b, float(rating)) for a, b, rating in rows]
