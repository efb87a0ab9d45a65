"""Sound from codes that arrive piece by piece.

Shape suffixes: B batch, C channels, K levels, T frames.
"""

from collections.abc import Iterable, Iterator

import torch

from musicbench.codecs.chunked import ChunkedCodec

STREAM_SECONDS = 0.5
"""Sound between two writes of a stream."""


def decode_stream(codec: ChunkedCodec, pieces: Iterable[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Audio [B, C, n * hop] of the frames whose sound can no longer change, after each piece of codes [B, K, n].

    Concatenated it is what ``decode`` makes of all the codes; it lags behind by ``codec.lookahead`` frames.
    """
    codes_BKT: torch.Tensor | None = None
    done = 0
    for piece_BKn in pieces:
        codes_BKT = piece_BKn if codes_BKT is None else torch.cat([codes_BKT, piece_BKn], 2)
        certain = codes_BKT.shape[2] - codec.lookahead
        if certain > done:
            yield codec.decode_span(codes_BKT, done, certain)
            done = certain
    if codes_BKT is not None and codes_BKT.shape[2] > done:
        yield codec.decode_span(codes_BKT, done, codes_BKT.shape[2])
