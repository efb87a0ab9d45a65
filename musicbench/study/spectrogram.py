"""Log-frequency spectrograms of the clips that one caption gave, as pictures without margins on one scale."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
from matplotlib import colormaps
from PIL import Image

from musicbench.files import atomic_path

COLUMNS, BANDS = 480, 112
LOWEST, HIGHEST = 50, 14000
COLOURS = "magma"
RANGE = 70
"""Decibels from the loudest point of a prompt's clips down to the bottom of the colours."""
WINDOW_SECONDS = 0.064


def band_levels(audio_N: np.ndarray, rate: int) -> np.ndarray:
    """Levels [BANDS, COLUMNS] in dB re full scale of equally wide bands on a logarithmic frequency axis.

    Columns are centred at equal distances over the whole clip, from its first to its last sample.
    """
    size = 2 ** round(np.log2(WINDOW_SECONDS * rate))
    padded = np.pad(audio_N, size // 2)
    starts_C = np.linspace(0, len(audio_N) - 1, COLUMNS).astype(int)
    window = np.hanning(size)
    frames_CW = np.lib.stride_tricks.sliding_window_view(padded, size)[starts_C] * window
    # A sine of amplitude 1 sums to power 1 over the bins that it leaks into.
    power_CF = np.abs(np.fft.rfft(frames_CW)) ** 2 * (4 / (size * np.square(window).sum()))
    # Differences of the running sum give the power between any two frequencies, also between bins.
    running_CF = np.pad(np.cumsum(power_CF, axis=1), ((0, 0), (1, 0)))
    bin_edges_F = (np.arange(running_CF.shape[1]) - 0.5) * rate / size
    band_edges = np.geomspace(LOWEST, HIGHEST, BANDS + 1)
    sums_CE = np.stack([np.interp(band_edges, bin_edges_F, running_F) for running_F in running_CF])
    levels: np.ndarray = 10 * np.log10(np.diff(sums_CE, axis=1).T + 1e-12)
    return levels


def draw_spectrograms(pictures: Mapping[Path, Path]) -> None:
    """Draw audio files (keys) into PNG files (values), all coloured against their loudest point.

    Raises:
        UserError: a picture cannot be written.
    """
    levels = {}
    for audio, picture in pictures.items():
        audio_NC, rate = soundfile.read(audio, dtype="float32", always_2d=True)
        levels[picture] = band_levels(audio_NC.mean(axis=1), rate)
    ceiling = max((level.max() for level in levels.values()), default=0.0)
    for picture, level in levels.items():
        # One colour a decibel: no fewer are seen, and the files are a third of those in true colour.
        steps = np.round(np.clip(level - ceiling, -RANGE, 0) + RANGE).astype(np.uint8)
        image = Image.fromarray(np.flipud(steps))
        image.putpalette(colormaps[COLOURS](np.linspace(0, 1, RANGE + 1), bytes=True)[:, :3].tobytes())
        with atomic_path(picture) as temporary:
            image.save(temporary, format="PNG", optimize=True)


def height_of(frequency: float) -> float:
    """The height of a frequency in Hz in a picture: 0 at the bottom, 1 at the top."""
    return float(np.log(frequency / LOWEST) / np.log(HIGHEST / LOWEST))
