"""Melody as MusicGen is told it: the strongest pitch class at each moment (arXiv 2306.05284, section 2.3).

Shape suffixes: N samples, M moments, F frequencies, C pitch classes.
"""

from functools import cache

import numpy as np
import torch
import torchaudio
from torch import Tensor

RATE = 32_000
"""Hz at which a recording is analysed."""

WINDOW, HOP = 2**14, 2**12
"""Samples of a window and between two windows at ``RATE``, as in the paper (section 4, melody conditioning)."""

MOMENTS_PER_SECOND = RATE / HOP

CLASSES = 12
"""Pitch classes from C; what is loudest of them is kept, the bottleneck that keeps other sound out."""

SILENCE = 255
"""Stands where nothing sounds; the paper has a pitch class there too, which says something that is not so."""

_AT_ONCE = 512  # windows of 32 kB each; bounds memory

_SILENT_DB = -80.0  # of a window's energy, to a sine of full scale


MUSICGEN_SECONDS, MUSICGEN_MOMENTS = 30, 235
"""What the released MusicGen-melody hears of a recording, and the moments that it is always told."""

FINER = 4
"""Moments that are kept for each moment that a model is told, so that clips may begin nearly anywhere."""


def melody(audio_N: Tensor, rate: int, hop: int = HOP) -> np.ndarray:
    """The strongest pitch class at each moment, uint8 [M], or ``SILENCE``.

    Moment m is the window whose middle is sample m * ``hop`` at ``RATE``; M = ceil(samples / ``hop``).

    Args:
        audio_N: mono, full scale at 1. rate: Hz. hop: samples at ``RATE`` from one moment to the next.
    """
    if rate != RATE:
        audio_N = torchaudio.functional.resample(audio_N, rate, RATE)
    moments = -(-len(audio_N) // hop)
    padded_N = torch.nn.functional.pad(audio_N, (WINDOW // 2, WINDOW))
    # A sine of full scale has a quarter of the squared window's sum at its frequency.
    full = torch.hann_window(WINDOW).sum().square() / 4
    classes = []
    for windows_MN in padded_N.unfold(0, WINDOW, hop)[:moments].split(_AT_ONCE):
        power_MF = torch.fft.rfft(windows_MN * torch.hann_window(WINDOW)).abs().square()
        silent_M = power_MF.amax(1) < full * 10 ** (_SILENT_DB / 10)
        classes.append((power_MF @ _filters()).argmax(1).masked_fill(silent_M, SILENCE))
    return torch.cat(classes).numpy().astype(np.uint8)


def musicgen_melody(audio_N: Tensor, rate: int, moments: int) -> np.ndarray:
    """The strongest pitch class at each moment as the released MusicGen-melody is told it, uint8 [``moments``].

    By transformers' own feature extractor. It has the filters and windows of ``melody``, but silence is a C there, the
    recording is mirrored at both ends, and there is a moment more where its end is one. What is behind the first 30 s
    changes no moment in them; behind its end a recording begins again.

    Args:
        audio_N: mono, full scale at 1. rate: Hz.
    """
    from transformers import MusicgenMelodyFeatureExtractor  # takes a second, and few need it

    audio_N = audio_N[: round((max(MUSICGEN_SECONDS, moments / MOMENTS_PER_SECOND) + 1) * rate)]
    extractor = MusicgenMelodyFeatureExtractor(sampling_rate=RATE, n_fft=WINDOW, hop_length=HOP, num_chroma=CLASSES)

    def classes(seconds: float) -> np.ndarray:
        options = {"sampling_rate": rate, "max_length": round(seconds * RATE), "return_tensors": "pt"}
        # Its annotation leaves out tensors, which its documentation allows and its resampling needs.
        features = extractor(audio_N[None], **options)  # type: ignore[arg-type]
        found: np.ndarray = features["input_features"][0].argmax(-1).numpy().astype(np.uint8)
        return found

    found_M, seconds = classes(MUSICGEN_SECONDS), len(audio_N) / rate
    if seconds > MUSICGEN_SECONDS and moments > len(found_M):
        found_M = np.concatenate([found_M, classes(seconds)[len(found_M) :]])
    return np.resize(found_M, moments)


def melody_states(classes_M: np.ndarray) -> tuple[Tensor, Tensor]:
    """One-hot states fp32 [M, C] of pitch classes, and where there are any, bool [M]."""
    sounds_M = torch.from_numpy(classes_M != SILENCE)
    classes = torch.from_numpy(classes_M.astype(np.int64)).where(sounds_M, 0)
    return torch.nn.functional.one_hot(classes, CLASSES).float(), sounds_M


def melody_similarity(made_M: np.ndarray, wanted_M: np.ndarray) -> float:
    """Mean over moments of the cosine of two one-hot chroma vectors (section 4, SIM): 1 where they agree, else 0.

    Moments at which the wanted melody is silent are not counted; without any other it is not a number.
    """
    moments = min(len(made_M), len(wanted_M))
    sounds_M = wanted_M[:moments] != SILENCE
    return float((made_M[:moments] == wanted_M[:moments])[sounds_M].mean()) if sounds_M.any() else float("nan")


@cache
def _filters() -> Tensor:
    """How much a frequency belongs to a pitch class, fp32 [frequencies, C]; concert pitch is taken for granted."""
    import librosa  # takes a second, and few need it

    return torch.from_numpy(librosa.filters.chroma(sr=RATE, n_fft=WINDOW, tuning=0.0, n_chroma=CLASSES).T.copy())
