"""Judges: pretrained networks that turn audio into embeddings (for FAD) and class logits (for KLD)."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
import torchaudio
from safetensors.torch import load_file
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation import musicnn
from musicbench.files import sha256_file

_MUSICNN_FOLDER = Path(__file__).resolve().parents[1] / "assets" / "judge_musicnn"
# A window's activations take 15 MB; a CPU is fastest with few of them.
_WINDOWS_AT_ONCE = {"cpu": 4, "cuda": 64}


@dataclass(frozen=True)
class JudgeOutput:
    """What a judge says of a batch of clips, window by window: `embeddings_BWD` and `logits_BWC`, float32."""

    embeddings_BWD: Tensor
    logits_BWC: Tensor


class Judge(Protocol):
    """An embedder and classifier of fixed windows of audio that start every `hop_seconds`."""

    id: str
    sha256: str
    sample_rate: int
    window_seconds: float
    hop_seconds: float
    labels: tuple[str, ...]

    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        """Audio [B, N] in [-1, 1] -> outputs of the W windows that lie wholly within the audio."""
        ...


@contextmanager
def _full_fp32() -> Iterator[None]:
    """No TF32 or bf16 shortcuts, whatever this process trains with: scores must not depend on it."""
    chosen = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.backends.cudnn.flags(allow_tf32=False):
            yield
    finally:
        torch.set_float32_matmul_precision(chosen)


class MusiCNN:
    """MusiCNN of MagnaTagATune: 200-d embeddings and 50 tag logits of 3 s (187 mel frames), every 1 s.

    Windows are cut before resampling and padding, so that each depends on its own samples only.
    """

    id = "musicnn-mtt"
    sample_rate = musicnn.SAMPLE_RATE
    window_seconds = 3.0
    hop_seconds = 1.0

    def __init__(self, folder: Path | str = _MUSICNN_FOLDER, device: torch.device | str = "cpu") -> None:
        weights = Path(folder) / "model.safetensors"
        try:
            card = json.loads((Path(folder) / "card.json").read_text())
            self.sha256 = sha256_file(weights)
        except OSError as error:
            raise UserError(f"judge {self.id} is incomplete: no {error.filename}; reinstall it") from error
        if self.sha256 != card["sha256"]:
            raise UserError(f"{weights} does not match the sha256 in its card.json; reinstall it")
        self.labels: tuple[str, ...] = tuple(card["labels"])
        self.device = torch.device(device)
        self.log_mel = musicnn.LogMel().to(self.device)
        self.network = musicnn.MusiCNNNetwork(len(self.labels))
        self.network.load_state_dict(load_file(weights))
        self.network.to(self.device).eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, audio_BN: Tensor, sample_rate: int) -> JudgeOutput:
        """Audio [B, N] in [-1, 1] at `sample_rate` -> W = floor(seconds - 3) + 1 windows, on the CPU, fp32.

        Raises:
            UserError: the audio is shorter than one window, or holds NaN or infinity.
        """
        windows_BWN = self._windows(audio_BN.float(), sample_rate)
        batch, count = windows_BWN.shape[:2]
        parts = windows_BWN.flatten(0, 1).split(_WINDOWS_AT_ONCE[self.device.type])
        with _full_fp32():
            outputs = [self._judge(part_BN, sample_rate) for part_BN in parts]
        embeddings, logits = (torch.cat(values) for values in zip(*outputs, strict=True))
        return JudgeOutput(embeddings.unflatten(0, (batch, count)), logits.unflatten(0, (batch, count)))

    def _windows(self, audio_BN: Tensor, sample_rate: int) -> Tensor:
        size = round(self.window_seconds * sample_rate)
        if audio_BN.shape[1] < size:
            raise UserError(
                f"judge {self.id} needs clips of at least {self.window_seconds:g} s, "
                f"got {audio_BN.shape[1] / sample_rate:.2f} s; use longer clips"
            )
        if not torch.isfinite(audio_BN).all():
            raise UserError(f"judge {self.id} was given audio with NaN or infinity; check its generator or codec")
        return audio_BN.unfold(1, size, round(self.hop_seconds * sample_rate))

    def _judge(self, window_BN: Tensor, sample_rate: int) -> tuple[Tensor, Tensor]:
        window_BN = torchaudio.functional.resample(window_BN.to(self.device), sample_rate, self.sample_rate)
        mel_BTM = self.log_mel(window_BN)[:, : musicnn.WINDOW_FRAMES]
        embeddings, logits = self.network(mel_BTM)
        return embeddings.cpu(), logits.cpu()
