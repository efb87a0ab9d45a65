"""A codec's latents as embeddings, for the Frechet codec distance: no network but the run's codec.

Shape suffixes: B batch, C channels (in ``KVC``, ``BTC``, ``VC`` width of code vectors), K levels, T frames, N samples,
V codebook size.
"""

from typing import Protocol

import torch
import torchaudio
from torch import Tensor

from musicbench.channels import mixed
from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import Kind
from musicbench.evaluation.judges.base import JudgeOutput, full_fp32, require_finite
from musicbench.evaluation.judges.fadtk import FadtkEmbedding


class LatentCodec(Protocol):
    """The part of a codec that is needed here; its ``codebooks_KVC`` are the code vectors of every level."""

    id: str
    sha256: str
    sample_rate: int
    channels: int
    frame_rate: float

    @property
    def codebooks_KVC(self) -> Tensor:
        """Code vectors [K, V, C], float32 on the CPU."""
        ...

    def encode(self, audio_BCN: Tensor) -> Tensor:
        """Audio [B, C, N] to int64 codes [B, K, T]."""
        ...


class CodecLatents:
    """One embedding a frame: the sum of its code vectors over the levels.

    Windows are frames. Unlike those of other judges they depend on the samples around them, as far as the
    encoder looks, so clips must be cut before they are judged.
    """

    labels: tuple[str, ...] = ()
    class_kind: Kind = "softmax"
    fadtk: FadtkEmbedding | None = None  # its EnCodec embeddings are the encoder's, before quantisation

    def __init__(self, codec: LatentCodec) -> None:
        self.codec = codec
        self.id, self.sha256, self.sample_rate = f"latents of {codec.id}", codec.sha256, codec.sample_rate
        self.window_seconds = self.hop_seconds = 1 / codec.frame_rate
        self.codebooks_KVC = codec.codebooks_KVC

    @torch.no_grad()
    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        """Audio [B, N] in [-1, 1] at ``sample_rate`` -> embeddings of its whole frames, no logits.

        It may have channels, [B, C, N], and is mixed to those of the codec.

        Raises:
            UserError: the audio is shorter than a frame, or holds NaN or infinity.
        """
        require_finite(audio_BN, self.id)
        audio_BCN = audio_BN[:, None] if audio_BN.ndim == 2 else audio_BN
        audio_BCN = torch.stack([mixed(audio_CN, self.codec.channels) for audio_CN in audio_BCN.float()])
        with full_fp32():
            audio_BCN = torchaudio.functional.resample(audio_BCN, sample_rate, self.sample_rate)
            frames = int(audio_BCN.shape[2] * self.codec.frame_rate / self.sample_rate)
            if frames == 0:
                raise UserError(f"judge {self.id} needs clips of a frame or more; use longer clips")
            codes_BKT = self.codec.encode(audio_BCN)[..., :frames].cpu()  # the last one may be padding
        embeddings_BTC = self.latents(codes_BKT)
        return JudgeOutput(embeddings_BTC, embeddings_BTC[..., :0])

    def latents(self, codes_BKT: Tensor) -> Tensor:
        """The embeddings [B, T, C] of codes that are there already."""
        levels = [codes_VC[codes_BKT[:, level]] for level, codes_VC in enumerate(self.codebooks_KVC)]
        return torch.stack(levels).sum(dim=0)
