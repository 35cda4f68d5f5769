"""Long texts, vectors, pictures and series are what is said of them.

They are fetched if need be. Where nothing is reachable the test is skipped
and says so; a wrong digest or a wrong count is a failure, never a skip.
"""

import json
import struct
import subprocess
import sys
import textwrap

import pytest
from datafakes import real

from course_utils import data
from course_utils.data import vectors, works
from course_utils.data.errors import DataError


def test_shakespeare():
    real("shakespeare")
    plays = data.shakespeare()
    assert (len(plays.train), len(plays.held_out)) == (32, 6)
    assert set(plays.held_out) == set(works.HELD_OUT_PLAYS)
    assert "To be, or not to be" in plays.train["Hamlet"]
    as_you = plays.held_out["As You Like It"].lower()
    assert "all the world's a stage" in as_you


def test_fleurs():
    real("fleurs")
    text = data.fleurs()
    assert text.startswith("LES FLEURS DU MAL") and "\r" not in text
    assert "Gutenberg" not in text
    assert "Sois sage, ô ma Douleur" in text


def test_tinyshakespeare():
    real("tinyshakespeare")
    text = data.tinyshakespeare()
    assert len(text) == 1_115_394 and text.startswith("First Citizen:")


def test_stdlib_sources():
    found = data.stdlib_sources()
    modules = {**found.train, **found.held_out}
    assert "json/decoder.py" in modules
    assert "class JSONDecoder" in modules["json/decoder.py"]
    assert not set(found.train) & set(found.held_out)
    assert 0.05 < len(found.held_out) / len(modules) < 0.2
    assert not [name for name in modules if "site-packages" in name]


def test_tunes():
    real("tunes")
    found = data.tunes()
    assert len(found) == 12_762
    assert all(tune.text.startswith("X:") for tune in found)
    assert all("\nK:" in tune.text for tune in found)
    assert "Das Hildebrandslied" in {tune.title for tune in found}


def test_glove():
    pytest.importorskip("pyarrow", reason="pyarrow reads the list of words")
    real("glove")
    found = data.glove(20_000)
    assert found.words[:3] == ["the", ",", "."]
    assert found.matrix.shape == (20_000, 50)
    row = {word: i for i, word in enumerate(found.words)}
    unit = found.matrix / (found.matrix**2).sum(1, keepdims=True) ** 0.5
    paris, france, italy = row["paris"], row["france"], row["italy"]
    near = unit @ (unit[paris] - unit[france] + unit[italy])
    near[[paris, france, italy]] = -9
    assert found.words[near.argmax()] == "rome"


def test_glove_without_pyarrow(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DataError, match="pip install pyarrow"):
        vectors.parquet_words("words.parquet")


def test_minilm_files():
    """The header of the safetensors file: its length, then JSON."""
    real("minilm")
    found = data.minilm_files()
    with found["model.safetensors"].open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    shape = header["embeddings.word_embeddings.weight"]["shape"]
    assert shape == [30_522, 384]
    assert json.loads(found["config.json"].read_text())["hidden_size"] == 384


def test_questions_and_ratings():
    real("analogies")
    sections = data.google_analogies()
    assert len(sections["family"]) == 506
    assert ("boy", "girl", "king", "queen") in sections["family"]
    assert ("tiger", "cat", 7.35) in data.wordsim353()
    assert ("old", "new", 1.58) in data.simlex999()
    assert (len(data.wordsim353()), len(data.simlex999())) == (353, 999)


def test_digits():
    real("digits")
    found = data.digits()
    assert found.images.shape == (5000, 28, 28)
    assert (found.images.min(), found.images.max()) == (0, 255)
    # A one has less ink than a zero.
    ink = [found.images[found.labels == k].mean() for k in range(10)]
    assert min(ink) == ink[1] and max(ink) == ink[0]


def test_series():
    real("sunspots")
    real("co2")
    spots, carbon = data.sunspots(), data.co2()
    assert str(spots.times[spots.values.argmax()]) == "1957"
    assert (carbon.values[0], carbon.unit) == (316.1, "ppm")
    assert set((carbon.times[1:] - carbon.times[:-1]).astype(int)) == {7}


def test_wikipedia_sample():
    real("wikipedia")
    pages = data.wikipedia_sample()
    assert len(pages) == 106 and pages[0].title == "Anarchism"
    for mark in ("[[", "{{", "<ref", "'''", "Category:"):
        assert not [page.title for page in pages if mark in page.text], mark
    assert 440_000 < sum(len(page.text.split()) for page in pages) < 480_000


def test_lee_news():
    real("leenews")
    assert len(data.lee_news()) == 300


def test_import_is_light():
    """The package loads no loader, hence no numpy, pooch or requests."""
    code = """
        import sys
        import course_utils.data
        heavy = {"numpy", "pooch", "requests", "pandas", "torch", "sklearn",
                 "gensim", "tqdm", "filelock"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_every_public_name_exists():
    for name in data.__all__:
        assert getattr(data, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'newsgruops'"):
        data.newsgruops
