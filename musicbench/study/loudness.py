"""The loudness of a clip after ITU-R BS.1770-4, so that clips can be compared without the louder one winning."""

import math

import numpy as np
from numpy.typing import NDArray

RATE = 48000
# Annex 1, tables 1 and 2: a shelf for the head and a high-pass filter, for 48 kHz, as second-order sections.
WEIGHTING = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585),
    (1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621),
)
BLOCK, HOP = RATE * 4 // 10, RATE // 10
OFFSET = -0.691
QUIETEST = -70.0
"""LUFS below which a block counts as silence."""


def loudness(audio_NC: NDArray[np.floating], rate: int) -> float | None:
    """Integrated loudness in LUFS of a clip [N, C] of one or two channels; None if it is silent.

    Blocks of 400 ms every 100 ms are gated at -70 LUFS and then 10 LU below their mean (section 5.1 of the standard's
    annex 1). A single channel counts as played by two speakers, so that mono and stereo compare as they are heard.
    Clips that are shorter than a block are one block.
    """
    # It takes a second to load, and a table without audio does without.
    from scipy.signal import resample_poly, sosfilt

    common = math.gcd(RATE, rate)
    resampled_NC = resample_poly(np.asarray(audio_NC, dtype=np.float64), RATE // common, rate // common, axis=0)
    power_N = 2 * np.square(sosfilt(WEIGHTING, resampled_NC, axis=0)).mean(axis=1)
    size = min(BLOCK, len(power_N))
    running_N = np.concatenate([[0.0], np.cumsum(power_N)])
    starts_W = np.arange(0, len(power_N) - size + 1, HOP)
    power_W = (running_N[starts_W + size] - running_N[starts_W]) / size
    loud_W = power_W[power_W > 10 ** ((QUIETEST - OFFSET) / 10)]
    if not len(loud_W):
        return None
    # The second gate is relative to what passed the first.
    loud_W = loud_W[loud_W > loud_W.mean() / 10]
    return float(OFFSET + 10 * np.log10(loud_W.mean()))
