"""The part that all codecs share: checks of the input, and clips computed one after the other.

Shape suffixes: B batch, C channels (in ``KVC`` width of code vectors), K levels, T frames, N samples, V codebook
size.
"""

from typing import Self

import torch

CONFIG, WEIGHTS = "config.json", "model.safetensors"  # what a codec's folder holds
CHUNK_FRAMES = 500  # 10 s at 50 Hz; bounds memory, the result does not depend on it


class ChunkedCodec:
    """A ``codecs.base.Codec`` without its network; subclasses fill in what raises here.

    Clips share no batch, so that codes and sound of a clip are the same, bit for bit, whatever is beside it.
    """

    id: str
    sha256: str
    sample_rate: int
    channels: int = 1
    frame_rate: float
    hop: int  # samples per frame
    levels: int
    codebook_size: int

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        """Code vectors of every level, float32 [K, V, C] on the CPU."""
        raise NotImplementedError

    def _modules(self) -> tuple[torch.nn.Module, ...]:
        raise NotImplementedError

    def _encode_rows(self, audio_BCN: torch.Tensor, frames: int) -> torch.Tensor:
        """Audio [B, C, frames * hop] on the codec's device to codes [B, K, frames]."""
        raise NotImplementedError

    def _decode_rows(self, codes_BKT: torch.Tensor, span: tuple[int, int]) -> torch.Tensor:
        """Codes [B, k, T] on the codec's device to audio [B, C, (end - first) * hop] of the frames of a span."""
        raise NotImplementedError

    @property
    def lookahead(self) -> int:
        """Frames after a frame that its decoded sound depends on, at most."""
        raise NotImplementedError

    @property
    def _device(self) -> torch.device:
        return next(self._modules()[0].parameters()).device

    def to(self, device: torch.device | str) -> Self:
        """Move the weights; inputs may lie anywhere, outputs come back where the input was."""
        for module in self._modules():
            module.to(device)
        return self

    @torch.inference_mode()
    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        """Audio [B, C, N] in [-1, 1] to int64 codes [B, K, T], T = ceil(N / hop); the last frame is zero-padded.

        Raises:
            ValueError: the audio is not [B, C, N] with the codec's C and N > 0.
        """
        if audio_BCN.ndim != 3 or audio_BCN.shape[1] != self.channels or audio_BCN.shape[-1] == 0:
            raise ValueError(f"audio must be [B, {self.channels}, N] with N > 0, not {list(audio_BCN.shape)}")
        frames = -(-audio_BCN.shape[-1] // self.hop)
        padded_BCN = torch.nn.functional.pad(audio_BCN.float(), (0, frames * self.hop - audio_BCN.shape[-1]))
        rows = [self._encode_rows(row_1CN.to(self._device), frames) for row_1CN in padded_BCN.split(1)]
        return torch.cat(rows).to(audio_BCN.device)

    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        """Codes [B, k, T] to float32 audio [B, C, T * hop]; k < K levels decode to a coarser sound.

        Raises:
            ValueError: the codes are not [B, k, T] with 0 < k <= K, T > 0 and values in [0, V).
        """
        return self.decode_span(codes_BKT, 0, codes_BKT.shape[-1])

    @torch.inference_mode()
    def decode_span(self, codes_BKT: torch.Tensor, first: int, end: int) -> torch.Tensor:
        """The part of ``decode`` that belongs to frames first .. end - 1, [B, C, (end - first) * hop].

        Raises:
            ValueError: see ``decode``.
        """
        if codes_BKT.ndim != 3 or not 0 < codes_BKT.shape[1] <= self.levels or codes_BKT.shape[-1] == 0:
            raise ValueError(f"codes must be [B, K, T] with K <= {self.levels} and T > 0, not {list(codes_BKT.shape)}")
        if codes_BKT.min() < 0 or codes_BKT.max() >= self.codebook_size:
            raise ValueError(
                f"codes must lie in 0 .. {self.codebook_size - 1}, not {int(codes_BKT.min())} .. {int(codes_BKT.max())}"
            )
        rows = [self._decode_rows(row_1KT.long().to(self._device), (first, end)) for row_1KT in codes_BKT.split(1)]
        return torch.cat(rows).to(codes_BKT.device)
