"""The protocol of a judge: fixed windows of audio in, embeddings and class logits of each window out.

Shape suffixes: B batch, N samples, C classes, D width of embeddings, W windows of a clip.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
import torchaudio
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import JudgeFacts, Kind
from musicbench.evaluation.judges.fadtk import FadtkEmbedding

RESAMPLER = "torchaudio.functional.resample: sinc_interp_hann, lowpass_filter_width 6, rolloff 0.99"


@dataclass(frozen=True)
class JudgeOutput:
    """The outputs of a judge for a batch of clips, window by window: ``embeddings_BWD`` and ``logits_BWC``, float32.

    C is 0 for a judge that only embeds.
    """

    embeddings_BWD: Tensor
    logits_BWC: Tensor


class Judge(Protocol):
    """An embedder, and where it has ``labels`` a classifier, of fixed windows that start every ``hop_seconds``.

    ``class_kind`` says how its logits become probabilities.
    ``fadtk``: the embedding of that toolkit which its own is, with the right weights.
    """

    id: str
    sha256: str
    sample_rate: int
    window_seconds: float
    hop_seconds: float
    labels: tuple[str, ...]
    class_kind: Kind
    fadtk: FadtkEmbedding | None

    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        """Audio [B, N] in [-1, 1] -> outputs of the W windows that lie wholly within the audio."""
        ...


class TextAudioJudge(Judge, Protocol):
    """A judge that embeds captions into the space of its audio embeddings."""

    def text(self, captions: Sequence[str]) -> Tensor:
        """Unit vectors [N, D] of captions, float32 on the CPU."""
        ...

    def cut(self, captions: Sequence[str]) -> int:
        """How many captions are longer than what is read of them."""
        ...


class WindowedJudge:
    """A ``Judge`` without its network: windows, checks and precision; subclasses fill in what raises here.

    Windows are cut before resampling and padding, so that each depends on its own samples only.

    Attributes:
        windows_at_once: how many windows of a clip its network hears in a batch, by the type of device.
    """

    id: str
    sha256: str
    sample_rate: int
    window_seconds: float
    hop_seconds: float
    labels: tuple[str, ...] = ()
    class_kind: Kind = "softmax"
    fadtk: FadtkEmbedding | None = None
    device: torch.device
    windows_at_once: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 64}  # convolutions on a CPU gain nothing by more

    @classmethod
    def facts(cls, id: str, sha256: str) -> JudgeFacts:
        """What tells a judge of this class from others, without its network."""
        windows = (cls.sample_rate, cls.window_seconds, cls.hop_seconds)
        return JudgeFacts(id, sha256, *windows, cls.labels, cls.class_kind, cls.fadtk)

    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        """Audio [B, N] in [-1, 1] at ``sample_rate`` -> the windows wholly within it, on the CPU, fp32.

        W = floor((seconds - window_seconds) / hop_seconds) + 1. What is said of a clip depends on that clip alone, bit
        for bit on one machine with one number of threads: its windows share no batch with those of other clips.

        Raises:
            UserError: the audio is shorter than one window, or holds NaN or infinity.
        """
        clips = [self._clip(windows_WN, sample_rate) for windows_WN in self._windows(audio_BN.float(), sample_rate)]
        embeddings, logits = zip(*clips, strict=True)
        return JudgeOutput(torch.stack(embeddings), torch.stack(logits))

    def _clip(self, windows_WN: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        """Embeddings [W, D] and logits [W, C] of the windows of one clip."""
        groups = windows_WN.split(self.windows_at_once[self.device.type])
        # Each in memory of its own: some kernels choose their order of summation by where the samples lie.
        copies = (group_BN.clone(memory_format=torch.contiguous_format) for group_BN in groups)
        embeddings, logits = zip(*(self._judge_group(group_BN, sample_rate) for group_BN in copies), strict=True)
        return torch.cat(embeddings), torch.cat(logits)

    @torch.no_grad()
    def _judge_group(self, window_BN: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        with full_fp32():
            embeddings_BD, logits_BC = self._judge(self._resampled(window_BN, sample_rate))
        return embeddings_BD.float().cpu(), logits_BC.float().cpu()

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        """Single windows at the judge's rate, on its device -> (embeddings [B, D], logits [B, C])."""
        raise NotImplementedError

    def _windows(self, audio_BN: Tensor, sample_rate: int) -> Tensor:
        size = round(self.window_seconds * sample_rate)
        if audio_BN.shape[1] < size:
            raise UserError(
                f"judge {self.id} needs clips of at least {self.window_seconds:g} s, "
                f"got {audio_BN.shape[1] / sample_rate:.2f} s; use longer clips"
            )
        require_finite(audio_BN, self.id)
        return audio_BN.unfold(1, size, round(self.hop_seconds * sample_rate))

    def _resampled(self, window_BN: Tensor, sample_rate: int) -> Tensor:
        window_BN = torchaudio.functional.resample(window_BN.to(self.device), sample_rate, self.sample_rate)
        # A window of a fractional number of samples was rounded up.
        return window_BN[:, : round(self.window_seconds * self.sample_rate)]


def require_finite(audio_BN: Tensor, judge_id: str) -> None:
    """Refuse audio that would make every metric NaN.

    Raises:
        UserError: it holds NaN or infinity.
    """
    if not torch.isfinite(audio_BN).all():
        raise UserError(f"judge {judge_id} was given audio with NaN or infinity; check its generator or codec")


def require_classes(judge: Judge) -> None:
    """Refuse KLD by a judge that only embeds.

    Raises:
        UserError: it has no classes.
    """
    if not judge.labels:
        raise UserError(f"KLD needs a classifier, and judge {judge.id} only embeds; choose MusiCNN or PaSST")


@contextmanager
def full_fp32() -> Iterator[None]:
    """No TF32 or bf16 shortcuts, whatever this process trains with: scores must not depend on it."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    cudnn = torch.backends.cudnn
    try:
        # A flag that is not given is set to torch's default, and by default ``flags`` turns cuDNN off.
        with cudnn.flags(enabled=cudnn.enabled, deterministic=True, allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(chosen)
