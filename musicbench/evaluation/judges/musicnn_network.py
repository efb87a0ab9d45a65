"""MusiCNN (Pons and Serra, arXiv 1909.06654): a log-mel front end and a convolutional music tagger.

Shape suffixes: B batch, T frames of the spectrogram, N samples, C channels (in ``BC`` classes), D width of
embeddings, F frequencies, M mel bands.
"""

import torch
import torchaudio
from torch import Tensor, nn

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 3 * SAMPLE_RATE
WINDOW_FRAMES = 187
N_FFT = 512
HOP = 256
MELS = 96

_BATCH_NORM_EPSILON = 1e-3  # TensorFlow's default, with which the weights were trained


class LogMel(nn.Module):
    """Log-compressed mel power spectrogram, equal to librosa's defaults: log10(10000 mel + 1).

    Upstream casts the mel values to fp16, which overflows on loud music; here everything is fp32.
    """

    def __init__(self) -> None:
        super().__init__()
        fbank = torchaudio.functional.melscale_fbanks(
            N_FFT // 2 + 1, 0.0, SAMPLE_RATE / 2, MELS, SAMPLE_RATE, norm="slaney", mel_scale="slaney"
        )
        self.register_buffer("fbank_FM", fbank, persistent=False)
        self.register_buffer("window", torch.hann_window(N_FFT), persistent=False)
        self.fbank_FM: Tensor
        self.window: Tensor

    def forward(self, audio_BN: Tensor) -> Tensor:
        """Audio [B, N] at 16 kHz -> log-mel [B, 1 + N // 256, 96]; frame t is centred on sample 256 t.

        Frames that reach over the ends see zeros there, never audio from outside the given samples.
        """
        spectrum = torch.stft(
            audio_BN, N_FFT, HOP, window=self.window, center=True, pad_mode="constant", return_complex=True
        )
        power_BTF = (spectrum.real.square() + spectrum.imag.square()).transpose(1, 2)
        return torch.log10(10000.0 * (power_BTF @ self.fbank_FM) + 1.0)


class _Conv(nn.Module):
    """Convolution, ReLU, batch norm and maximum over frequency.

    Rectifying and normalising are monotone in each channel (falling where the norm's weight is negative), so
    the maximum is taken first, of the convolution's output: the same value for a sixtieth of the work. A falling
    channel needs the minimum, which is the maximum of the negated filter's output, negated: exactly, bit for bit.
    """

    def __init__(self, channels: int, kernel: tuple[int, int], pad_frames: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, channels, kernel)
        self.norm = nn.BatchNorm1d(channels, eps=_BATCH_NORM_EPSILON)
        self.pad_frames = pad_frames

    def forward(self, x_BTM: Tensor) -> Tensor:
        """[B, T, M] -> [B, T, C]; zero-padded in time, unpadded in frequency."""
        padded = nn.functional.pad(x_BTM, (0, 0, *self.pad_frames))
        bias_C = self.conv.bias
        assert bias_C is not None
        sign_C = torch.where(self.norm.weight < 0, -1.0, 1.0)
        filters = self.conv.weight * sign_C[:, None, None, None]
        highest_BCT = nn.functional.conv2d(padded[:, None], filters, bias_C * sign_C).amax(dim=3)
        return self.norm(torch.relu(highest_BCT * sign_C[:, None])).transpose(1, 2)


class MusiCNNNetwork(nn.Module):
    """The MusiCNN tagger: timbral and temporal filters, a residual mid-end and a pooled dense back-end."""

    def __init__(self, classes: int = 50) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=_BATCH_NORM_EPSILON)
        # Timbral filters span 0.4 and 0.7 of the mel bands; even kernels pad one frame more at the end.
        self.front = nn.ModuleList(
            [_Conv(204, (7, 38), (3, 3)), _Conv(204, (7, 67), (3, 3))]
            + [_Conv(51, (frames, 1), ((frames - 1) // 2, frames // 2)) for frames in (128, 64, 32)]
        )
        self.middle = nn.ModuleList([_Conv(64, (7, width), (3, 3)) for width in (561, 64, 64)])
        self.pool_norm = nn.BatchNorm1d(2 * 753, eps=_BATCH_NORM_EPSILON)
        self.dense = nn.Linear(2 * 753, 200)
        self.dense_norm = nn.BatchNorm1d(200, eps=_BATCH_NORM_EPSILON)
        self.output = nn.Linear(200, classes)

    def pooled(self, mel_BTM: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel [B, T, 96] -> (mean over time, maximum over time) of the 753 features, each [B, 753]."""
        mel_BTM = self.input_norm(mel_BTM[:, None])[:, 0]
        front_BTC = torch.cat([conv(mel_BTM) for conv in self.front], dim=2)
        first_BTC = self.middle[0](front_BTC)
        second_BTC = first_BTC + self.middle[1](first_BTC)
        third_BTC = second_BTC + self.middle[2](second_BTC)
        all_BTC = torch.cat([front_BTC, first_BTC, second_BTC, third_BTC], dim=2)
        return all_BTC.mean(dim=1), all_BTC.amax(dim=1)

    def forward(self, mel_BTM: Tensor) -> tuple[Tensor, Tensor]:
        """Log-mel [B, T, 96] -> (penultimate embedding [B, 200], tag logits [B, 50])."""
        mean_BC, max_BC = self.pooled(mel_BTM)
        pooled = torch.stack([max_BC, mean_BC], dim=2).flatten(1)  # interleaved, as the dense weights expect
        penultimate_BD = self.dense_norm(torch.relu(self.dense(self.pool_norm(pooled))))
        return penultimate_BD, self.output(penultimate_BD)
