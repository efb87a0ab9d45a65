"""Stereo by a mono codec, which codes left and right apart (MusicGen, arXiv 2306.05284, section 4.3).

Shape suffixes: B batch, C channels (in ``KVC`` width of code vectors), K levels, T frames, N samples, V codebook size,
n frames of a piece.
"""

from collections.abc import Sequence

import torch
from torch import nn

from musicbench.codec_identity import STEREO, varied
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.decoding import Decoding


class StereoCodec(ChunkedCodec):
    """A codec of two channels and 2K levels: 1 left, 1 right, 2 left, 2 right, ... of the K levels of a mono codec.

    Either channel has the codes and the sound that the mono codec gives it alone.
    """

    channels = 2

    def __init__(self, mono: ChunkedCodec) -> None:
        self.id, self.sha256 = varied(mono.id, mono.sha256, STEREO)
        self.sample_rate, self.frame_rate = mono.sample_rate, mono.frame_rate
        self.levels, self.codebook_size = 2 * mono.levels, mono.codebook_size
        self.segment_frames = mono.segment_frames
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

    def _modules(self) -> tuple[nn.Module, ...]:
        return self._mono._modules()

    def _encode_row(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        # The channels are clips of the mono codec.
        codes = self._mono.encode(audio_1CN.flatten(0, 1)[:, None])
        return codes.unflatten(0, (-1, 2)).transpose(1, 2).flatten(1, 2)

    def _decode_row(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._mono.decode(codes) for codes in _of_channels(codes_1KT)], 1)

    def _row_decoding(self) -> "StereoDecoding":
        return StereoDecoding([self._mono.decoding(1) for _ in range(2)])


class StereoDecoding:
    """One clip of a ``StereoCodec``: its channels, each decoded by itself."""

    def __init__(self, channels: Sequence[Decoding]) -> None:
        self._channels = channels

    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        pairs = zip(self._channels, _of_channels(codes_BKn), strict=True)
        return torch.cat([channel.add(codes) for channel, codes in pairs], 1)

    def end(self) -> torch.Tensor:
        return torch.cat([channel.end() for channel in self._channels], 1)


def _of_channels(codes_1KT: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Codes of left and right.

    Raises:
        ValueError: their levels are no pairs.
    """
    if codes_1KT.shape[1] % 2:
        raise ValueError(f"codes of two channels have an even number of levels, not {codes_1KT.shape[1]}")
    return codes_1KT[:, ::2], codes_1KT[:, 1::2]
