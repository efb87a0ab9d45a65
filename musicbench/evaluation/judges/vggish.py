"""VGGish (Hershey et al., arXiv 1609.09430): the embedding of the FAD in papers.

Shape suffixes: B batch, T frames of the spectrogram, N samples (of a frame in ``BTN``), C channels, D width of
embeddings, F frequencies, M mel bands.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from musicbench.evaluation.judge_facts import JudgeFacts
from musicbench.evaluation.judges.base import WindowedJudge
from musicbench.evaluation.judges.fadtk import VGGISH
from musicbench.evaluation.judges.weights import find_weights, load_weights

URL = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth"

SAMPLE_RATE = 16000
FRAME, HOP, N_FFT = 400, 160, 512  # 25 ms every 10 ms
FRAMES = 96
WINDOW_SAMPLES = (FRAMES - 1) * HOP + FRAME
MELS, LOW_HZ, HIGH_HZ = 64, 125.0, 7500.0
LOG_OFFSET = 0.01
DIMENSION = 128


def mel_weights() -> np.ndarray:
    """Triangles that are straight in mel, not in Hz, [N_FFT // 2 + 1, MELS] float64; the DC bin counts nowhere."""

    def mel(hertz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log1p(hertz / 700.0)

    bins_F1 = mel(np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1))[:, None]
    edges = np.linspace(mel(np.array(LOW_HZ)), mel(np.array(HIGH_HZ)), MELS + 2)
    low_M, centre_M, high_M = edges[:-2], edges[1:-1], edges[2:]
    rising_FM = (bins_F1 - low_M) / (centre_M - low_M)
    falling_FM = (high_M - bins_F1) / (high_M - centre_M)
    weights_FM = np.minimum(rising_FM, falling_FM).clip(min=0.0)
    weights_FM[0] = 0.0
    return weights_FM


class LogMel(nn.Module):
    """log(mel + 0.01) of the magnitude spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mel_FM", torch.from_numpy(mel_weights()).float(), persistent=False)
        self.register_buffer("window", torch.hann_window(FRAME), persistent=False)
        self.mel_FM: Tensor
        self.window: Tensor

    def forward(self, audio_BN: Tensor) -> Tensor:
        """Audio [B, N] at 16 kHz -> [B, 1 + (N - 400) // 160, 64]; no padding, frame t starts at sample 160 t."""
        frames_BTN = audio_BN.unfold(1, FRAME, HOP) * self.window
        return torch.log(torch.fft.rfft(frames_BTN, N_FFT).abs() @ self.mel_FM + LOG_OFFSET)


class VGGishNetwork(nn.Module):
    """Six convolutions and three dense layers; names of weights as in the published PyTorch conversion.

    That conversion ends in a ReLU; FAD is computed before it (and before PCA and quantisation).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for stage in ((64,), (128,), (256, 256), (512, 512)):
            for width in stage:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(channels * (FRAMES // 16) * (MELS // 16), 4096),
            nn.ReLU(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, DIMENSION),
        )

    def forward(self, mel_BTM: Tensor) -> Tensor:
        """Log-mel [B, 96, 64] -> embeddings [B, 128]."""
        maps_BCTM = self.features(mel_BTM[:, None])
        # The dense weights come from TensorFlow, where channels vary fastest.
        embeddings_BD: Tensor = self.embeddings(maps_BCTM.permute(0, 2, 3, 1).flatten(1))
        return embeddings_BD


class VGGish(WindowedJudge):
    """128-d embeddings of 96 frames every 0.96 s; the last frame reaches 15 ms into the next window."""

    id = "vggish"
    sample_rate = SAMPLE_RATE
    window_seconds = WINDOW_SAMPLES / SAMPLE_RATE
    hop_seconds = FRAMES * HOP / SAMPLE_RATE
    fadtk = VGGISH
    windows_at_once: ClassVar[dict[str, int]] = {"cpu": 10, "cuda": 64}  # each batch reads 270 MB of dense weights

    def __init__(
        self, weights: Path | str | None = None, sha256: str | None = None, device: torch.device | str = "cpu"
    ) -> None:
        """See ``find_weights`` for ``weights`` and ``sha256``.

        Raises:
            UserError: the weights are missing, damaged or others.
        """
        path, self.sha256 = find_weights(self.id, weights, URL, sha256)
        self.device = torch.device(device)
        self.log_mel = LogMel().to(self.device)
        with torch.device("meta"):
            network = VGGishNetwork()
        self.network = network.to_empty(device="cpu")
        load_weights(self.network, path, self.id)
        self.network.to(self.device).eval().requires_grad_(False)

    @classmethod
    def known(cls, weights: Path | str | None = None, sha256: str | None = None) -> JudgeFacts:
        """Which judge these options make, from the weights' file alone; options and errors are those of the judge."""
        return cls.facts(cls.id, find_weights(cls.id, weights, URL, sha256)[1])

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        embeddings_BD = self.network(self.log_mel(window_BN))
        return embeddings_BD, embeddings_BD[:, :0]
