"""The floor a learned codec must beat: MDCT frames and a residual k-means quantiser of equal rate."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from musicbench.codecs.training.kmeans import assign, kmeans


def mdct(audio_BN: torch.Tensor, hop: int) -> torch.Tensor:
    """MDCT with a sine window of 2 * hop: audio [B, T * hop] to coefficients [B, T + 1, hop].

    The transform is orthonormal: ``inverse_mdct`` restores the audio, and energies are equal.
    """
    padded_BN = torch.nn.functional.pad(audio_BN, (hop, hop))
    return padded_BN.unfold(-1, 2 * hop, hop) * _window(hop) @ _basis(hop)


def inverse_mdct(coefficients_BTF: torch.Tensor, hop: int) -> torch.Tensor:
    """Coefficients [B, T + 1, hop] to audio [B, T * hop] by overlap-add."""
    windows_BTN = coefficients_BTF @ _basis(hop).T * _window(hop)
    first_BTH, second_BTH = windows_BTN.chunk(2, -1)
    return (first_BTH[:, 1:] + second_BTH[:, :-1]).flatten(1)


def _window(hop: int) -> torch.Tensor:
    return torch.sin(math.pi / (2 * hop) * (torch.arange(2 * hop) + 0.5))


def _basis(hop: int) -> torch.Tensor:
    n, k = torch.arange(2 * hop, dtype=torch.float64), torch.arange(hop, dtype=torch.float64)
    angle_NF = math.pi / hop * (n[:, None] + 0.5 + hop / 2) * (k + 0.5)
    return (math.sqrt(2 / hop) * torch.cos(angle_NF)).float()


class MdctFloor:
    """A ``Codec`` of MDCT frames and k-means books; one frame more than a learned codec (T + 1 for T * hop)."""

    id = "mdct-kmeans"
    sha256 = ""

    def __init__(self, books_KVF: torch.Tensor, sample_rate: int) -> None:
        """
        Args:
            books_KVF: centroids of the coefficients, then of their residuals; F is the hop.
        """
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
        max_frames: int = 40_000,
        iterations: int = 10,
        seed: int = 0,
    ) -> "MdctFloor":
        """Fit on int16 clips, on at most ``max_frames`` of their frames."""
        generator = torch.Generator().manual_seed(seed)
        frames = []
        for clip in clips:
            windows_TN = torch.from_numpy(clip).unfold(-1, 2 * hop, hop)
            chosen = torch.randperm(len(windows_TN), generator=generator)[: -(-max_frames // len(clips))]
            frames.append(windows_TN[chosen])
        residual_NF = torch.cat(frames) / 32768.0 * _window(hop) @ _basis(hop)
        books = []
        for _ in range(levels):
            books.append(kmeans(residual_NF, codebook_size, iterations, generator))
            residual_NF = residual_NF - books[-1][assign(residual_NF, books[-1])]
        return cls(torch.stack(books), sample_rate)

    def encode(self, audio_BN: torch.Tensor) -> torch.Tensor:
        """Audio [B, N] to codes [B, K, ceil(N / hop) + 1]."""
        padded_BN = torch.nn.functional.pad(audio_BN, (0, -audio_BN.shape[-1] % self.hop))
        residual_BTF = mdct(padded_BN, self.hop)
        codes = []
        for book_VF in self.books_KVF:
            codes_BT = assign(residual_BTF.flatten(0, 1), book_VF).view(residual_BTF.shape[:2])
            residual_BTF = residual_BTF - book_VF[codes_BT]
            codes.append(codes_BT)
        return torch.stack(codes, 1)

    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        """Codes [B, k, T + 1] to audio [B, T * hop]."""
        books = zip(self.books_KVF, codes_BKT.unbind(1), strict=False)
        return inverse_mdct(torch.stack([book_VF[codes_BT] for book_VF, codes_BT in books]).sum(0), self.hop)
