"""The part that all codecs share: checks of the input, and clips computed one after the other.

Shape suffixes: B batch, C channels (in ``KVC`` width of code vectors), K levels, T frames, N samples, V codebook
size.
"""

from typing import Self

import torch

from musicbench.codec_identity import of_levels, varied
from musicbench.codecs.decoding import Decoding, Rows
from musicbench.errors import UserError

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
    levels: int
    codebook_size: int
    segment_frames: int = 1

    @property
    def codebooks_KVC(self) -> torch.Tensor:
        """Code vectors of every level, float32 [K, V, C] on the CPU."""
        raise NotImplementedError

    def _modules(self) -> tuple[torch.nn.Module, ...]:
        raise NotImplementedError

    def _drop_levels(self, levels: int) -> None:
        """Leave the first levels of the quantiser only."""
        raise NotImplementedError

    def _encode_row(self, audio_1CN: torch.Tensor) -> torch.Tensor:
        """Audio of one clip on the codec's device to codes [1, K, T]."""
        raise NotImplementedError

    def _decode_row(self, codes_1KT: torch.Tensor) -> torch.Tensor:
        """Codes of the first k levels of one clip, on the codec's device, to audio [1, C, N]."""
        raise NotImplementedError

    def _row_decoding(self) -> Decoding:
        """What ``_decode_row`` does, for codes that arrive piece by piece."""
        raise NotImplementedError

    def keep_levels(self, levels: int) -> None:
        """Use the first levels only, which is a lower bandwidth; with fewer than all, id and hash are others.

        Raises:
            UserError: the codec has not so many.
        """
        if isinstance(levels, bool) or not isinstance(levels, int) or not 0 < levels <= self.levels:
            raise UserError(f"codec.levels={levels} is impossible with {self.id}; choose 1 .. {self.levels}, or null")
        if levels < self.levels:
            self._drop_levels(levels)
            self.levels = levels
            self.id, self.sha256 = varied(self.id, self.sha256, of_levels(levels))

    @property
    def _device(self) -> torch.device:
        return next(self._modules()[0].parameters()).device

    @property
    def _silence_1C0(self) -> torch.Tensor:
        """Sound of no length on the codec's device."""
        return torch.zeros(1, self.channels, 0, device=self._device)

    def to(self, device: torch.device | str) -> Self:
        """Move the weights; inputs may lie anywhere, outputs come back where the input was."""
        for module in self._modules():
            module.to(device)
        return self

    @torch.inference_mode()
    def encode(self, audio_BCN: torch.Tensor) -> torch.Tensor:
        """Audio [B, C, N] in [-1, 1] to int64 codes [B, K, T].

        T is ceil(N / hop), the last frame padded with zeros; models with segments count the frames of every segment.

        Raises:
            ValueError: the audio is not [B, C, N] with the codec's C and N > 0.
        """
        if audio_BCN.ndim != 3 or audio_BCN.shape[1] != self.channels or audio_BCN.shape[-1] == 0:
            raise ValueError(f"audio must be [B, {self.channels}, N] with N > 0, not {list(audio_BCN.shape)}")
        rows = [self._encode_row(row_1CN.to(self._device)) for row_1CN in audio_BCN.float().split(1)]
        return torch.cat(rows).to(audio_BCN.device)

    @torch.inference_mode()
    def decode(self, codes_BKT: torch.Tensor) -> torch.Tensor:
        """Codes [B, k, T] to float32 audio [B, C, N]; k < K levels decode to a coarser sound.

        Raises:
            ValueError: the codes are not [B, k, T] with 0 < k <= K, T > 0 and values in [0, V).
        """
        self._require_codes(codes_BKT)
        rows = [self._decode_row(row_1KT.long().to(self._device)) for row_1KT in codes_BKT.split(1)]
        return torch.cat(rows).to(codes_BKT.device)

    def decoding(self, clips: int) -> Decoding:
        """Start to decode some clips piece by piece; all pieces together give what ``decode`` gives at once.

        Its ``add`` raises what ``decode`` raises.
        """
        return Rows([self._row_decoding() for _ in range(clips)], self._device, self._require_codes)

    def _require_codes(self, codes_BKT: torch.Tensor) -> None:
        if codes_BKT.ndim != 3 or not 0 < codes_BKT.shape[1] <= self.levels or codes_BKT.shape[-1] == 0:
            raise ValueError(f"codes must be [B, K, T] with K <= {self.levels} and T > 0, not {list(codes_BKT.shape)}")
        if codes_BKT.min() < 0 or codes_BKT.max() >= self.codebook_size:
            raise ValueError(
                f"codes must lie in 0 .. {self.codebook_size - 1}, not {int(codes_BKT.min())} .. {int(codes_BKT.max())}"
            )


def whole_frames(audio_BCN: torch.Tensor, hop: int) -> tuple[torch.Tensor, int]:
    """Audio padded with zeros to whole frames, [B, C, T * hop], and their number T = ceil(N / hop)."""
    frames = -(-audio_BCN.shape[-1] // hop)
    return torch.nn.functional.pad(audio_BCN, (0, frames * hop - audio_BCN.shape[-1])), frames
