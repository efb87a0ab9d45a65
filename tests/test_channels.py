"""Channels are averaged in one place."""

import numpy as np
import pytest
import torch

from musicbench.channels import mixed


@pytest.mark.parametrize(("channels", "wanted"), [(1, 1), (2, 2), (2, 1), (1, 2), (3, 1), (3, 2)])
def test_channels_are_kept_averaged_or_repeated(channels: int, wanted: int) -> None:
    audio_CN = torch.randn(channels, 50, generator=torch.Generator().manual_seed(channels))
    found_CN = mixed(audio_CN, wanted)
    if channels == wanted:
        assert found_CN is audio_CN
    else:
        mean_N = audio_CN.numpy().T.mean(axis=1)  # as numpy sums them
        np.testing.assert_array_equal(found_CN.numpy(), np.stack([mean_N] * wanted))
