"""Chapter 10, speech: what is said is said again alike; without the package, what to do."""

import io
import shutil
import subprocess
import sys
import threading
import wave
from pathlib import Path

import numpy as np
import pytest

from course_utils import speech
from course_utils.speech import ACCENTS, HEARD, UNHEARD, Voice, draw, say

WORDS = ("zero", "one", "two", "stop", "yellow")
needs_package = pytest.mark.skipif(not speech.available(), reason="espeakng-loader is not installed")


def test_speakers_of_the_test_are_not_heard_in_training():
    assert not set(HEARD) & set(UNHEARD)


def test_no_sentence_is_on_both_sides():
    rng = np.random.default_rng(0)
    train = {text for text, _ in draw(500, rng, words=WORDS, held_out=False)}
    test = {text for text, _ in draw(300, rng, words=WORDS, speakers=UNHEARD, held_out=True)}
    assert train and test and not train & test
    share = np.mean([speech.in_test(text) for text, _ in draw(3000, rng, words=WORDS)])
    assert 0.15 < share < 0.25


def test_draw_keeps_to_words_lengths_and_seed():
    one, other = (draw(60, np.random.default_rng(3), words=WORDS, speakers=UNHEARD, lengths=(2, 3))
                  for _ in range(2))
    assert one == other
    assert {len(text.split()) for text, _ in one} == {2, 3}
    assert {w for text, _ in one for w in text.split()} == set(WORDS)
    assert {voice.speaker for _, voice in one} <= set(UNHEARD)


@pytest.mark.parametrize("change, message", [
    ({"accent": "Martian"}, "accent: expected one of"),
    ({"speaker": "m99"}, "speaker: expected one of"),
    ({"speed": 20}, "speed: expected 80 to 450, got 20"),
    ({"pitch": 100}, "pitch: expected 0 to 99, got 100"),
])
def test_voice_errors(change, message):
    with pytest.raises(ValueError, match=message):
        Voice(**{"accent": "Scottish", "speaker": "m1"} | change)


@pytest.mark.parametrize("text", ["", " one", "one  two", "One", "2", "it's", None])
def test_text_errors_come_before_anything_else(text):
    with pytest.raises(ValueError, match="expected words of the letters a to z"):
        say([(text, Voice("British", "m1"))])


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setattr(speech, "available", lambda: False)
    with pytest.raises(speech.SpeechError, match="pip install espeakng-loader"):
        say([("one", Voice("British", "m1"))])


def test_available_says_no_where_the_package_is_not_found():
    code = ("import sys; sys.modules['espeakng_loader'] = None; import importlib.util as u; "
            "u.find_spec = lambda name: None; from course_utils import speech; "
            "print(speech.available())")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.stdout.strip() == "False", found.stderr


