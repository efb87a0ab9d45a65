"""Spectrograms: levels and frequencies of known signals, and one scale for all clips of a prompt."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from musicbench.study.spectrogram import BANDS, COLUMNS, RANGE, band_levels, draw_spectrograms, height_of

RATE = 32000


def tone(frequency: float, seconds: float = 2.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


@pytest.mark.parametrize("frequency", [110.0, 1000.0, 9000.0])
def test_a_full_scale_sine_is_0_dB_at_its_frequency(frequency: float) -> None:
    levels_FC = band_levels(tone(frequency), RATE)
    assert levels_FC.shape == (BANDS, COLUMNS)
    column = levels_FC[:, COLUMNS // 2]
    assert 10 * np.log10((10 ** (column / 10)).sum()) == pytest.approx(0, abs=0.1)
    assert abs(column.argmax() + 0.5 - height_of(frequency) * BANDS) < 2


def test_white_noise_rises_by_3_dB_an_octave() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE)
    power_F = (10 ** (band_levels(noise, RATE) / 10)).mean(axis=1)
    centres = 50 * 280 ** ((np.arange(BANDS) + 0.5) / BANDS)
    slope = np.polyfit(np.log2(centres), 10 * np.log10(power_F), 1)[0]
    assert slope == pytest.approx(10 * np.log10(2), abs=0.1)


@pytest.mark.parametrize("seconds", [0.01, 1.0, 7.3])
def test_columns_cover_the_whole_clip_evenly(seconds: float) -> None:
    audio = tone(440, seconds)
    audio[: len(audio) // 4] = 0
    levels_C = band_levels(audio, RATE).max(axis=0)
    if seconds > 0.5:  # a window is longer than the shortest clip
        loud = np.flatnonzero(levels_C > -10)
        assert (loud[0], loud[-1]) == (pytest.approx(COLUMNS / 4, abs=12), COLUMNS - 1)
    assert np.isfinite(levels_C).all()


def test_one_scale_for_all_clips_of_a_prompt(tmp_path: Path) -> None:
    pictures = {}
    for name, factor in (("loud", 0.5), ("quiet", 0.05), ("silent", 0.0)):
        soundfile.write(tmp_path / f"{name}.flac", factor * tone(1000), RATE)
        pictures[tmp_path / f"{name}.flac"] = tmp_path / "pictures" / f"{name}.png"
    draw_spectrograms(pictures)
    peaks = {}
    for path in pictures.values():
        image = Image.open(path)
        assert image.size == (COLUMNS, BANDS)
        steps = np.asarray(image)
        peaks[path.stem] = steps.max()
        if path.stem == "loud":
            row = np.bincount(steps.argmax(axis=0)).argmax()
            assert row == pytest.approx(BANDS * (1 - height_of(1000)), abs=2), "high frequencies are at the top"
    assert peaks == {"loud": RANGE, "quiet": RANGE - 20, "silent": 0}
