"""Stereo by a mono codec, which codes left and right apart (MusicGen, arXiv 2306.05284, section 4.3).

Shape suffixes: B batch, C channels (in ``KVC`` width of code vectors), K levels, T frames, N samples, V codebook size.
"""

import torch
from torch import nn

from musicbench.codec_identity import STEREO, varied
from musicbench.codecs.chunked import ChunkedCodec


class StereoCodec(ChunkedCodec):
    """A codec of two channels and 2K levels: 1 left, 1 right, 2 left, 2 right, ... of the K levels of a mono codec.

    Either channel has the codes and the sound that the mono codec gives it alone.
    """

    channels = 2

    def __init__(self, mono: ChunkedCodec) -> None:
        self.id, self.sha256 = varied(mono.id, mono.sha256, STEREO)
        self.sample_rate, self.hop, self.frame_rate = mono.sample_rate, mono.hop, mono.frame_rate
        self.levels, self.codebook_size = 2 * mono.levels, mono.codebook_size
        self._mono = mono

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        """Code vectors of twice the width: the left channel's in the first half, the right channel's in the second.

        So the sum over levels is the pair of both channels' latents, and tells left from right.
        """
        books_KVC = self._mono.codebooks_KVC
        none_KVC = torch.zeros_like(books_KVC)
        pair = [torch.cat(halves, 2) for halves in ((books_KVC, none_KVC), (none_KVC, books_KVC))]
        return torch.stack(pair, 1).flatten(0, 1)

    @property
    def lookahead(self) -> int:
        return self._mono.lookahead

    def _modules(self) -> tuple[nn.Module, ...]:
        return self._mono._modules()

    def _encode_rows(self, audio_BCN: torch.Tensor, frames: int) -> torch.Tensor:
        # The channels are clips of the mono codec.
        codes = self._mono.encode(audio_BCN.flatten(0, 1)[:, None])
        return codes.unflatten(0, (-1, 2)).transpose(1, 2).flatten(1, 2)

    def _decode_rows(self, codes_BKT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        if codes_BKT.shape[1] % 2:
            raise ValueError(f"codes of two channels have an even number of levels, not {codes_BKT.shape[1]}")
        of_channels = codes_BKT.unflatten(1, (-1, 2)).transpose(1, 2).flatten(0, 1)
        return self._mono.decode_span(of_channels, *span)[:, 0].unflatten(0, (-1, 2))
