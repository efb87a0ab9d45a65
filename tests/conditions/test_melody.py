"""Melodies against tunes of known pitches, a library's chromagram, and properties."""

import librosa
import numpy as np
import pytest
import torch
import torchaudio
from hypothesis import given
from hypothesis import strategies as st

from musicbench.conditions.melody import (
    CLASSES,
    HOP,
    MOMENTS_PER_SECOND,
    MUSICGEN_MOMENTS,
    RATE,
    SILENCE,
    WINDOW,
    melody,
    melody_similarity,
    melody_states,
    musicgen_melody,
)

NOTE = 0.512  # seconds: four moments


def tune(midi: list[int | None], rate: int = RATE, harmonics: int = 4, loudness: float = 0.3) -> torch.Tensor:
    """Notes with harmonics one after the other; None is silence."""
    time = torch.arange(round(NOTE * rate)) / rate
    parts = []
    for note in midi:
        frequency = 440.0 * 2 ** (((note or 69) - 69) / 12)
        tones = [torch.sin(2 * torch.pi * frequency * h * time) / h**2 for h in range(1, harmonics + 1)]
        parts.append(sum(tones) * (loudness if note is not None else 0.0))
    return torch.cat(parts)


@pytest.mark.parametrize("rate", [32_000, 44_100, 24_000])
def test_a_tune_of_known_pitches_gives_its_chroma(rate):
    midi = [60, 64, 67, 72, 59, 61, 70, 45]
    found = melody(tune(midi, rate), rate)
    assert len(found) == 4 * len(midi)
    for i, note in enumerate(midi):  # in the middle of a note a window hears nothing else
        assert found[4 * i + 2] == note % 12, i


@given(st.lists(st.integers(40, 84), min_size=1, max_size=3), st.integers(0, 40_000))
def test_one_moment_for_each_hop(midi, more):
    audio = torch.cat([tune(midi), torch.zeros(more)])
    assert len(melody(audio, RATE)) == -(-len(audio) // HOP)


def test_silence_is_no_pitch_and_quiet_music_is():
    found = melody(tune([60, None, None, 67]), RATE)
    assert found[6] == found[9] == SILENCE
    assert found[2] == 0 and found[14] == 7
    assert (melody(torch.zeros(RATE), RATE) == SILENCE).all()
    assert melody(tune([62], loudness=1e-3), RATE)[2] == 2


def test_against_a_librarys_chromagram():
    """torchaudio's spectrogram and librosa's filters, as MusicGen's own code computes it."""
    torch.manual_seed(0)
    audio = tune([57, 65, 72, 50, 55]) + 0.05 * torch.randn(5 * round(NOTE * RATE))
    power_FM = torchaudio.transforms.Spectrogram(WINDOW, WINDOW, HOP, power=2, center=True, pad_mode="constant")(audio)
    filters = librosa.filters.chroma(sr=RATE, n_fft=WINDOW, tuning=0.0, n_chroma=CLASSES)
    wanted = (torch.from_numpy(filters) @ power_FM).argmax(0).numpy()
    found = melody(audio, RATE)
    np.testing.assert_array_equal(found, wanted[: len(found)])


def test_a_recording_is_wholly_similar_to_itself_and_little_to_another():
    ours, other = melody(tune([60, 64, 67, 72]), RATE), melody(tune([61, 66, 70, 73]), RATE)
    assert melody_similarity(ours, ours) == 1.0
    assert melody_similarity(other, ours) == 0.0
    half = melody(tune([60, 64, 70, 73]), RATE)
    assert 0.3 < melody_similarity(half, ours) < 0.7


@given(st.lists(st.integers(0, 11) | st.just(SILENCE), min_size=1, max_size=40), st.integers(0, 11))
def test_similarity_is_the_cosine_of_one_hot_vectors(wanted, made):
    wanted_M, made_M = np.array(wanted, np.uint8), np.full(len(wanted), made, np.uint8)
    (a, seen), (b, _) = melody_states(wanted_M), melody_states(made_M)
    assert seen.tolist() == [one != SILENCE for one in wanted]
    if not seen.any():
        assert np.isnan(melody_similarity(made_M, wanted_M))
        return
    cosine_M = torch.nn.functional.cosine_similarity(a[seen], b[seen], dim=1)
    assert melody_similarity(made_M, wanted_M) == pytest.approx(float(cosine_M.mean()))


def test_moments_of_a_second():
    assert MOMENTS_PER_SECOND == 7.8125


def extracted(audio: torch.Tensor, rate: int) -> np.ndarray:
    """What transformers' processor of MusicGen-melody gives the model."""
    from transformers import MusicgenMelodyFeatureExtractor

    features = MusicgenMelodyFeatureExtractor()(audio[None], sampling_rate=rate, return_tensors="pt")
    one_hot_MC = features["input_features"][0]
    assert torch.equal(one_hot_MC.sum(1), torch.ones(len(one_hot_MC))) and one_hot_MC.shape[1] == CLASSES
    return one_hot_MC.argmax(1).numpy()


@pytest.mark.parametrize("rate", [32_000, 44_100])
@pytest.mark.parametrize("notes", [1, 9, 58, 70], ids=lambda notes: f"{notes * NOTE:g}s")
def test_the_released_melody_is_transformers(notes, rate):
    torch.manual_seed(notes)
    audio = tune([int(note) for note in torch.randint(45, 80, (notes,))], rate)
    audio = audio + 0.02 * torch.randn(len(audio))
    wanted = extracted(audio, rate)
    assert len(wanted) == min(MUSICGEN_MOMENTS, 1 + round(len(audio) / rate * RATE) // HOP)
    found = musicgen_melody(audio, rate, MUSICGEN_MOMENTS)
    assert found.dtype == np.uint8
    # Shorter ones are repeated, as the model repeats their projections.
    np.testing.assert_array_equal(found, [wanted[m % len(wanted)] for m in range(MUSICGEN_MOMENTS)])
    if notes > 9:  # Where nothing is silent and no edge near, it is ours.
        ours = melody(audio, rate)
        np.testing.assert_array_equal(found[4 : len(wanted) - 4], ours[4 : len(wanted) - 4])


def test_a_longer_released_melody_begins_as_the_shorter():
    audio = tune([45 + i % 31 for i in range(80)])  # 41 s
    first, longer = (musicgen_melody(audio, RATE, moments) for moments in (MUSICGEN_MOMENTS, 300))
    np.testing.assert_array_equal(longer[:MUSICGEN_MOMENTS], first)
    np.testing.assert_array_equal(longer[MUSICGEN_MOMENTS:], melody(audio, RATE)[MUSICGEN_MOMENTS:300])
    again = musicgen_melody(audio, RATE, 400)
    length = 1 + len(audio) // HOP
    np.testing.assert_array_equal(again[length:], first[: 400 - length])


def test_silence_of_a_released_melody_is_a_c():
    assert (musicgen_melody(torch.zeros(RATE), RATE, MUSICGEN_MOMENTS) == 0).all()
