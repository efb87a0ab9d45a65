import math

import numpy as np
import torch

from musicbench.codecs.mdct import complex_mdct, inverse_mdct, mdct

HOP = 6


def expected(window: np.ndarray, wave: np.ufunc) -> list[float]:
    """The definition, sum by sum."""
    n = np.arange(2 * HOP)
    sine = np.sin(np.pi / (2 * HOP) * (n + 0.5))
    return [
        math.sqrt(2 / HOP) * float(np.sum(sine * window * wave(np.pi / HOP * (n + 0.5 + HOP / 2) * (k + 0.5))))
        for k in range(HOP)
    ]


def test_transforms_follow_their_formulas() -> None:
    audio_N = torch.randn(HOP * 4, generator=torch.Generator().manual_seed(0))
    window = audio_N[HOP : 3 * HOP].double().numpy()
    np.testing.assert_allclose(mdct(audio_N[None], HOP)[0, 1].numpy(), expected(window, np.cos), atol=1e-5)
    np.testing.assert_allclose(
        -complex_mdct(audio_N[None], HOP)[0, 1].imag.numpy(), expected(window, np.sin), atol=1e-5
    )


def test_mdct_restores_the_audio_and_keeps_its_energy() -> None:
    audio_BN = torch.nn.functional.pad(torch.randn(2, 640 * 7), (640, 640))
    coefficients_BTF = mdct(audio_BN, 640)
    assert coefficients_BTF.shape == (2, 8, 640)
    torch.testing.assert_close(inverse_mdct(coefficients_BTF, 640), audio_BN, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(coefficients_BTF.square().sum((1, 2)), audio_BN.square().sum(1), rtol=1e-3, atol=0)


def test_magnitudes_of_a_steady_tone_are_steady() -> None:
    tone_1N = torch.sin(2 * torch.pi * 0.08167 * torch.arange(640 * 9))[None]
    frames_TF = complex_mdct(tone_1N, 640)[0]
    peak = int(frames_TF.abs().sum(0).argmax())
    magnitude_T = frames_TF.abs()[:, peak]
    assert float(magnitude_T.std() / magnitude_T.mean()) < 0.02
    assert float(frames_TF.real[:, peak].std() / magnitude_T.mean()) > 0.3
