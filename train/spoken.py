"""Spoken words as pictures: log-mel spectrograms of one size, from the wave alone.

Each recording is scaled by itself, so nothing of other recordings, least of all of the test part,
enters it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["log_mel_spectrograms", "mel_filters"]

RATE_HZ = 8_000
WINDOW = 256
"""Samples of a frame: 32 ms."""
HOP = 160
"""Samples from a frame to the next: 20 ms, so 32 frames span 0.65 s; half of the words are
shorter than 0.42 s."""
N_FRAMES = 32
N_BANDS = 32
N_FFT = 512
"""Zeros after each frame bring the lines of the spectrum to 15.6 Hz, closer than the mel bands."""
RANGE_DB = 80
"""What is this much below the loudest cell of its recording is level 0; the loudest is 255."""


def log_mel_spectrograms(waves: Sequence[NDArray[Any]]) -> NDArray[np.uint8]:
    """Return one spectrogram for each recording.

    Parameters
    ----------
    waves
        Recordings of any length at 8 kHz.

    Returns
    -------
    NDArray[np.uint8]
        Shape (recordings, 1, 32 mel bands, 32 frames), 255/80 steps to the dB. The frames lie
        around the centre of the recording's energy; before and after it is silence.
    """
    filters = mel_filters()
    window = np.hanning(WINDOW + 1)[:-1]  # periodic: the spectrum's window, not the filter's
    around = HOP * np.arange(N_FRAMES)[:, np.newaxis] + np.arange(WINDOW)
    span = int(around[-1, -1]) + 1
    spectrograms = np.empty((len(waves), 1, N_BANDS, N_FRAMES), np.uint8)
    for number, samples in enumerate(waves):
        wave = samples.astype(np.float64)
        energy = wave**2
        centre = int(energy @ np.arange(len(wave)) / max(energy.sum(), 1.0))
        frames = np.pad(wave, span)[span + centre - span // 2 + around]
        power = np.abs(np.fft.rfft(frames * window, N_FFT)) ** 2
        # The samples are integers: below 1 is silence.
        level_db = 10 * np.log10(np.maximum(filters @ power.T, 1.0))
        loudest = max(level_db.max(), RANGE_DB)  # silence is level 0, not 255
        above = np.maximum(level_db - loudest + RANGE_DB, 0.0)
        spectrograms[number, 0] = np.rint(above * (255 / RANGE_DB))
    return spectrograms


def mel_filters() -> NDArray[np.float64]:
    """Return the weight of each line of the spectrum in each band, shape (32, 257).

    Triangles whose corners are equally far apart in mel, from 0 to 4 kHz, where
    mel = 2595 log10(1 + f / 700 Hz): O'Shaughnessy, "Speech Communication", 1987, page 150.
    """
    mel = np.linspace(0.0, 2595 * np.log10(1 + RATE_HZ / 2 / 700), N_BANDS + 2)
    corners = (700 * (10 ** (mel / 2595) - 1))[:, np.newaxis]
    left, top, right = corners[:-2], corners[1:-1], corners[2:]
    lines = np.fft.rfftfreq(N_FFT, 1 / RATE_HZ)
    rising, falling = (lines - left) / (top - left), (right - lines) / (right - top)
    return np.maximum(0.0, np.minimum(rising, falling))
