"""The metrics of the bundled judge follow what is done to music-like signals."""

import numpy as np
import pytest
import torch

from musicbench.evaluation.metrics.frechet import frechet_audio_distance
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence


@pytest.mark.filterwarnings("ignore:FAD from")
def test_fad_and_kld_rise_with_noise(musicnn, melody):
    clean = torch.stack([melody(seed, 3.0) for seed in range(12)])
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    original = musicnn(clean, 16000)
    fad, kld = [], []
    for level in (0.0, 0.003, 0.03, 0.3):
        output = musicnn(clean + level * noise, 16000)
        fad.append(frechet_audio_distance(original.embeddings_BWD[:, 0], output.embeddings_BWD[:, 0]))
        probabilities = [
            np.stack([class_probabilities(logits_WC.numpy()) for logits_WC in part.logits_BWC])
            for part in (original, output)
        ]
        kld.append(kl_divergence(*probabilities).mean())
    assert fad[0] < 1e-9 and np.all(np.diff(fad) > 0), fad
    assert abs(kld[0]) < 1e-4 and np.all(np.diff(kld) > 0), kld
