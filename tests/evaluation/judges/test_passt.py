"""PaSST by the package's own network, one of its twelve blocks, against the package's own front end and wrapper."""

import contextlib
import io
import warnings

import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.passt import ARCHITECTURE, PaSST
from musicbench.evaluation.metrics.kld import class_probabilities

NEEDS = "hear21passt is not installed: pip install 'musicbench[judges]'"


@pytest.fixture(scope="module")
def package():
    module = pytest.importorskip("hear21passt.models.passt", reason=NEEDS)
    full = module.PaSST
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PaSST", lambda **options: full(**{**options, "depth": 1}))
        yield module


@pytest.fixture(scope="module")
def weights(package, tmp_path_factory):
    torch.manual_seed(0)
    with contextlib.redirect_stdout(io.StringIO()):
        network = package.get_model(arch=ARCHITECTURE, pretrained=False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    path = tmp_path_factory.mktemp("passt") / "passt.pt"
    torch.save(network.state_dict(), path)
    yield path
    path.unlink()


@pytest.fixture(scope="module")
def passt(weights) -> PaSST:
    return PaSST(weights)


def test_equals_the_package(passt, weights, melody):
    from hear21passt.models.preprocess import AugmentMelSTFT
    from hear21passt.wrapper import PasstBasicWrapper

    audio = torch.stack([melody(seed, 10.0, 32000) for seed in range(2)])
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        options = {"norm": 1, "fmin_aug_range": 10, "fmax_aug_range": 2000}
        wrapper = PasstBasicWrapper(AugmentMelSTFT(**options), passt.network).eval()
        mel = wrapper.mel(audio)
        expected = wrapper(audio)  # logits and embedding, side by side
    torch.testing.assert_close(passt.log_mel(audio), mel, rtol=0, atol=1e-4)
    output = passt(audio, 32000)
    ours = torch.cat([output.logits_BWC, output.embeddings_BWD], dim=2)[:, 0]
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-4)
    assert output.logits_BWC.shape == (2, 1, 527) and output.embeddings_BWD.shape == (2, 1, 768)


def test_probabilities_are_audiocraft_s(passt, melody):
    """Softmax of each 10 s segment, then the mean over segments."""
    logits_WC = passt(melody(5, 20.0, 32000)[None], 32000).logits_BWC[0]
    assert len(logits_WC) == 2
    expected = logits_WC.double().softmax(dim=-1).mean(dim=0)
    torch.testing.assert_close(torch.from_numpy(class_probabilities(logits_WC.numpy())), expected, rtol=1e-6, atol=0)


def test_fixed_windows(passt, melody, check_judge):
    check_judge(passt, torch.stack([melody(seed, 10.0, 32000) for seed in range(2)]), 32000)


def test_refuses_other_weights(package, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"no weights at .*passt-s-f128-p16-s10-ap.476-swa.pt; download https://github"):
        PaSST()
    torch.save({"cls_token": torch.zeros(1)}, tmp_path / "x.pt")
    with pytest.raises(UserError, match="holds no weights for it"):
        PaSST(tmp_path / "x.pt")


def test_says_how_to_get_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "hear21passt.models.passt", None)
    with pytest.raises(UserError, match="pip install 'musicbench"):
        PaSST("anything.pt")
