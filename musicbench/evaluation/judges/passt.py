"""PaSST (Koutini et al., arXiv 2110.05069): the classifier of the KLD in papers.

Shape suffixes: B batch, T frames of the spectrogram, N samples, C classes, D width of embeddings, F frequencies, M
mel bands.
"""

import contextlib
import io
import warnings
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import JudgeFacts
from musicbench.evaluation.judges.base import WindowedJudge
from musicbench.evaluation.judges.weights import find_weights, load_weights

URL = "https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt"
ARCHITECTURE = "passt_s_swa_p16_128_ap476"
SAMPLE_RATE = 32000
FFT, WINDOW, HOP, MELS, HIGH_HZ = 1024, 800, 320, 128, 15000.0
CLASSES = 527


class PaSST(WindowedJudge):
    """768-d embeddings and the logits of AudioSet's 527 classes, of 10 s every 10 s, as audiocraft cuts clips.

    A rest shorter than 10 s is not heard; audiocraft judges it as a segment of its own.
    KLD takes their softmax (``class_probabilities``), although AudioSet's labels do not exclude each other. The
    labels are the classes' numbers: the checkpoint holds no names.
    """

    id = "passt-s-swa"
    sample_rate = SAMPLE_RATE
    window_seconds = 10.0
    hop_seconds = 10.0
    labels = tuple(str(number) for number in range(CLASSES))
    windows_at_once: ClassVar[dict[str, int]] = {"cpu": 1, "cuda": 16}

    def __init__(
        self, weights: Path | str | None = None, sha256: str | None = None, device: torch.device | str = "cpu"
    ) -> None:
        """See ``find_weights`` for ``weights`` and ``sha256``.

        Raises:
            UserError: the package or the weights are missing, or the weights are damaged or others.
        """
        try:
            from hear21passt.models.passt import get_model
        except ImportError as error:
            raise UserError(
                f"judge {self.id} needs the package hear21passt: pip install 'musicbench[judges]'"
            ) from error
        path, self.sha256 = find_weights(self.id, weights, URL, sha256)
        self.device = torch.device(device)
        with contextlib.redirect_stdout(io.StringIO()):  # it prints the whole network
            self.network: nn.Module = get_model(arch=ARCHITECTURE, pretrained=False, n_classes=CLASSES)
        load_weights(self.network, path, self.id)
        self.network.to(self.device).eval().requires_grad_(False)
        self.log_mel = LogMel().to(self.device)

    @classmethod
    def known(cls, weights: Path | str | None = None, sha256: str | None = None) -> JudgeFacts:
        """Which judge these options make, from the weights' file alone; options and errors are those of the judge."""
        return cls.facts(cls.id, find_weights(cls.id, weights, URL, sha256)[1])

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        mel_B1MT = self.log_mel(window_BN)[:, None]
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            # It prints every shape of its first batch, and warns that 10 s are 1000 frames, not 998.
            warnings.simplefilter("ignore")
            logits_BC, embeddings_BD = self.network(mel_B1MT)
        return embeddings_BD, logits_BC


class LogMel(nn.Module):
    """PaSST's front end: pre-emphasis, power spectrum, Kaldi's mel bands, logarithm, fixed normalisation.

    The package has its own, which needs a return type of ``torch.stft`` that PyTorch is giving up.
    """

    def __init__(self) -> None:
        super().__init__()
        from torchaudio.compliance.kaldi import get_mel_banks

        bands_MF, _ = get_mel_banks(MELS, FFT, SAMPLE_RATE, 0.0, HIGH_HZ, 100.0, -500.0, 1.0)
        # Kaldi leaves out the Nyquist bin.
        self.register_buffer("bands_MF", nn.functional.pad(bands_MF, (0, 1)), persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW, periodic=False), persistent=False)
        self.bands_MF: Tensor
        self.window: Tensor

    def forward(self, audio_BN: Tensor) -> Tensor:
        """Audio [B, N] at 32 kHz -> [B, 128, 1 + (N - 1) // 320]."""
        emphasised_BN = audio_BN[:, 1:] - 0.97 * audio_BN[:, :-1]
        spectrum_BFT = torch.stft(emphasised_BN, FFT, HOP, WINDOW, self.window, return_complex=True)
        power_BFT = spectrum_BFT.real.square() + spectrum_BFT.imag.square()
        return ((self.bands_MF @ power_BFT + 1e-5).log() + 4.5) / 5.0
