"""The protocol of a codec: all that the rest of musicbench knows of one.

Shape suffixes: B batch, C channels, K levels, T frames, N samples.
"""

from typing import Protocol

import torch


class Codec(Protocol):
    """Audio to codes and back, at a fixed frame rate.

    Attributes:
        id: name or folder under which the codec was loaded.
        sha256: hex digest of the weights file; results of different digests must not be mixed.
        sample_rate: Hz of the audio that goes in and comes out.
        channels: C of that audio, 1 or 2.
        frame_rate: code frames per second.
        levels: K, codebooks of the residual quantiser.
        codebook_size: V, codes per level.
        segment_frames: frames that are coded together; codes may be cut at multiples of it only. 1: anywhere.
    """

    id: str
    sha256: str
    sample_rate: int
    channels: int
    frame_rate: float
    levels: int
    codebook_size: int
    segment_frames: int

    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        """Float audio [B, C, N] in [-1, 1] to int64 codes [B, K, T], about ``frame_rate`` a second."""
        ...

    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        """Codes [B, K, T] to float32 audio [B, C, N] of T / ``frame_rate`` seconds, or a little more."""
        ...
