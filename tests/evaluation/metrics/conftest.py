"""Seven clips, and for each torchmetrics twin: how it is fed with some of them, and its functional form on all."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from musicbench.evaluation.metrics.clap_score import clap_score
from musicbench.evaluation.metrics.distances import FrechetAudioDistance, FrechetCodecDistance, KernelAudioDistance
from musicbench.evaluation.metrics.frechet import frechet_audio_distance, frechet_codec_distance
from musicbench.evaluation.metrics.kad import kernel_audio_distance
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence, kl_divergences
from musicbench.evaluation.metrics.per_clip import PerClipMetric
from musicbench.evaluation.metrics.scores import ClapScore, KLDivergence

CLIPS = 7
_random = torch.Generator().manual_seed(0)
ORIGINAL = torch.randn(CLIPS, 5, 4, generator=_random)
GENERATED = 1.3 * torch.randn(CLIPS, 5, 4, generator=_random) + 0.5


def _rows(clips: Tensor) -> np.ndarray:
    return clips.flatten(0, 1).double().numpy()


def _probs(clips: Tensor, kind: str = "softmax") -> Tensor:
    return torch.from_numpy(class_probabilities(clips.numpy(), kind))


def _feed_distance(metric: PerClipMetric, ids: Tensor) -> None:
    metric.update(ORIGINAL[ids], ids, reference=True)
    metric.update(GENERATED[ids], ids)


def _feed_kld(metric: PerClipMetric, ids: Tensor) -> None:
    kind = metric.kind
    metric.update(_probs(ORIGINAL, kind)[ids], _probs(GENERATED, kind)[ids], ids)


def _feed_clap(metric: PerClipMetric, ids: Tensor) -> None:
    metric.update(ORIGINAL[ids, 0], GENERATED[ids, 0], ids)


@dataclass(frozen=True)
class Case:
    make: Callable[[], PerClipMetric]
    feed: Callable[[PerClipMetric, Tensor], None]
    functional: Callable[[], float]


CASES = {
    "fad": Case(
        lambda: FrechetAudioDistance(4),
        _feed_distance,
        lambda: frechet_audio_distance(_rows(GENERATED), _rows(ORIGINAL)),
    ),
    "kad": Case(
        lambda: KernelAudioDistance(4),
        _feed_distance,
        lambda: kernel_audio_distance(_rows(GENERATED), _rows(ORIGINAL)),
    ),
    "kad with options": Case(
        lambda: KernelAudioDistance(4, bandwidth=0.7, scale=2.0),
        _feed_distance,
        lambda: kernel_audio_distance(_rows(GENERATED), _rows(ORIGINAL), 0.7, 2.0),
    ),
    "codec": Case(
        lambda: FrechetCodecDistance(4),
        _feed_distance,
        lambda: frechet_codec_distance(GENERATED.numpy(), ORIGINAL.numpy()),
    ),
    "kld": Case(
        KLDivergence,
        _feed_kld,
        lambda: kl_divergence(_probs(ORIGINAL).numpy(), _probs(GENERATED).numpy()).mean(),
    ),
    "kld with options": Case(
        lambda: KLDivergence(epsilon=1e-3, kind="sigmoid", reverse=True),
        _feed_kld,
        lambda: kl_divergences(
            _probs(ORIGINAL, "sigmoid").numpy(), _probs(GENERATED, "sigmoid").numpy(), 1e-3, "sigmoid"
        )[1].mean(),
    ),
    "clap": Case(ClapScore, _feed_clap, lambda: clap_score(ORIGINAL[:, 0].numpy(), GENERATED[:, 0].numpy()).mean()),
}


@pytest.fixture(params=list(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def functional_values() -> dict[str, float]:
    return {name: float(case.functional()) for name, case in CASES.items()}
