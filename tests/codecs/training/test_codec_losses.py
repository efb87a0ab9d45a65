import math

import torch

from musicbench.codecs.metrics import snr_db
from musicbench.codecs.training.losses import mel_error, negative_snr_db


def test_snr_is_that_of_the_metric_and_bounded_for_silence() -> None:
    sound_BN, noise_BN = torch.randn(3, 4000) * 0.1, torch.randn(3, 4000) * 0.02
    loss = negative_snr_db(sound_BN, sound_BN + noise_BN)
    torch.testing.assert_close(-loss.double(), snr_db(sound_BN, sound_BN + noise_BN).mean(), atol=1e-3, rtol=0)
    silence_BN = torch.zeros(2, 100)
    assert float(negative_snr_db(silence_BN, silence_BN)) == 0.0
    assert math.isfinite(float(negative_snr_db(sound_BN, sound_BN)))


def test_mel_error_is_the_square_of_the_log_where_the_sound_is_loud() -> None:
    sound_BN = torch.randn(2, 16000) * 0.5
    error = mel_error(sound_BN, sound_BN * 0.8, 16000, 1024)
    torch.testing.assert_close(error, torch.tensor(math.log(0.8) ** 2), rtol=0.05, atol=0)
    assert float(mel_error(sound_BN, sound_BN, 16000, 1024)) == 0.0


def test_mel_error_of_what_is_hardly_audible_is_small() -> None:
    noise_BN, silence_BN = torch.randn(2, 16000), torch.zeros(2, 16000)
    assert float(mel_error(1e-4 * noise_BN, silence_BN, 16000, 1024)) < 0.01
    assert float(mel_error(0.1 * noise_BN, silence_BN, 16000, 1024)) > 4.0
