"""Log-mel spectrograms."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import ShortTimeFFT, get_window

from nomul.train.spoken import log_mel_spectrograms, mel_filters


def spectrogram(wave: NDArray[np.int16]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = log_mel_spectrograms([wave])[0, 0]
    return found


def tone(hertz: float, n_samples: int = 6000) -> NDArray[np.int16]:
    wave: NDArray[np.float64] = 10_000 * np.sin(2 * np.pi * hertz / 8000 * np.arange(n_samples))
    return np.rint(wave).astype(np.int16)


def noise(n_samples: int) -> NDArray[np.int16]:
    return np.random.default_rng(n_samples).integers(-9000, 9000, n_samples, np.int16)


@pytest.mark.parametrize("hertz", [300, 1000, 1700, 2900, 3500])
def test_a_tone_is_loudest_in_its_band(hertz: float) -> None:
    mel = 2595 * np.log10(1 + hertz / 700)
    apart = 2595 * np.log10(1 + 4000 / 700) / 33  # 32 bands have 34 corners
    found = spectrogram(tone(hertz))
    assert set(found.argmax(axis=0)) == {round(mel / apart) - 1}


def test_the_bands_are_spread_evenly_in_mel() -> None:
    filters = mel_filters()
    assert filters.shape == (32, 257)
    tops = np.array([700 * (10 ** (mel / 2595) - 1) for mel in np.linspace(0, 2146.0645, 34)])
    lines = np.arange(257) * 15.625
    inside = (lines >= tops[1]) & (lines <= tops[-2])
    # Neighbouring triangles share their corners, so their sides add up to 1.
    assert np.allclose(filters[:, inside].sum(axis=0), 1.0)
    assert np.abs(lines[filters.argmax(axis=1)] - tops[1:-1]).max() <= 15.625 / 2


@pytest.mark.parametrize("n_samples", [1200, 3358, 5216, 9000])
def test_the_frames_are_scipys(n_samples: int) -> None:
    wave = noise(n_samples)
    energy = wave.astype(np.float64) ** 2
    centre = int((energy * np.arange(n_samples)).sum() / energy.sum())
    # 32 frames of 256 samples, 160 apart, span 5,216 samples; the centre is in their middle.
    # SciPy centres frame p at sample 160 p: let frame 1 be our first.
    first = 20_000 + centre - 5216 // 2 + 128
    padded = np.pad(wave.astype(np.float64), 20_000)[first - 160 :]
    transform = ShortTimeFFT(get_window("hann", 256), hop=160, fs=8000, mfft=512)
    power = np.abs(transform.stft(padded, p0=1, p1=33)) ** 2
    level_db = 10 * np.log10(np.maximum(mel_filters() @ power, 1.0))
    expected = np.clip(level_db - level_db.max() + 80, 0, 80) * 255 / 80
    assert np.array_equal(spectrogram(wave), np.rint(expected))


def test_loudness_does_not_matter() -> None:
    wave = noise(3000)
    assert np.array_equal(spectrogram(wave), spectrogram((2 * wave).astype(np.int16)))


def test_silence_around_the_word_does_not_matter() -> None:
    wave = noise(3000)
    padded = np.concatenate([np.zeros(700, np.int16), wave, np.zeros(4000, np.int16)])
    assert np.array_equal(spectrogram(wave), spectrogram(padded))


@pytest.mark.parametrize("n_samples", [1, 5000])
def test_silence_is_level_0(n_samples: int) -> None:
    assert not spectrogram(np.zeros(n_samples, np.int16)).any()


def test_the_loudest_cell_is_255_and_80_db_below_is_0() -> None:
    quiet_then_loud = np.concatenate([tone(1000, 2000) // 5000, tone(1000, 2000)])
    found = spectrogram(quiet_then_loud)
    assert found.max() == 255
    assert found.min() == 0


def test_each_recording_is_scaled_by_itself() -> None:
    waves = [noise(1500), noise(2500) // 100]
    together = log_mel_spectrograms(waves)
    assert together.shape == (2, 1, 32, 32)
    assert together.dtype == np.uint8
    for wave, found in zip(waves, together, strict=True):
        assert np.array_equal(found[0], spectrogram(wave))
