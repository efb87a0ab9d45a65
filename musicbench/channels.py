"""Channels of audio: the place where they are averaged, for judges and for mono codecs.

Shape suffixes: C channels, N samples.
"""

from torch import Tensor


def mixed(audio_CN: Tensor, channels: int) -> Tensor:
    """Audio with so many channels: unchanged if it has them, else the mean of its channels in each of them."""
    if len(audio_CN) == channels:
        return audio_CN
    # One after the other, so that the result does not depend on how a kernel sums.
    return (sum(audio_CN[1:], audio_CN[0]) / len(audio_CN)).expand(channels, -1)
