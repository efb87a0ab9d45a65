"""The floor a learned codec must beat: MDCT frames and a residual k-means quantiser of equal rate.

Shape suffixes: B batch, C channels (1), K levels, T frames, N samples (in ``NF`` points), V codebook
size, F coefficients of a frame.
"""

from collections.abc import Sequence

import numpy as np
import torch

from musicbench.codecs.mdct import inverse_mdct, mdct
from musicbench.codecs.residual import nearest, residual_decode, residual_encode
from musicbench.codecs.training.audio import to_float
from musicbench.codecs.training.kmeans import kmeans

FITTED_FRAMES = 40_000


class MdctFloor:
    """A ``Codec`` of MDCT frames and k-means books; one frame more than a learned codec (T + 1 for T * hop)."""

    id = "mdct-kmeans"
    sha256 = ""
    channels = 1
    segment_frames = 1

    def __init__(self, books_KVF: torch.Tensor, sample_rate: int, beam: int) -> None:
        """
        Args:
            books_KVF: centroids of the coefficients, then of their residuals; F is the hop.
            beam: of the search for codes.
        """
        self.beam = beam
        self.books_KVF = books_KVF
        self.levels, self.codebook_size, self.hop = books_KVF.shape
        self.sample_rate = sample_rate
        self.frame_rate = sample_rate / self.hop

    @classmethod
    def fit(
        cls,
        clips: Sequence[np.ndarray],
        sample_rate: int,
        hop: int = 640,
        levels: int = 4,
        codebook_size: int = 1024,
        beam: int = 1,
        iterations: int = 10,
        seed: int = 0,
    ) -> "MdctFloor":
        """Fit on int16 clips, on at most ``FITTED_FRAMES`` of their frames."""
        generator = torch.Generator().manual_seed(seed)
        frames = []
        for clip in clips:
            coefficients_TF = mdct(to_float(clip)[None], hop)[0]
            chosen = torch.randperm(len(coefficients_TF), generator=generator)[: -(-FITTED_FRAMES // len(clips))]
            frames.append(coefficients_TF[chosen])
        residual_NF = torch.cat(frames)
        books = []
        for _ in range(levels):
            books.append(kmeans(residual_NF, codebook_size, iterations, generator))
            residual_NF = residual_NF - books[-1][nearest(residual_NF, books[-1])]
        return cls(torch.stack(books), sample_rate, beam)

    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        """Audio [B, 1, N] to codes [B, K, ceil(N / hop) + 1]."""
        # a hop of silence on both sides, so that every sample lies in two windows
        padded_BN = torch.nn.functional.pad(audio_BCN[:, 0], (self.hop, -audio_BCN.shape[-1] % self.hop + self.hop))
        return residual_encode(mdct(padded_BN, self.hop), self.books_KVF, self.beam)

    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        """Codes [B, k, T + 1] to audio [B, 1, T * hop]."""
        audio_BN = inverse_mdct(residual_decode(codes_BKT, self.books_KVF), self.hop)
        return audio_BN[:, None, self.hop : -self.hop]
