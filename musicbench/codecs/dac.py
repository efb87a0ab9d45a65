"""DAC models of transformers as a ``Codec`` (Kumar et al., arXiv 2306.06546): 44, 24 and 16 kHz mono.

Shape suffixes: K levels, T frames, N samples, V codebook size, C audio channels (in ``KVC`` width of code vectors), D
latent width.
"""

from typing import Any

import torch
from torch import nn

from musicbench.codecs import chunked
from musicbench.codecs.chunked import whole_frames
from musicbench.codecs.chunks import context_frames, in_chunks
from musicbench.codecs.decoding import ConvolutionDecoding, Window


class DacCodec(chunked.ChunkedCodec):
    """A ``DacModel`` of transformers, made of convolutions alone; they run in chunks with the result of the whole."""

    def __init__(self, model: Any, id: str, sha256: str) -> None:
        config = model.config
        self.id, self.sha256 = id, sha256
        self.sample_rate, self.hop = config.sampling_rate, config.hop_length
        self.frame_rate: float = self.sample_rate / self.hop
        self.levels, self.codebook_size = config.n_codebooks, config.codebook_size
        self._model = model.eval()
        self._encoder_context = context_frames([model.encoder], self.hop, upsampling=False)
        self._decoder_context = context_frames([model.decoder], self.hop, upsampling=True)

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        """What each code adds to the latent, [K, V, D]: its short vector, projected."""
        with torch.no_grad():
            levels = [q.out_proj(q.codebook.weight.T[None])[0].T for q in self._model.quantizer.quantizers]
        return torch.stack(levels).float().cpu()

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its sound depends on, at most."""
        return self._decoder_context

    def _modules(self) -> tuple[nn.Module, ...]:
        return (self._model,)

    def _drop_levels(self, levels: int) -> None:
        quantizer = self._model.quantizer
        quantizer.quantizers, quantizer.n_codebooks = quantizer.quantizers[:levels], levels

    def _encode_row(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        padded_1CN, frames = whole_frames(audio_1CN, self.hop)
        latent_1DT = in_chunks(self._model.encoder, padded_1CN, frames, chunked.CHUNK_FRAMES, self._encoder_context)
        codes_1KT: torch.Tensor = self._model.quantizer(latent_1DT)[1]
        return codes_1KT

    def _decode_row(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        return self._sound(codes_1KT, (0, codes_1KT.shape[-1]))

    def _row_decoding(self) -> ConvolutionDecoding:
        return ConvolutionDecoding(Window(self._sound, self._decoder_context), self._silence_1C0)

    def _sound(self, codes_1KT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        latent_1DT = self._model.quantizer.from_codes(codes_1KT)[0]
        frames = codes_1KT.shape[-1]
        return in_chunks(self._model.decoder, latent_1DT, frames, chunked.CHUNK_FRAMES, self._decoder_context, span)
