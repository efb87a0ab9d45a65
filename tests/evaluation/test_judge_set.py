"""From audio to FAD, KLD and CLAP score with any three judges, and the configurations that name them."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from musicbench.commands.config import compose, instantiated
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import JudgeSet, audio_scores
from musicbench.evaluation.judges import JudgeOutput, MusiCNN

RATE = 100


class StubClap:
    """Embeds a clip as its loudness in two halves, a caption as the two numbers in it."""

    id, sha256, sample_rate, window_seconds, hop_seconds, labels = "clap", "6" * 64, RATE, 4.0, 1.0, ()

    def __call__(self, audio_BN: torch.Tensor, sample_rate: int) -> JudgeOutput:
        halves_BWHN = audio_BN.unfold(1, 4 * sample_rate, sample_rate).unflatten(-1, (2, -1))
        embeddings = halves_BWHN.square().mean(-1)
        return JudgeOutput(embeddings, embeddings[..., :0])

    def text(self, captions):
        return torch.tensor([[float(word) for word in caption.split()] for caption in captions])


@pytest.fixture
def clips():
    stream = torch.Generator().manual_seed(0)
    return [[torch.randn(600, generator=stream) * (1 + n) / 4 for n in range(6)] for _ in range(2)]


def test_scores_are_the_formulas(stub_judge, clips):
    generated, originals = clips
    captions = [f"{n + 1} 2" for n in range(6)]
    found = audio_scores(JudgeSet(stub_judge, stub_judge, StubClap()), generated, originals, captions, RATE)
    heard = [[stub_judge(clip[None], RATE) for clip in side] for side in clips]
    x, y = (torch.cat([h.embeddings_BWD[0] for h in side]).double().numpy() for side in heard)
    cov_x, cov_y = np.cov(x.T), np.cov(y.T)
    fad = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(cov_x + cov_y) - 2 * np.trace(sqrtm(cov_x @ cov_y)).real
    assert found.fad == pytest.approx(fad, rel=1e-6)
    for n in range(6):
        q, p = (heard[side][n].logits_BWC[0].double().softmax(-1).mean(0).numpy() for side in (0, 1))
        assert found.kld_N[n] == pytest.approx((p * np.log(p / (q + 1e-6))).sum(), abs=1e-9)
        windows = [generated[n][s * RATE : (s + 4) * RATE].double() for s in range(3)]
        audio = sum(torch.stack([w[:200].square().mean(), w[200:].square().mean()]) for w in windows)
        said = torch.tensor([n + 1.0, 2.0], dtype=torch.float64)
        assert found.clap_N[n] == pytest.approx(float(audio @ said / audio.norm() / said.norm()), abs=1e-6)


def test_equal_clips_are_nearer(stub_judge, clips):
    generated, originals = clips
    judges = JudgeSet(stub_judge, stub_judge)
    same = audio_scores(judges, originals, originals, [""] * 6, RATE)
    other = audio_scores(judges, generated, originals, [""] * 6, RATE)
    assert same.fad < 1e-9 < other.fad
    assert np.abs(same.kld_N).max() < 1e-4 < other.kld_N.mean()
    assert same.clap_N is None


def test_refusals(stub_judge, clips):
    generated, originals = clips
    with pytest.raises(UserError, match="5 generated clips, 6 originals"):
        audio_scores(JudgeSet(stub_judge, stub_judge), generated[:5], originals, [""] * 6, RATE)
    with pytest.raises(UserError, match="only embeds"):
        audio_scores(JudgeSet(stub_judge, StubClap()), generated, originals, [""] * 6, RATE)


def test_bundled_configuration_loads_and_scores(melody):
    judges = instantiated(compose("doctor", ["judges=bundled"]).judges)
    assert isinstance(judges, JudgeSet) and isinstance(judges.fad, MusiCNN) and isinstance(judges.kld, MusiCNN)
    clips = [melody(seed, 4.0) for seed in range(3)]
    with pytest.warns(UserWarning, match="singular"):
        found = audio_scores(judges, clips[::-1], clips, [""] * 3, 16000)
    assert found.kld_N[0] > 0.01 > found.kld_N[1]


@pytest.mark.parametrize("choice", ["paper", "paper_transformers"])
def test_the_papers_judges_are_one_choice_away(choice, tmp_path, monkeypatch):
    """Every target exists and takes its keys; without weights the first of them says what is missing."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    config = compose("doctor", [f"judges={choice}"]).judges
    with pytest.raises(UserError, match="judge vggish: no weights"):
        instantiated(config)
    for role in ("fad", "kld", "clap"):
        with pytest.raises(UserError, match=r"judge .*(no weights|needs the package|cannot be loaded)"):
            instantiated(config[role])
