"""Sound from codes that arrive piece by piece.

Shape suffixes: B batch, C channels, K levels, N samples, n frames of a piece.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

import torch

from musicbench.codecs.decoding import Decoding

STREAM_SECONDS = 0.5
"""Sound between two writes of a stream."""


class StreamingCodec(Protocol):
    """The part of a codec that is needed here."""

    def decoding(self, clips: int) -> Decoding:
        """Start to decode some clips piece by piece."""
        ...


def decode_stream(codec: StreamingCodec, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Audio [B, C, N] whose sound can no longer change, after each piece of codes [B, K, n].

    Concatenated it is what ``decode`` makes of all the codes; it lags behind by what the codec looks ahead.
    """
    decoding: Decoding | None = None
    for piece_BKn in pieces:
        decoding = decoding or codec.decoding(len(piece_BKn))
        sound_BCN = decoding.add(piece_BKn)
        if sound_BCN.shape[-1]:
            yield sound_BCN
    if decoding is not None:
        sound_BCN = decoding.end()
        if sound_BCN.shape[-1]:
            yield sound_BCN
