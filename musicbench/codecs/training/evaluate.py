"""Reconstruction quality of a codec on clips: the same figures for every codec, neural or not.

Shape suffixes: C channels (1), K levels, T frames, N samples.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from musicbench.codecs.base import Codec
from musicbench.codecs.metrics import mel_distance, perplexity, snr_db
from musicbench.codecs.training.audio import to_float

Divergence = Callable[[torch.Tensor, torch.Tensor, int], float]
"""How differently a judge hears an original and its reconstruction, both [1, N] at a sample rate in Hz."""


def middle(clip: np.ndarray, samples: int) -> np.ndarray:
    """Cut at most so many samples from the middle of a clip."""
    start = max(0, (len(clip) - samples) // 2)
    return clip[start : start + samples]


def reconstruction_figures(
    codec: Codec, clips: Sequence[np.ndarray], seconds: float, divergence: Divergence | None = None
) -> dict[str, Any]:
    """Mean SNR (dB), mel distance and judge's divergence with 1 .. K levels, and the perplexity of each level.

    Args:
        clips: int16 arrays at the codec's sample rate; the middle ``seconds`` of each are used.
        divergence: without it, there is no "kld" in the result.
    """
    samples = round(seconds * codec.sample_rate)
    measures: dict[str, Divergence] = {
        "snr_db": lambda original_1N, made_1N, rate: float(snr_db(original_1N, made_1N)),
        "mel_distance": lambda original_1N, made_1N, rate: float(mel_distance(original_1N, made_1N, rate)),
    }
    if divergence is not None:
        measures["kld"] = divergence
    values: dict[str, list[list[float]]] = {name: [[] for _ in range(codec.levels)] for name in measures}
    all_codes = []
    for clip in clips:
        audio_CN = to_float(middle(clip, samples))[None]
        codes_1KT = codec.encode(audio_CN[None])
        all_codes.append(codes_1KT[0])
        for k in range(codec.levels):
            decoded_CN = codec.decode(codes_1KT[:, : k + 1])[0, :, : audio_CN.shape[-1]]
            for name, measure in measures.items():
                values[name][k].append(measure(audio_CN, decoded_CN, codec.sample_rate))
    codes_KT = torch.cat(all_codes, -1)
    return {
        "clips": len(clips),
        "clip_seconds": seconds,
        "frames": codes_KT.shape[-1],
        "perplexity": [round(perplexity(codes_T, codec.codebook_size), 1) for codes_T in codes_KT],
        **{name: [round(float(np.mean(level)), 4) for level in levels] for name, levels in values.items()},
    }
