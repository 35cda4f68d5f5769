r"""Speech from text, offline, with the time of every word.

Introduced in chapter 10. The voices are those of eSpeak NG, a program that *computes* speech
from rules and resonances; no person was recorded. It comes as a shared library with the
package ``espeakng-loader``, an optional extra of the course (the program is under the GPL-3;
it is called here as it is installed, and no part of it belongs to the course). No sound
device is needed or used.

The library keeps a state from one utterance to the next and seeds itself with the clock. So
`say` runs it in a process of its own, with a fixed seed: the same list gives the same samples,
bit by bit, whatever was said before.

This file imports nothing of the course: the new process runs it as a script.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RATE = 22_050  # samples a second, the library's own
SEED = 1
ACCENTS = {
    "British": "gmw/en", "American": "gmw/en-US", "New York": "gmw/en-US-nyc",
    "Received Pronunciation": "gmw/en-GB-x-rp", "Lancaster": "gmw/en-GB-x-gbclan",
    "West Midlands": "gmw/en-GB-x-gbcwmd", "Scottish": "gmw/en-GB-scotland",
    "Caribbean": "gmw/en-029",
}
HEARD = ("m1", "m2", "m3", "m5", "m6", "f1", "f2", "f4", "Andy", "Annie", "steph", "edward")
UNHEARD = ("m4", "m7", "f3", "f5", "Gene", "linda")
"""Speakers to learn from and speakers of the test; a speaker is a variant of the program."""

MISSING = (
    "speech needs the package espeakng-loader, which is not installed here. Install it with: "
    "pip install espeakng-loader. Without it, cells that need sound cannot run; the outputs "
    "stored in the notebook remain."
)


class SpeechError(RuntimeError):
    """Speech could not be made: what is missing, and what to do."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook: the message alone. It stops there, and stored outputs remain."""
        return [f"Not executed: {self}"]


@dataclass(frozen=True)
class Voice:
    """Who speaks, and how."""

    accent: str  # one of ACCENTS
    speaker: str  # one of HEARD or UNHEARD
    speed: int = 175  # words a minute, 80 to 450
    pitch: int = 50  # 0 to 99, without unit; 50 is the speaker's own

    def __post_init__(self) -> None:
        for name, value, wanted in (
            ("accent", self.accent, tuple(ACCENTS)), ("speaker", self.speaker, HEARD + UNHEARD)
        ):
            if value not in wanted:
                raise ValueError(f"{name}: expected one of {wanted}, got {value!r}.")
        for name, value, low, high in (("speed", self.speed, 80, 450), ("pitch", self.pitch, 0, 99)):
            if not low <= value <= high:
                raise ValueError(f"{name}: expected {low} to {high}, got {value}.")


@dataclass(frozen=True)
class Spoken:
    """One utterance: its text, its sound, and where each word lies in it."""

    text: str
    voice: Voice
    wave: np.ndarray  # (n,) float32, from -1 to 1, RATE samples a second
    words: np.ndarray  # (W, 2) first sample of each word, and of what follows it


def available() -> bool:
    """Tell whether the package with the synthesiser is installed."""
    return importlib.util.find_spec("espeakng_loader") is not None


def say(lines: Sequence[tuple[str, Voice]]) -> list[Spoken]:
    """Speak some texts, each with its voice: small letters, words separated by one space.

    The program slurs: the words' times are where it *starts* each of them. A sound depends a
    little on what was said before it in the same list, as it does with people.

    Raises
    ------
    SpeechError
        If the synthesiser is not installed or does not work here.
    ValueError
        If a text is not of that form, or the program reads it as another number of words.
    """
    for text, _ in lines:
        _expect_words(text)
    if not available():
        raise SpeechError(MISSING)
    told = json.dumps([
        [text, f"{ACCENTS[v.accent]}+{v.speaker}", int(v.speed), int(v.pitch)] for text, v in lines
    ])
    child = subprocess.run(
        [sys.executable, "-P", __file__], input=told.encode(), capture_output=True
    )
    if child.returncode:
        why = child.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise SpeechError(f"the synthesiser failed: {' '.join(why) or child.returncode}")
    head, samples = child.stdout.split(b"\n", 1)
    waves = np.frombuffer(samples, dtype="<i2").astype(np.float32) / 2**15
    spoken, begin = [], 0
    for (text, voice), (n, starts) in zip(lines, json.loads(head), strict=True):
        if len(starts) != len(text.split()):
            raise ValueError(f"text: {text!r} is spoken as {len(starts)} words.")
        ends = np.stack([starts, [*starts[1:], n]], 1)  # (W, 2)
        spoken.append(Spoken(text, voice, waves[begin : begin + n], ends))
        begin += n
    return spoken


