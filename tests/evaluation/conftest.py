"""Shared by the evaluation tests: signals that resemble music, and a judge that costs nothing."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from musicbench.evaluation.judges import JudgeOutput, MusiCNN


@pytest.fixture(scope="session")
def musicnn() -> MusiCNN:
    return MusiCNN()


def _melody(seed: int, seconds: float, sample_rate: int = 16000) -> Tensor:
    """Decaying harmonic notes with a beat: [N] float32 in [-1, 1]."""
    rng = np.random.default_rng(seed)
    audio = np.zeros(int(seconds * sample_rate))
    step = int(rng.choice([0.125, 0.25, 0.5]) * sample_rate)
    brightness = rng.uniform(0.3, 0.9)
    scale = 110 * 2 ** (rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14], size=8) / 12 + rng.integers(0, 3))
    for start in range(0, len(audio), step):
        time = np.arange(min(2 * step, len(audio) - start)) / sample_rate
        pitch = rng.choice(scale)
        partials = [brightness**k * np.sin(2 * np.pi * pitch * (k + 1) * time) for k in range(6)]
        audio[start : start + len(time)] += 0.15 * np.sum(partials, axis=0) * np.exp(-3 * time)
    return torch.from_numpy(audio.clip(-1, 1).astype(np.float32))


@pytest.fixture(scope="session")
def melody() -> Callable[..., Tensor]:
    """`melody(seed, seconds, sample_rate=16000)` -> audio [N]."""
    return _melody


class StubJudge:
    """Windows of 3 s every second, as MusiCNN has; the outputs are band energies of the window alone."""

    id = "stub"
    sha256 = "5" * 64
    sample_rate = 100
    window_seconds = 3.0
    hop_seconds = 1.0
    labels = tuple("abcd")
    class_kind = "softmax"
    fadtk = None

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        self.calls += 1
        windows_BWN = audio_BN.unfold(1, 3 * sample_rate, sample_rate)
        bands = torch.stack([part.square().mean(-1) for part in windows_BWN.chunk(6, dim=-1)], dim=-1)
        return JudgeOutput(bands, 3 * bands[..., :4])


@pytest.fixture
def stub_judge() -> StubJudge:
    return StubJudge()
