"""Loudness against the standard's own calibration tone, torchaudio's implementation, and what must not change it."""

import math

import numpy as np
import pytest
import torch
import torchaudio

from musicbench.study.loudness import loudness


def sine(frequency: float, seconds: float, rate: int, amplitude: float = 1.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)[:, None]


@pytest.mark.parametrize("rate", [32000, 44100, 48000])
def test_the_calibration_tone(rate: int) -> None:
    """A full-scale 997 Hz sine on the left channel alone reads -3.01 LKFS (BS.1770-4, annex 1)."""
    left_N1 = sine(997, 3, rate)
    assert loudness(np.hstack([left_N1, 0 * left_N1]), rate) == pytest.approx(-3.01, abs=0.01)
    assert loudness(np.hstack([left_N1, left_N1]), rate) == pytest.approx(0.0, abs=0.01)
    assert loudness(left_N1, rate) == pytest.approx(0.0, abs=0.01), "one channel is played by two speakers"


def music(rate: int, seconds: float = 4.0) -> np.ndarray:
    """Noise of low and high colour with a loud, a quiet and a silent passage."""
    noise_N = np.random.default_rng(3).normal(0, 0.1, int(rate * seconds))
    coloured_N = np.convolve(noise_N, np.ones(8) / 8, mode="same") + 0.1 * noise_N
    envelope_N = np.repeat([1.0, 0.05, 0.5, 0.0], math.ceil(len(noise_N) / 4))[: len(noise_N)]
    return (coloured_N * envelope_N)[:, None]


@pytest.mark.parametrize("rate", [32000, 48000])
def test_torchaudio_agrees(rate: int) -> None:
    audio_N1 = music(rate)
    # Its filters are approximations of the standard's, and one channel counts as one speaker.
    peer = float(torchaudio.functional.loudness(torch.from_numpy(audio_N1.T.copy()), rate))
    assert loudness(audio_N1, rate) == pytest.approx(peer + 10 * math.log10(2), abs=0.1)


def test_gain_adds_its_decibels_and_silence_adds_nothing() -> None:
    audio_N1 = music(32000)
    value = loudness(audio_N1, 32000)
    assert value is not None
    assert loudness(audio_N1 / 10, 32000) == pytest.approx(value - 20, abs=1e-6)
    assert loudness(np.vstack([audio_N1, np.zeros((64000, 1))]), 32000) == pytest.approx(value, abs=0.1)


def test_silent_and_short_clips() -> None:
    assert loudness(np.zeros((32000, 1)), 32000) is None
    assert loudness(sine(997, 3, 48000, amplitude=1e-4), 48000) is None, "below the gate"
    assert loudness(sine(997, 0.1, 48000), 48000) == pytest.approx(0.0, abs=0.2)
