"""How near a reconstruction is, and how much of a codebook is used. Pure functions.

Shape suffixes: B batch, T frames, N samples, V codebook size, F frequencies, M mel bands.
"""

from functools import lru_cache

import torch
import torchaudio

MEL_WINDOW = 2048
MEL_HOP = 512
MEL_BANDS = 80
MEL_FLOOR = 1e-4  # -80 dB of full scale


def snr_db(reference_BN: torch.Tensor, estimate_BN: torch.Tensor) -> torch.Tensor:
    """Signal-to-noise ratio 10 log10(|x|^2 / |x - y|^2) in dB, [B]; +inf for equal signals."""
    signal_B = reference_BN.double().square().sum(-1)
    noise_B = (reference_BN.double() - estimate_BN.double()).square().sum(-1)
    return 10.0 * torch.log10(signal_B / noise_B)


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, window: int, bands: int) -> torch.Tensor:
    """Triangular mel filters of unit peak, [window // 2 + 1, bands], over 0 Hz .. Nyquist."""
    return torchaudio.functional.melscale_fbanks(
        window // 2 + 1, 0.0, sample_rate / 2, bands, sample_rate, norm=None, mel_scale="slaney"
    )


def log_mel(
    audio_BN: torch.Tensor,
    sample_rate: int,
    window: int = MEL_WINDOW,
    hop: int = MEL_HOP,
    bands: int = MEL_BANDS,
) -> torch.Tensor:
    """Natural log of ``mel_magnitude``; everything below 1e-4 counts as 1e-4."""
    return mel_magnitude(audio_BN, sample_rate, window, hop, bands).clamp_min(MEL_FLOOR).log()


def mel_magnitude(audio_BN: torch.Tensor, sample_rate: int, window: int, hop: int, bands: int) -> torch.Tensor:
    """Mel magnitude spectrogram (Hann window), [B, bands, frames].

    The scale is that of amplitudes, whatever the window: a sine of amplitude a gives about a.
    """
    audio_BN = audio_BN.float()
    hann = torch.hann_window(window, device=audio_BN.device)
    spectrum_BFT = torch.stft(audio_BN, window, hop, window=hann, return_complex=True, pad_mode="constant")
    # The small constant keeps the gradient of the magnitude finite at silence.
    magnitude_BFT = (spectrum_BFT.real.square() + spectrum_BFT.imag.square() + 1e-12).sqrt() * (2 / hann.sum())
    return mel_filters(sample_rate, window, bands).to(audio_BN.device).T @ magnitude_BFT


def mel_distance(reference_BN: torch.Tensor, estimate_BN: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Mean absolute difference of the natural-log mel spectrograms (2048/512, 80 bands), [B]."""
    difference_BMT = log_mel(reference_BN, sample_rate) - log_mel(estimate_BN, sample_rate)
    return difference_BMT.abs().mean((1, 2))


def perplexity(codes: torch.Tensor, codebook_size: int) -> float:
    """exp of the entropy of the codes' histogram: 1 = one code only, V = all codes equally often.

    Args:
        codes: integers in [0, codebook_size), any shape.
    """
    counts_V = torch.bincount(codes.flatten(), minlength=codebook_size).double()
    probability_V = counts_V / counts_V.sum()
    return float(torch.special.entr(probability_V).sum().exp())
