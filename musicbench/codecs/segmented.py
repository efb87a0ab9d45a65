"""EnCodec models that cut audio into overlapping segments, as a ``Codec``: 48 kHz stereo and its like.

Shape suffixes: K levels, T frames, N samples, V codebook size, C audio channels (in ``KVC`` width of code vectors), n
frames of a piece.
"""

import torch
from torch import nn

from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.decoding import joined
from musicbench.codecs.seanet import Seanet

LOUDNESS = 0.1
"""Root mean square of the mean of channels of a decoded segment, -20 dB of full scale, where a model normalises.

Such a model divides each segment by its loudness, which the library hands on beside the codes. Tokens have no place
for a number, and a language model of tokens cannot make one, so all segments get this loudness: codes are those of the
library, and the sound is that of the library for segments of that loudness.
"""


class SegmentedCodec(ChunkedCodec):
    """An EnCodec model whose segments are coded by themselves (arXiv 2210.13438, section 3.1, "non-streamable").

    Codes of all segments follow each other. Since segments overlap, a second has more frames than a second of one
    segment has: ``frame_rate`` is 150 frames for each 0.99 s with the published model. Decoded segments fade into each
    other as in the library. The sound of T codes is T / ``frame_rate`` seconds long, or longer by an overlap.
    """

    def __init__(self, network: Seanet, id: str, sha256: str) -> None:
        assert network.segments is not None
        self.id, self.sha256 = id, sha256
        self.sample_rate, self.channels, self.hop = network.sample_rate, network.channels, network.hop
        self.segments = network.segments
        self.segment_frames = -(-self.segments.samples // self.hop)
        self.frame_rate = self.segment_frames * self.sample_rate / self.segments.stride
        self.levels, self.codebook_size = network.levels, network.codebooks_KVC.shape[1]
        self._network = network

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        return self._network.codebooks_KVC

    def _modules(self) -> tuple[nn.Module, ...]:
        return (self._network.encoder, self._network.quantizer, self._network.decoder)

    def _drop_levels(self, levels: int) -> None:
        self._network.keep_levels(levels)

    def _encode_row(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        starts = range(0, audio_1CN.shape[-1], self.segments.stride)
        ends = (start + self.segments.samples for start in starts)
        segments = (audio_1CN[..., start:end] for start, end in zip(starts, ends, strict=True))
        return torch.cat([self._encode_segment(segment_1CN) for segment_1CN in segments], -1)

    def _encode_segment(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        if self.segments.normalised:
            mean_11N = audio_1CN.sum(1, keepdim=True) / self.channels
            audio_1CN = audio_1CN / (mean_11N.square().mean(-1, keepdim=True).sqrt() + 1e-8)
        codes_K1T: torch.Tensor = self._network.quantizer.encode(self._network.encoder(audio_1CN))
        return codes_K1T.transpose(0, 1)

    def decode_segment(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        """Codes of one segment, or of its beginning, to audio [1, C, T * hop]."""
        audio_1CN: torch.Tensor = self._network.decoder(self._network.quantizer.decode(codes_1KT.transpose(0, 1)))
        return audio_1CN * LOUDNESS if self.segments.normalised else audio_1CN

    def _decode_row(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        decoding = self._row_decoding()
        return torch.cat([decoding.add(codes_1KT), decoding.end()], -1)

    def _row_decoding(self) -> "SegmentDecoding":
        return SegmentDecoding(self)


class SegmentDecoding:
    """One clip of a ``SegmentedCodec``: a segment is decoded when all its codes are there."""

    def __init__(self, codec: SegmentedCodec) -> None:
        self._codec = codec
        samples = codec.segment_frames * codec.hop
        # The library's weights: a triangle over a segment, so that two segments that overlap fade linearly.
        place_N = torch.linspace(0, 1, samples + 2, device=codec._device)[1:-1]
        self._weight_N = 0.5 - (place_N - 0.5).abs()
        self._codes_1Kn: torch.Tensor | None = None
        # Weighted sound of earlier segments that reaches into the next, and its weights.
        self._sound_1CN = codec._silence_1C0
        self._weights_N = self._weight_N.new_zeros(0)

    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        codes_1Kn = codes_BKn if self._codes_1Kn is None else torch.cat([self._codes_1Kn, codes_BKn], -1)
        size, stride = self._codec.segment_frames, self._codec.segments.stride
        parts: list[torch.Tensor] = []
        while codes_1Kn.shape[-1] >= size:
            self._lay(codes_1Kn[..., :size])
            codes_1Kn = codes_1Kn[..., size:]
            parts.append(self._sound_1CN[..., :stride] / self._weights_N[:stride])
            self._sound_1CN, self._weights_N = self._sound_1CN[..., stride:], self._weights_N[stride:]
        self._codes_1Kn = codes_1Kn
        return joined(self._codec._silence_1C0, *parts)

    def end(self) -> torch.Tensor:
        if self._codes_1Kn is not None and self._codes_1Kn.shape[-1]:
            self._lay(self._codes_1Kn)
        return self._sound_1CN / self._weights_N

    def _lay(self, codes_1Kn: torch.Tensor) -> None:
        """Add the sound of a segment to what reaches into it."""
        audio_1CN = self._codec.decode_segment(codes_1Kn)
        weight_N = self._weight_N[: audio_1CN.shape[-1]]
        self._sound_1CN = _sum(self._sound_1CN, weight_N * audio_1CN)
        self._weights_N = _sum(self._weights_N, weight_N)


def _sum(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Sum of two sounds that start together; the shorter one is silent at its end."""
    length = max(first.shape[-1], second.shape[-1])
    pad = torch.nn.functional.pad
    return pad(first, (0, length - first.shape[-1])) + pad(second, (0, length - second.shape[-1]))
