r"""From sound to log-mel features, in four steps that can be checked one by one.

Introduced in chapter 10: frames, a Hann window, the power of a Fourier transform, triangular
filters on the mel scale, the logarithm. T frames, M filters, F = size / 2 + 1 frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Settings:
    """How sound becomes features."""

    rate: int = 22_050  # samples a second
    size: int = 512  # samples in a frame
    hop: int = 256  # samples from one frame to the next
    filters: int = 40  # triangles on the mel scale
    low: float = 80.0  # Hz, where the first triangle starts
    high: float = 8000.0  # Hz, where the last one ends
    floor: float = 1e-5  # power added before the logarithm

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= self.rate / 2:
            raise ValueError(
                f"low, high: expected 0 <= low < high <= {self.rate / 2:g} Hz, half the rate, "
                f"got {self.low:g} and {self.high:g}."
            )


def hann(size: int) -> np.ndarray:
    r"""Window :math:`w_n = \sin^2(\pi n / N)`, periodic: shifted by N/2 and added it is 1.

    >>> hann(4).round(2).tolist()
    [0.0, 0.5, 1.0, 0.5]
    """
    return np.sin(np.pi * np.arange(size) / size) ** 2


def frames(wave: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Overlapping pieces (T, size); what does not fill the last piece is left out.

    >>> frames(np.arange(7), 4, 2).tolist()
    [[0, 1, 2, 3], [2, 3, 4, 5]]
    """
    wave = np.asarray(wave)
    if wave.ndim != 1 or len(wave) < size:
        raise ValueError(
            f"wave: expected one channel of at least {size} samples, got shape {wave.shape}."
        )
    return np.lib.stride_tricks.sliding_window_view(wave, size)[::hop]


def power(wave: np.ndarray, size: int, hop: int) -> np.ndarray:
    r"""Power :math:`|\sum_n w_n x_{tH+n} e^{-2\pi i k n / N}|^2` of each frame, (T, F)."""
    return np.abs(np.fft.rfft(frames(wave, size, hop) * hann(size))) ** 2


def mel(hertz):
    r"""Pitch on the mel scale, :math:`2595 \log_{10}(1 + f / 700)` (the formula of HTK).

    >>> round(float(mel(700)), 2)  # 2595 log10 2
    781.17
    """
    return 2595 * np.log10(1 + np.asarray(hertz, dtype=float) / 700)


def hertz(mel):
    """Frequency of a pitch in mel: the inverse of `mel`."""
    return 700 * (10 ** (np.asarray(mel, dtype=float) / 2595) - 1)


def centres(s: Settings) -> np.ndarray:
    """Corners of the triangles in Hz, (M + 2): equal steps in mel; the inner ones are peaks."""
    return hertz(np.linspace(mel(s.low), mel(s.high), s.filters + 2))


def mel_filters(s: Settings = Settings()) -> np.ndarray:
    """Triangles of height 1 over the frequencies of the transform, (M, F).

    Each rises from its left neighbour's peak to its own and falls to its right neighbour's,
    linearly in Hz. So between the first and the last peak they add up to 1.
    """
    f = np.arange(s.size // 2 + 1) * s.rate / s.size  # (F,)
    left, peak, right = (centres(s)[k : k + s.filters, None] for k in range(3))
    bank = np.minimum((f - left) / (peak - left), (right - f) / (right - peak)).clip(min=0)
    if not bank.any(1).all():
        raise ValueError(
            f"filters: {int((~bank.any(1)).sum())} of {s.filters} contain no frequency of a "
            f"transform of {s.size} samples. Take fewer filters or longer frames."
        )
    return bank


def log_mel(wave: np.ndarray, s: Settings = Settings()) -> np.ndarray:
    """Features (T, M) float32 of a sound (n,): log of the filtered power, in nats.

    >>> log_mel(np.zeros(1024)).shape
    (3, 40)
    """
    filtered = power(wave, s.size, s.hop) @ mel_filters(s).T  # (T, M)
    return np.log(filtered + s.floor).astype(np.float32)
