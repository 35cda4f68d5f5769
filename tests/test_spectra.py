"""Chapter 10, log-mel features: by hand, against torch, and what must hold for any sound."""

import doctest

import numpy as np
import pytest
import torch

from course_utils import spectra
from course_utils.spectra import Settings, centres, frames, hann, hertz, log_mel, mel, mel_filters


def sound(n=3000, seed=0):
    return np.random.default_rng(seed).normal(size=n)


def test_doctests():
    assert doctest.testmod(spectra).failed == 0


@pytest.mark.parametrize("size, hop", [(64, 32), (128, 41), (14, 3)])
def test_power_equals_torch_stft(size, hop):
    wave = sound(701)
    theirs = torch.stft(
        torch.from_numpy(wave), size, hop, window=torch.hann_window(size, dtype=torch.float64),
        center=False, return_complex=True,
    ).abs().numpy() ** 2
    ours = spectra.power(wave, size, hop)
    assert ours.shape == theirs.T.shape
    assert np.abs(ours - theirs.T).max() < 1e-10 * theirs.max()


def test_parseval():
    """Energy in time = energy in frequency; inner bins stand for two of the N."""
    size = 32
    wave = sound(size)
    P = spectra.power(wave, size, size)[0]
    both = (P[0] + P[-1] + 2 * P[1:-1].sum()) / size
    assert both == pytest.approx(((hann(size) * wave) ** 2).sum(), rel=1e-12)


def test_shifted_hann_windows_add_up_to_one():
    w = hann(64)
    assert np.allclose(w + np.roll(w, 32), 1, atol=1e-15)


def test_sine_on_a_bin_by_hand():
    """sin(2 pi k n / N) under Hann: N/4 at bin k and N/8 beside it, so powers 64 and 16."""
    N, k = 32, 5
    wave = np.sin(2 * np.pi * k * np.arange(N) / N)
    P = spectra.power(wave, N, N)[0]
    assert P[k] == pytest.approx(64) and P[k - 1] == pytest.approx(16)
    assert P[k + 1] == pytest.approx(16) and np.delete(P, [k - 1, k, k + 1]).max() < 1e-20


@pytest.mark.parametrize("m", [3, 11, 29])
def test_pure_tone_lights_its_filter(m):
    s = Settings()
    tone = np.sin(2 * np.pi * centres(s)[m + 1] * np.arange(4096) / s.rate)
    assert set(log_mel(tone, s).argmax(1)) == {m}


def test_mel_by_hand():
    """700 Hz: 2595 log10 2; 6300 Hz: 2595, since 1 + 9 = 10."""
    assert mel(700) == pytest.approx(2595 * np.log10(2)) and mel(6300) == pytest.approx(2595)
    f = np.array([0.0, 80, 440, 8000])
    assert np.allclose(hertz(mel(f)), f, atol=1e-9)


def test_filters_add_up_to_one_between_the_outer_peaks():
    s = Settings()
    f = np.arange(s.size // 2 + 1) * s.rate / s.size
    total, peaks = mel_filters(s).sum(0), centres(s)[1:-1]
    inner = (f >= peaks[0]) & (f <= peaks[-1])
    assert np.allclose(total[inner], 1, atol=1e-12) and inner.sum() > 100
    assert (total[(f < s.low) | (f > s.high)] == 0).all()


def test_filters_by_hand():
    """Corners 0, 100, 200 Hz for a bank of one, as mel is near linear only: take them as given."""
    s = Settings(rate=800, size=8, hop=8, filters=1, low=0, high=400)  # bins at 0, 100 .. 400
    peak = centres(s)[1]
    f = np.arange(5) * 100.0
    wanted = np.where(f <= peak, f / peak, (400 - f) / (400 - peak))
    assert np.allclose(mel_filters(s)[0], wanted) and 100 < peak < 200


def test_twice_as_loud_adds_log_four():
    wave = sound(2000)
    step = log_mel(2 * wave, Settings(floor=0.0)) - log_mel(wave, Settings(floor=0.0))
    assert np.abs(step - np.log(4)).max() < 1e-5


def test_silence_is_the_floor():
    assert np.allclose(log_mel(np.zeros(600)), np.log(1e-5))


def test_features_do_not_depend_on_what_follows():
    wave = sound(2000)
    longer = np.concatenate([wave, sound(900, 1)])
    T = len(log_mel(wave))
    assert np.array_equal(log_mel(longer)[:T], log_mel(wave)) and T == (2000 - 512) // 256 + 1


@pytest.mark.parametrize("wave", [np.zeros(511), np.zeros((2, 600)), []])
def test_too_short_or_two_channels(wave):
    with pytest.raises(ValueError, match="one channel of at least 512 samples"):
        frames(wave, 512, 256)


def test_errors_of_settings():
    with pytest.raises(ValueError, match="half the rate"):
        Settings(high=12_000)
    with pytest.raises(ValueError, match="Take fewer filters or longer frames"):
        mel_filters(Settings(filters=200))