def test_a_failing_synthesiser_is_reported(monkeypatch, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("raise OSError('no voices found')")
    monkeypatch.setattr(speech, "available", lambda: True)
    monkeypatch.setattr(speech, "__file__", str(broken))
    with pytest.raises(speech.SpeechError, match="no voices found"):
        say([("one", Voice("British", "m1"))])


def test_clip_is_a_small_wav():
    n = speech.RATE
    tone = np.sin(2 * np.pi * 440 * np.arange(n) / n).astype(np.float32) * 0.3
    data = speech.clip(speech.Spoken("a", Voice("British", "m1"), tone, np.array([[0, n]])))
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnframes()) == (n // 2, 1, n // 2)
        levels = np.frombuffer(file.readframes(n), dtype=np.uint8).astype(float) - 128
    assert len(data) < 12_000 and levels.max() == 127 and levels.min() == -127
    peak = np.abs(np.fft.rfft(levels)).argmax()  # bins of 1 Hz
    assert peak == 440


@pytest.fixture(scope="module")
def lines():
    return draw(12, np.random.default_rng(1), words=WORDS)


@needs_package
def test_the_same_list_gives_the_same_samples(lines):
    one, other = say(lines), say(lines)
    assert all(np.array_equal(a.wave, b.wave) for a, b in zip(one, other))
    assert [a.text for a in one] == [text for text, _ in lines]


@needs_package
def test_two_threads_do_not_disturb_each_other(lines):
    alone, found = say(lines), {}
    threads = [threading.Thread(target=lambda k=k: found.update({k: say(lines)})) for k in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(a.wave, b.wave) for k in range(2) for a, b in zip(alone, found[k]))


@needs_package
def test_times_of_words_grow_and_cover_the_sound(lines):
    for spoken in say(lines):
        assert spoken.wave.dtype == np.float32 and np.abs(spoken.wave).max() <= 1
        assert len(spoken.words) == len(spoken.text.split())
        assert spoken.words[0, 0] == 0 and spoken.words[-1, 1] == len(spoken.wave)
        assert (spoken.words[1:, 0] == spoken.words[:-1, 1]).all()
        assert (np.diff(spoken.words, axis=1) > 0.05 * speech.RATE).all()


@needs_package
def test_word_times_fall_where_the_sound_changes():
    """'stop' after a vowel begins with the hiss of s: most power above 3.5 kHz."""
    from course_utils import spectra

    high = []
    for spoken in say([("zero stop", Voice(a, "m3")) for a in ACCENTS]):
        P = spectra.power(spoken.wave, 512, 128)  # (T, F)
        share = P[:, 81:].sum(1) / (P.sum(1) + 1e-9)  # bins above 3.5 kHz
        start = spoken.words[1, 0] // 128
        high.append(share[start + 1 : start + 6].mean() - share[start - 12 : start - 6].mean())
    assert min(high) > 0.3


@needs_package
def test_faster_is_shorter_and_speakers_differ():
    voices = [Voice("British", speaker) for speaker in HEARD + UNHEARD]
    spoken = say([("yellow stop", voice) for voice in voices])
    assert len({s.wave.tobytes() for s in spoken}) == len(voices)
    slow, fast = say([("yellow stop", Voice("British", "m1", speed)) for speed in (130, 220)])
    assert len(slow.wave) > 1.3 * len(fast.wave)


@needs_package
def test_speech_that_reads_another_number_of_words_is_refused():
    """The program joins 'of the' into one unit, so the times of the words are unknown."""
    with pytest.raises(ValueError, match="is spoken as"):
        say([("one of the two", Voice("American", "m1"))])


def test_player_asks_for_nothing_from_outside():
    n = speech.RATE // 4
    said = speech.Spoken("stop go", Voice("British", "m1"), np.zeros(n, np.float32), np.zeros((2, 2)))
    html = speech.player(said)
    assert "http" not in html and html.count("data:") == 2
    assert 'aria-label="Synthetic speech: stop go"' in html and 'kind="captions"' in html


def test_in_a_notebook_the_error_is_one_plain_line(monkeypatch):
    """IPython prints what `_render_traceback_` gives: what is missing, and what remains."""
    monkeypatch.setattr(speech, "available", lambda: False)
    with pytest.raises(speech.SpeechError) as caught:
        say([("one", Voice("British", "m1"))])
    lines = caught.value._render_traceback_()
    assert len(lines) == 1 and "pip install espeakng-loader" in lines[0]
    assert "outputs stored in the notebook remain" in lines[0]


def test_the_page_without_the_package_says_so_and_its_outputs_remain(tmp_path, monkeypatch):
    """The real page by the real command, in a copy whose kernel cannot find the package.

    A name that is None in `sys.modules` is, to Python, a module that is not there.
    """
    from course_utils.authoring import sync
    from course_utils.authoring.project import CourseError

    root, copy = Path(__file__).parent.parent, tmp_path / "course"
    shutil.copytree(root / "book", copy / "book")
    (copy / "notebooks").mkdir()
    for page in (root / "notebooks").glob("*.md"):
        shutil.copy(page, copy / "notebooks")
    for name in ("pyproject.toml", "_config.yml", "_toc.yml"):
        shutil.copy(root / name, copy)
    page = copy / "notebooks" / "10i_speech.md"
    stored = shutil.copy(root / "notebooks" / "10i_speech.ipynb", copy / "notebooks")
    before = Path(stored).read_bytes()
    (tmp_path / "sitecustomize.py").write_text(
        'import sys\nsys.modules["espeakng_loader"] = None\n'
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(CourseError) as caught:
        sync.sync(copy, [page], execute="force", say=lambda line: None)
    told = str(caught.value)
    *_, line, last = told.splitlines()
    assert line == f"Not executed: {speech.MISSING}" and told.count(line) == 1
    assert last == "10i_speech.ipynb is left as it was."
    assert "Traceback" not in told and "File " not in told  # the cell, and no stack
    assert Path(stored).read_bytes() == before
