"""What every judge is: fixed windows of audio in, embeddings and class logits of each window out."""

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, ClassVar, Protocol

import torch
import torchaudio
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judges.fadtk import FadtkEmbedding
from musicbench.evaluation.metrics.kld import Kind

RESAMPLER = "torchaudio.functional.resample: sinc_interp_hann, lowpass_filter_width 6, rolloff 0.99"


@dataclass(frozen=True)
class JudgeOutput:
    """What a judge says of a batch of clips, window by window: `embeddings_BWD` and `logits_BWC`, float32.

    C is 0 for a judge that only embeds.
    """

    embeddings_BWD: Tensor
    logits_BWC: Tensor


class Judge(Protocol):
    """An embedder, and where it has `labels` a classifier, of fixed windows that start every `hop_seconds`.

    `class_kind` says how its logits become probabilities.
    `fadtk`: the embedding of that toolkit which its own is, with the right weights.
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


class WindowedJudge:
    """A `Judge` without its network: windows, checks and precision; subclasses fill in what raises here.

    Windows are cut before resampling and padding, so that each depends on its own samples only.
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
    windows_at_once: ClassVar[dict[str, int]] = {"cpu": 4, "cuda": 64}  # a CPU is fastest with few of them

    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        """Audio [B, N] in [-1, 1] at `sample_rate` -> the windows wholly within it, on the CPU, fp32.

        W = floor((seconds - window_seconds) / hop_seconds) + 1.

        Raises:
            UserError: the audio is shorter than one window, or holds NaN or infinity.
        """
        embeddings, logits = zip(*self.stream(audio_BN, sample_rate), strict=True)
        return JudgeOutput(torch.stack(embeddings), torch.stack(logits))

    def stream(self, clips: Iterable[Tensor], sample_rate: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Embeddings [W, D] and logits [W, C] of clips [N], each as soon as it is judged; see `__call__`.

        The network gets `windows_at_once` windows at a time, of as many clips as it takes; only the last group may
        be smaller. No more clips are taken than fill a group.
        """
        counts: deque[int] = deque()
        judged: deque[tuple[Tensor, Tensor]] = deque()

        def windows() -> Iterator[Tensor]:
            for audio_N in clips:
                windows_WN = self._windows(audio_N[None].float(), sample_rate)[0]
                counts.append(len(windows_WN))
                yield from windows_WN

        waiting = windows()
        while group := list(islice(waiting, self.windows_at_once[self.device.type])):
            judged.extend(zip(*self._judge_group(torch.stack(group), sample_rate), strict=True))
            group.clear()  # these clips may go before the next ones come
            while counts and counts[0] <= len(judged):
                rows = [judged.popleft() for _ in range(counts.popleft())]
                embeddings, logits = zip(*rows, strict=True)
                yield torch.stack(embeddings), torch.stack(logits)

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


def judge_facts(judge: Judge) -> dict[str, Any]:
    """For a record's protocol: which judge, and what of its input changes its numbers."""
    return {
        "id": judge.id,
        "sha256": judge.sha256,
        "window_seconds": judge.window_seconds,
        "hop_seconds": judge.hop_seconds,
        "sample_rate": judge.sample_rate,
        "class_kind": judge.class_kind if judge.labels else None,
    }


def judge_key(judge: Judge) -> str:
    """What tells two judges apart: weights alone do not, as the same ones may be heard through other windows."""
    return hashlib.sha256(json.dumps(judge_facts(judge), sort_keys=True).encode()).hexdigest()


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
    try:
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(chosen)
