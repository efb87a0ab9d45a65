"""EnCodec models that take audio of any length as a ``Codec``: 32 kHz, 24 kHz and their like.

Shape suffixes: B batch, K levels, T frames, N samples, V codebook size, C audio channels (in ``KVC`` width of code
vectors), D latent width, n frames of a piece.
"""

import torch
from torch import nn

from musicbench.codecs import chunked
from musicbench.codecs.chunked import whole_frames
from musicbench.codecs.chunks import context_frames, in_chunks
from musicbench.codecs.decoding import Window, joined
from musicbench.codecs.seanet import Seanet, split


class EncodecCodec(chunked.ChunkedCodec):
    """An EnCodec model without segments (see ``codecs.base.Codec`` for the attributes).

    Convolutions run in chunks, the LSTM over all frames, so that memory stays bounded and the result is that of the
    whole clip.
    """

    def __init__(self, network: Seanet, id: str, sha256: str) -> None:
        self.id, self.sha256 = id, sha256
        self.sample_rate, self.channels, self.hop = network.sample_rate, network.channels, network.hop
        self.frame_rate: float = self.sample_rate / self.hop
        self.levels: int = network.levels
        self.codebook_size: int = network.codebooks_KVC.shape[1]
        self._network, self._quantizer = network, network.quantizer
        self._encoder_convolutions, lstm, last = split(network.encoder)
        self._encoder_frames = nn.Sequential(lstm, *last)
        self._decoder_first, self._decoder_lstm, self._decoder_convolutions = split(network.decoder)
        self._encoder_context = context_frames(self._encoder_convolutions, self.hop, upsampling=False)
        self._first_context = context_frames(self._decoder_first, self.hop, upsampling=True)
        self._decoder_context = context_frames(self._decoder_convolutions, self.hop, upsampling=True)

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        return self._network.codebooks_KVC

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its sound depends on, at most: of the convolutions on both sides of the LSTM."""
        return self._first_context + self._decoder_context

    def _modules(self) -> tuple[nn.Module, ...]:
        return (self._network.encoder, self._quantizer, self._network.decoder)

    def _drop_levels(self, levels: int) -> None:
        self._network.keep_levels(levels)

    def _encode_row(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        padded_1CN, frames = whole_frames(audio_1CN, self.hop)
        hidden_BDT = in_chunks(
            self._encoder_convolutions, padded_1CN, frames, chunked.CHUNK_FRAMES, self._encoder_context
        )
        codes_KBT: torch.Tensor = self._quantizer.encode(self._encoder_frames(hidden_BDT))
        return codes_KBT.transpose(0, 1)

    def _decode_row(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        hidden_1DT = self._decoder_lstm(self._decoder_first(self._embedded(codes_1KT)))
        return self._sound(hidden_1DT, (0, codes_1KT.shape[-1]))

    def _row_decoding(self) -> "RecurrentDecoding":
        first = Window(self._first_hidden, self._first_context)
        last = Window(self._sound, self._decoder_context)
        return RecurrentDecoding(first, self._decoder_lstm.lstm, last, self._silence_1C0)

    def _embedded(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        embedding_1DT: torch.Tensor = self._quantizer.decode(codes_1KT.transpose(0, 1))
        return embedding_1DT

    def _first_hidden(self, codes_1KT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        frames = codes_1KT.shape[-1]
        hidden_1DT = self._embedded(codes_1KT)
        return in_chunks(self._decoder_first, hidden_1DT, frames, chunked.CHUNK_FRAMES, self._first_context, span)

    def _sound(self, hidden_1DT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        frames = hidden_1DT.shape[-1]
        return in_chunks(
            self._decoder_convolutions, hidden_1DT, frames, chunked.CHUNK_FRAMES, self._decoder_context, span
        )


class RecurrentDecoding:
    """One clip of an ``EncodecCodec``: the state of the LSTM is carried on, so it sees every frame once.

    Args:
        first, last: the convolutions before and behind the LSTM.
    """

    def __init__(self, first: Window, lstm: nn.LSTM, last: Window, silence_1C0: torch.Tensor) -> None:
        self._first, self._lstm, self._last, self._silence_1C0 = first, lstm, last, silence_1C0
        self._state: tuple[torch.Tensor, torch.Tensor] | None = None

    def add(self, codes_BKn: torch.Tensor) -> torch.Tensor:
        return joined(self._silence_1C0, self._remember(self._first.add(codes_BKn)))

    def end(self) -> torch.Tensor:
        return joined(self._silence_1C0, self._remember(self._first.end()), self._last.end())

    def _remember(self, hidden_1Dn: torch.Tensor | None) -> torch.Tensor | None:
        """The sound that is certain when the LSTM has read these frames too."""
        if hidden_1Dn is None:
            return None
        frames_n1D = hidden_1Dn.permute(2, 0, 1)
        read_n1D, self._state = self._lstm(frames_n1D, self._state)
        return self._last.add((read_n1D + frames_n1D).permute(1, 2, 0))
