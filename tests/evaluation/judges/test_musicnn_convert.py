"""The port against outputs of the original package under TensorFlow, and its front end against librosa."""

from pathlib import Path

import librosa
import numpy as np
import pytest
import torch
from torch import nn

from musicbench.evaluation.judges.musicnn_network import WINDOW_FRAMES, LogMel, MusiCNNNetwork, _Conv


@pytest.fixture(scope="module")
def tensorflow_run() -> dict[str, np.ndarray]:
    """Two windows of MTT_musicnn (musicnn 0.1.0, TensorFlow): input `mel` and the layers' outputs."""
    with np.load(Path(__file__).parent / "musicnn_reference.npz") as saved:
        return dict(saved)


@torch.no_grad()
def test_equals_tensorflow(musicnn, tensorflow_run):
    mel_BTM = torch.from_numpy(tensorflow_run["mel"])
    penultimate, logits = musicnn.network(mel_BTM)
    mean_pool, max_pool = musicnn.network.pooled(mel_BTM)
    for ours, name in ((penultimate, "penultimate"), (logits, "logits"), (mean_pool, "mean_pool")):
        np.testing.assert_allclose(ours.numpy(), tensorflow_run[name], rtol=0, atol=1e-5, err_msg=name)
    # These reach 90, where a unit in the last place is already 8e-6: 1e-5 of their range.
    scale = np.abs(tensorflow_run["max_pool"]).max()
    np.testing.assert_allclose(max_pool.numpy() / scale, tensorflow_run["max_pool"] / scale, rtol=0, atol=1e-5)


# Rounding is relative to the loudest bin, so loud audio has a higher floor in the empty bands.
@pytest.mark.parametrize(("gain", "atol"), [(1e-4, 1e-6), (0.3, 2e-5), (1.0, 2e-5), (100.0, 5e-4)])
def test_front_end_equals_librosa(gain, atol, melody):
    audio = melody(1, 3.0) * gain
    expected = librosa.feature.melspectrogram(y=audio.numpy(), sr=16000, n_fft=512, hop_length=256, n_mels=96)
    ours = LogMel()(audio[None])[0].numpy()
    assert ours.shape[0] == WINDOW_FRAMES + 1  # the package's 187 frames leave out the last
    np.testing.assert_allclose(ours, np.log10(10000 * expected.T + 1), rtol=0, atol=atol)


@torch.no_grad()
def test_maximum_before_norm_is_the_maximum_after():
    torch.manual_seed(0)
    layer = _Conv(8, (4, 5), (1, 2)).eval()
    nn.init.normal_(layer.norm.weight)  # some negative
    nn.init.normal_(layer.norm.bias)
    layer.norm.running_mean.normal_()
    layer.norm.running_var.uniform_(0.5, 2)
    x_BTM = torch.randn(3, 20, 12)
    slow = torch.relu(layer.conv(nn.functional.pad(x_BTM, (0, 0, 1, 2))[:, None]))
    slow = torch.stack([layer.norm(slow[..., m]) for m in range(slow.shape[3])]).amax(0)
    torch.testing.assert_close(layer(x_BTM), slow.transpose(1, 2), rtol=0, atol=1e-6)
    # The negated maximum of what negated filters say is the minimum, to the last bit.
    lowest, highest = layer.conv(nn.functional.pad(x_BTM, (0, 0, 1, 2))[:, None]).aminmax(dim=3)
    extreme = torch.where(layer.norm.weight[:, None] < 0, lowest, highest)
    assert torch.equal(layer(x_BTM), layer.norm(torch.relu(extreme)).transpose(1, 2))


def test_shapes_and_parameter_count():
    network = MusiCNNNetwork().eval()
    penultimate, logits = network(torch.rand(2, WINDOW_FRAMES, 96))
    assert penultimate.shape == (2, 200) and logits.shape == (2, 50)
    assert sum(parameter.numel() for parameter in network.parameters()) == 787_159
