"""Reconstruction losses of the codec training.

Shape suffixes: B batch, T frames, N samples, M mel bands.
"""

import torch

from musicbench.codecs.metrics import mel_magnitude

QUIET_POWER = 1e-8  # -80 dBFS: keeps the ratio finite for silence
QUIET_AMPLITUDE = 1e-3
MOST_BANDS = 128


def negative_snr_db(reference_BN: torch.Tensor, estimate_BN: torch.Tensor) -> torch.Tensor:
    """Mean over the batch of -SNR in dB, bounded for silence and for perfect estimates."""
    signal_B = reference_BN.square().mean(-1)
    noise_B = (reference_BN - estimate_BN).square().mean(-1)
    return 10.0 * torch.log10((noise_B + QUIET_POWER) / (signal_B + QUIET_POWER)).mean()


def mel_error(reference_BN: torch.Tensor, estimate_BN: torch.Tensor, sample_rate: int, window: int) -> torch.Tensor:
    """Mean square of the difference of log(mel + 0.001) (hop: a quarter window).

    What is hardly audible weighs little, and large errors, such as a missing harmonic, weigh most.
    """
    # narrow windows have too few bins for many bands
    settings = sample_rate, window, window // 4, min(MOST_BANDS, window // 16)
    with torch.no_grad():
        target_BMT = (mel_magnitude(reference_BN, *settings) + QUIET_AMPLITUDE).log()
    return (target_BMT - (mel_magnitude(estimate_BN, *settings) + QUIET_AMPLITUDE).log()).square().mean()