def draw(
    n: int,
    rng: np.random.Generator,
    *,
    words: Sequence[str],
    speakers: Sequence[str] = HEARD,
    held_out: bool | None = None,
    lengths: tuple[int, int] = (2, 4),
) -> list[tuple[str, Voice]]:
    """`n` random sentences with random voices, ready for `say`.

    Each word is drawn for itself, so that no word tells anything about the next.

    Parameters
    ----------
    lengths : (int, int)
        Fewest and most words of a sentence.
    held_out : bool, optional
        True: only sentences of the test part (one in five, by its letters); False: only the
        others. No sentence of the test part is heard in training, from whichever speaker.
    """
    lines = []
    while len(lines) < n:
        size = rng.integers(lengths[0], lengths[1] + 1)
        text = " ".join(words[i] for i in rng.integers(len(words), size=size))
        if held_out is not None and in_test(text) != held_out:
            continue
        accent = tuple(ACCENTS)[rng.integers(len(ACCENTS))]
        speaker = speakers[rng.integers(len(speakers))]
        speed, pitch = int(rng.integers(130, 221)), int(rng.integers(30, 71))
        lines.append((text, Voice(accent, speaker, speed, pitch)))
    return lines


def in_test(text: str) -> bool:
    """Tell whether a sentence belongs to the test part, about one in five."""
    return zlib.crc32(text.encode()) % 5 == 0


def clip(spoken: Spoken) -> bytes:
    """The sound as a WAV file of 8 bits a sample and half the rate: small, for one player.

    Neighbouring samples are averaged, which is a crude but sufficient filter for speech.
    """
    import io
    import wave

    wanted = spoken.wave[: len(spoken.wave) // 2 * 2].reshape(-1, 2).mean(1)  # (n / 2,)
    wanted = wanted / max(float(np.abs(wanted).max()), 1e-9)
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(1)
        out.setframerate(RATE // 2)
        out.writeframes((128 + 127 * wanted).round().astype(np.uint8).tobytes())
    return file.getvalue()


def player(spoken: Spoken) -> str:
    """HTML of a player that holds its sound and its caption itself: no request goes out."""
    from base64 import b64encode

    end = len(spoken.wave) / RATE
    track = f"WEBVTT\n\n00:00.000 --> 00:{end:06.3f}\n{spoken.text}\n"
    sound, caption = (b64encode(data).decode() for data in (clip(spoken), track.encode()))
    return (
        f'<audio controls aria-label="Synthetic speech: {spoken.text}" '
        f'src="data:audio/wav;base64,{sound}"><track kind="captions" srclang="en" '
        f'label="English" src="data:text/vtt;base64,{caption}"></audio>'
    )


def _expect_words(text: str) -> None:
    plain = isinstance(text, str) and text == " ".join(text.split()) and text
    if not plain or not all("a" <= c <= "z" or c == " " for c in text):
        raise ValueError(
            f"text: expected words of the letters a to z with single spaces, got {text!r}. "
            "Write numbers and abbreviations as they are spoken."
        )


# From here on: the process that speaks. Constants and layout are those of speak_lib.h.

SYNCHRONOUS, UTF8, CHARACTER = 2, 1, 1
SPEED_PARAMETER, PITCH_PARAMETER = 1, 3
END_OF_LIST, WORD = 0, 1


class Event(ctypes.Structure):
    """What the library reports while it speaks: here, the beginnings of words."""

    _fields_ = [
        ("type", ctypes.c_int), ("identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("milliseconds", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("more", ctypes.c_char_p),
    ]


class Library:
    """The shared library, ready to speak."""

    def __init__(self) -> None:
        import espeakng_loader

        self.espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        path = espeakng_loader.get_data_path().encode()
        rate = self.espeak.espeak_Initialize(SYNCHRONOUS, 0, path, 0)
        if rate != RATE:
            raise OSError(f"expected {RATE} samples a second, got {rate}: no voices found?")
        self.espeak.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
        self.blocks: list[np.ndarray] = []
        self.starts: list[int] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
        )
        self.callback = kind(self._hear)  # kept, or it would be collected while in use
        self.espeak.espeak_SetSynthCallback(self.callback)

    def _hear(self, samples, n: int, events) -> int:
        if samples and n > 0:
            self.blocks.append(np.ctypeslib.as_array(samples, (n,)).copy())
        k = 0
        while events[k].type != END_OF_LIST:
            if events[k].type == WORD:
                self.starts.append(events[k].sample)
            k += 1
        return 0

    def speak(self, text: str, voice: str, speed: int, pitch: int) -> tuple[np.ndarray, list[int]]:
        """Samples (n,) int16, and the sample at which each word starts."""
        self.blocks.clear()
        self.starts.clear()
        if self.espeak.espeak_SetVoiceByName(voice.encode()):
            raise OSError(f"no voice {voice!r}")
        self.espeak.espeak_SetParameter(SPEED_PARAMETER, speed, 0)
        self.espeak.espeak_SetParameter(PITCH_PARAMETER, pitch, 0)
        data = text.encode() + b"\0"
        self.espeak.espeak_Synth(
            data, ctypes.c_size_t(len(data)), 0, CHARACTER, 0, UTF8, None, None
        )
        self.espeak.espeak_Synchronize()
        return np.concatenate(self.blocks), list(self.starts)


def main() -> None:
    """Read lines as JSON, write one line of sizes and word starts, then all samples."""
    library = Library()
    spoken = [library.speak(*line) for line in json.load(sys.stdin)]
    head = json.dumps([[len(wave), starts] for wave, starts in spoken])
    sys.stdout.buffer.write(head.encode() + b"\n")
    for wave, _ in spoken:
        sys.stdout.buffer.write(wave.astype("<i2").tobytes())


if __name__ == "__main__":
    main()
