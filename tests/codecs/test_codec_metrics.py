import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.codecs.metrics import log_mel, mel_distance, perplexity, snr_db


def test_snr_is_the_ratio_of_energies_in_decibels() -> None:
    generator = torch.Generator().manual_seed(0)
    signal_BN, noise_BN = torch.randn(2, 2, 1000, generator=generator)
    expected_B = [
        10 * math.log10(float((s.numpy() ** 2).sum() / (n.numpy() ** 2).sum()))
        for s, n in zip(signal_BN, noise_BN, strict=True)
    ]
    np.testing.assert_allclose(snr_db(signal_BN, signal_BN + noise_BN).numpy(), expected_B, rtol=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.floats(-40, 60))
def test_snr_of_scaled_noise(decibel: float) -> None:
    signal_1N = torch.ones(1, 500, dtype=torch.float64)
    noise_1N = torch.ones_like(signal_1N) * 10 ** (-decibel / 20)
    assert float(snr_db(signal_1N, signal_1N + noise_1N)) == pytest.approx(decibel, abs=1e-6)


def test_snr_of_silence_is_zero_decibels() -> None:
    audio_1N = torch.linspace(-1, 1, 100)[None]
    assert float(snr_db(audio_1N, torch.zeros_like(audio_1N))) == pytest.approx(0.0)


@pytest.mark.parametrize("window", [512, 2048])
def test_log_mel_of_a_sine_is_near_the_log_of_its_amplitude(window: int) -> None:
    amplitude, rate = 0.3, 32000
    sine_1N = amplitude * torch.sin(2 * math.pi * 1000 * torch.arange(rate) / rate)[None]
    peak = log_mel(sine_1N, rate, window, window // 4, window // 26)[..., 4:-4].amax(1)
    assert float((peak - math.log(amplitude)).abs().max()) < 0.5


def test_mel_distance_of_a_gain_is_the_log_of_the_gain() -> None:
    noise_1N = torch.randn(1, 32000, generator=torch.Generator().manual_seed(1))
    assert float(mel_distance(noise_1N, noise_1N, 32000)) == 0.0
    assert float(mel_distance(noise_1N, 2 * noise_1N, 32000)) == pytest.approx(math.log(2), rel=1e-3)


def test_mel_distance_ignores_what_is_below_the_floor() -> None:
    silence_1N = torch.zeros(1, 16000)
    assert float(mel_distance(silence_1N, silence_1N + 1e-7, 32000)) == 0.0


def test_perplexity_of_known_histograms() -> None:
    assert perplexity(torch.arange(64).repeat(3), 64) == pytest.approx(64)
    assert perplexity(torch.zeros(10, dtype=torch.long), 64) == pytest.approx(1)
    # p = (3/4, 1/4)
    expected = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert perplexity(torch.tensor([[0, 0], [0, 5]]), 8) == pytest.approx(expected)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 15), min_size=1, max_size=60))
def test_perplexity_lies_between_one_and_the_number_of_distinct_codes(codes: list[int]) -> None:
    value = perplexity(torch.tensor(codes), 16)
    assert 1 - 1e-9 <= value <= len(set(codes)) + 1e-9
