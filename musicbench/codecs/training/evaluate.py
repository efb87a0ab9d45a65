"""Reconstruction quality of a codec on clips: the same figures for every codec, neural or not."""

from collections.abc import Sequence

import numpy as np
import torch

from musicbench.codecs.base import Codec
from musicbench.codecs.metrics import mel_distance, perplexity, snr_db
from musicbench.codecs.training.audio import to_float


def reconstruction_figures(codec: Codec, clips: Sequence[np.ndarray], seconds: float) -> dict[str, object]:
    """Mean SNR (dB) and mel distance with 1 .. K levels, and the perplexity of each level.

    Args:
        clips: int16 arrays at the codec's sample rate; the middle ``seconds`` of each are used.
    """
    samples = round(seconds * codec.sample_rate)
    snr: list[list[float]] = [[] for _ in range(codec.levels)]
    mel: list[list[float]] = [[] for _ in range(codec.levels)]
    all_codes = []
    for clip in clips:
        start = max(0, (len(clip) - samples) // 2)
        audio_1N = to_float(clip[start : start + samples])[None]
        codes_1KT = codec.encode(audio_1N)
        all_codes.append(codes_1KT[0])
        for k in range(codec.levels):
            decoded_1N = codec.decode(codes_1KT[:, : k + 1])[:, : audio_1N.shape[-1]]
            snr[k].append(float(snr_db(audio_1N, decoded_1N)))
            mel[k].append(float(mel_distance(audio_1N, decoded_1N, codec.sample_rate)))
    codes_KT = torch.cat(all_codes, -1)
    return {
        "clips": len(clips),
        "clip_seconds": seconds,
        "frames": codes_KT.shape[-1],
        "snr_db": [round(float(np.mean(values)), 3) for values in snr],
        "mel_distance": [round(float(np.mean(values)), 4) for values in mel],
        "perplexity": [round(perplexity(codes_T, codec.codebook_size), 1) for codes_T in codes_KT],
    }
