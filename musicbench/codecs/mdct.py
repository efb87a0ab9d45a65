"""The modified discrete cosine transform and its sine counterpart: a lapped, orthonormal frame transform.

Shape suffixes: B batch, T frames, N samples (of a window in ``BTN``), F frequencies, H samples of a hop.
"""

import math
from functools import lru_cache

import torch


def mdct(audio_BN: torch.Tensor, hop: int) -> torch.Tensor:
    """Coefficients [B, T - 1, hop] of audio [B, T * hop], sine window of 2 * hop; ``inverse_mdct`` undoes it."""
    return complex_mdct(audio_BN, hop).real


def complex_mdct(audio_BN: torch.Tensor, hop: int) -> torch.Tensor:
    """The MDCT as the real part and its sine counterpart, negated, as the imaginary part: complex [B, T - 1, hop].

    The quadrature makes magnitudes steady where those of the MDCT alone fluctuate with the phase.
    """
    before_N, after_F = _twiddles(hop, audio_BN.device)
    return torch.fft.fft(audio_BN.unfold(-1, 2 * hop, hop) * before_N)[..., :hop] * after_F


def inverse_mdct(coefficients_BTF: torch.Tensor, hop: int) -> torch.Tensor:
    """Audio [B, (T + 1) * hop] of coefficients [B, T, hop] by overlap-add.

    The first and the last ``hop`` samples lie in one window only, so they come back windowed and aliased.
    """
    before_N, after_F = _twiddles(hop, coefficients_BTF.device)
    spectrum_BTF = coefficients_BTF * after_F.conj()
    windows_BTN = (torch.fft.ifft(spectrum_BTF, 2 * hop) * before_N.conj()).real * (2 * hop)
    first_BTH, second_BTH = windows_BTN.chunk(2, -1)
    pad = torch.nn.functional.pad
    return (pad(first_BTH, (0, 0, 0, 1)) + pad(second_BTH, (0, 0, 1, 0))).flatten(1)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # kept for trainings, even if a decoding asks for it first
def _twiddles(hop: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """The factors before and after an FFT of 2 * hop that turn it into the transform.

    The phase (n + n0)(k + 1/2) pi / hop of the definition, n0 = (hop + 1) / 2, is the FFT's nk pi / hop and these.
    """
    n, k = torch.arange(2 * hop, dtype=torch.float64), torch.arange(hop, dtype=torch.float64)
    window_N = torch.sin(math.pi / (2 * hop) * (n + 0.5))
    before_N = torch.polar(window_N, -math.pi / (2 * hop) * n)
    scale_F = torch.full((hop,), math.sqrt(2 / hop), dtype=torch.float64)
    after_F = torch.polar(scale_F, -math.pi / (2 * hop) * (hop + 1) * (k + 0.5))
    return before_N.to(device, torch.complex64), after_F.to(device, torch.complex64)
