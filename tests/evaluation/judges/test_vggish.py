"""VGGish at full size with random weights, against formulas in NumPy; weights files that are not right."""

import hashlib
import math

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.vggish import WINDOW_SAMPLES, LogMel, VGGish, VGGishNetwork

CONVOLUTIONS = {0: (64, 1), 3: (128, 64), 6: (256, 128), 8: (256, 256), 11: (512, 256), 13: (512, 512)}
DENSE = {0: (4096, 12288), 2: (4096, 4096), 4: (128, 4096)}
POOLED_AFTER = (0, 3, 8, 13)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Names and shapes of the published vggish-10086976.pth."""
    stream = torch.Generator().manual_seed(0)
    shapes = {f"features.{n}": (*shape, 3, 3) for n, shape in CONVOLUTIONS.items()}
    shapes |= {f"embeddings.{n}": shape for n, shape in DENSE.items()}
    state = {}
    for name, shape in shapes.items():
        state[f"{name}.weight"] = torch.randn(shape, generator=stream) * math.sqrt(2 / math.prod(shape[1:]))
        state[f"{name}.bias"] = torch.randn(shape[0], generator=stream) / 10
    return state


@pytest.fixture(scope="module")
def weights(state, tmp_path_factory):
    """A file named after its hash, as torch.hub's are; 288 MB, so it is removed at once."""
    path = tmp_path_factory.mktemp("vggish") / "vggish.pth"
    torch.save(state, path)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    path = path.rename(path.with_name(f"vggish-{digest[:8]}.pth"))
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def vggish(weights) -> VGGish:
    return VGGish(weights)


def mel_formula(audio: np.ndarray) -> np.ndarray:
    """Frame by frame and band by band, a DFT written out."""
    n = np.arange(400)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    transform = np.exp(-2j * np.pi * np.outer(np.arange(257), n) / 512)

    def mel(hertz: float) -> float:
        return 1127 * math.log(1 + hertz / 700)

    edges = [mel(125) + band * (mel(7500) - mel(125)) / 65 for band in range(66)]
    rows = []
    for start in range(0, len(audio) - 399, 160):
        magnitude = np.abs(transform @ (audio[start : start + 400] * taper))
        row = []
        for low, centre, high in zip(edges, edges[1:], edges[2:], strict=False):
            total = 0.0
            for k in range(1, 257):
                at = mel(k * 16000 / 512)
                if low < at < high:
                    slope = (at - low) / (centre - low) if at <= centre else (high - at) / (high - centre)
                    total += slope * magnitude[k]
            row.append(math.log(total + 0.01))
        rows.append(row)
    return np.array(rows)


def network_formula(mel_TM: np.ndarray, state: dict[str, torch.Tensor]) -> np.ndarray:
    """Convolution as a sum over nine shifted maps, in float64."""
    weights = {name: value.double().numpy() for name, value in state.items() if name.startswith("features")}
    maps = mel_TM[None]
    for number in CONVOLUTIONS:
        kernel, bias = weights[f"features.{number}.weight"], weights[f"features.{number}.bias"]
        padded = np.pad(maps, ((0, 0), (1, 1), (1, 1)))
        time, bands = maps.shape[1:]
        out = sum(
            np.tensordot(kernel[:, :, i, j], padded[:, i : i + time, j : j + bands], axes=1)
            for i in range(3)
            for j in range(3)
        )
        maps = np.maximum(out + bias[:, None, None], 0)
        if number in POOLED_AFTER:
            maps = maps.reshape(len(maps), maps.shape[1] // 2, 2, maps.shape[2] // 2, 2).max(axis=(2, 4))
    # In TensorFlow's order: time, band, channel.
    hidden = np.array([maps[c, t, m] for t in range(6) for m in range(4) for c in range(512)])
    for number in DENSE:
        hidden = state[f"embeddings.{number}.weight"].numpy() @ hidden + state[f"embeddings.{number}.bias"].numpy()
        if number != 4:
            hidden = np.maximum(hidden, 0)
    return hidden


def test_front_end_is_the_formula(melody):
    audio = melody(1, 0.5)
    ours = LogMel()(audio[None])[0].numpy()
    assert ours.shape == (48, 64)
    # fp32 against float64: bands that are near silent beside loud ones differ most.
    np.testing.assert_allclose(ours, mel_formula(audio.double().numpy()), rtol=0, atol=5e-4)


def test_a_tone_lies_in_its_band():
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(WINDOW_SAMPLES) / 16000)
    edges = np.linspace(1127 * np.log1p(125 / 700), 1127 * np.log1p(7500 / 700), 66)
    band = int(np.abs(edges[1:-1] - 1127 * np.log1p(1000 / 700)).argmin())
    mel_TM = LogMel()(tone[None])[0]
    assert mel_TM.shape == (96, 64)
    assert int(mel_TM.mean(0).argmax()) == band


def test_whole_judge_is_the_formula(vggish, state, melody):
    """Audio to embedding, negative values included: there is no final ReLU."""
    audio = melody(2, 2.0)
    ours = vggish(audio[None], 16000).embeddings_BWD[0].numpy()
    assert ours.shape == (2, 128) and (ours < 0).mean() > 0.2
    expected = network_formula(mel_formula(audio[15360 : 15360 + 15600].double().numpy()), state)
    np.testing.assert_allclose(ours[1], expected, rtol=0, atol=5e-4 * np.abs(expected).max())


def test_fixed_windows(vggish, melody, check_judge):
    check_judge(vggish, torch.stack([melody(seed, 2.0, 32000) for seed in range(2)]), 32000)


def test_windows_follow_each_other_without_gaps(vggish, melody):
    """96 frames of 10 ms each, so an example's frames are those of the whole clip."""
    audio = melody(3, 4.0)
    whole_TM = LogMel()(audio[None])[0]
    windows_BN = vggish._windows(audio[None], 16000)[0]
    for number, window_N in enumerate(windows_BN):
        torch.testing.assert_close(LogMel()(window_N[None])[0], whole_TM[96 * number : 96 * (number + 1)])


def test_finds_what_torch_hub_has_downloaded(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"no weights at .*checkpoints/vggish-10086976.pth; download https://github"):
        VGGish()
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vggish-10086976.pth").symlink_to(weights)
    with pytest.raises(UserError, match="not 10086976; download"):  # a name that promises another content
        VGGish()


def test_refuses_other_weights(weights, tmp_path):
    with pytest.raises(UserError, match=r"has sha256 .* not 000000"):
        VGGish(weights, sha256="0" * 64)
    torch.save({"features.0.weight": torch.zeros(64, 1, 3, 3)}, tmp_path / "some.pth")
    with pytest.raises(UserError, match=r"holds no weights for it .*Missing key"):
        VGGish(tmp_path / "some.pth")
    for content in (b"", b"not a checkpoint", weights.read_bytes()[:5000]):
        (tmp_path / "damaged.pth").write_bytes(content)
        with pytest.raises(UserError, match="holds no weights for it"):
            VGGish(tmp_path / "damaged.pth")


def test_number_of_weights():
    with torch.device("meta"):
        assert sum(p.numel() for p in VGGishNetwork().parameters()) == 72_141_184
