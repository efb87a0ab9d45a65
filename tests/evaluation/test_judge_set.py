"""Any three judges: what they hear, their scores, and the configurations that name them."""

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.audio_metrics import Metrics, measured
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import JudgeSet, hear
from musicbench.evaluation.judges import JudgeOutput, MusiCNN
from musicbench.evaluation.likelihood import shuffled_captions
from musicbench.evaluation.metric import Clips
from musicbench.runs.compose import compose, instantiated

RATE = 100


class StubClap:
    """Embeds a clip as its loudness in two halves, a caption as the two numbers in it."""

    id, sha256, sample_rate, window_seconds, hop_seconds, labels = "clap", "6" * 64, RATE, 4.0, 1.0, ()
    class_kind = "softmax"

    def __call__(self, audio_BN: torch.Tensor, sample_rate: int) -> JudgeOutput:
        halves_BWHN = audio_BN.unfold(1, 4 * sample_rate, sample_rate).unflatten(-1, (2, -1))
        embeddings = halves_BWHN.square().mean(-1)
        return JudgeOutput(embeddings, embeddings[..., :0])

    def text(self, captions):
        return torch.tensor([[float(word) for word in caption.split()] for caption in captions])


@pytest.fixture
def clips():
    stream = torch.Generator().manual_seed(0)
    return [torch.randn(600, generator=stream) * (1 + n) / 4 for n in range(6)]


def scored(stub_judge, clips, captions, pieces) -> Metrics:
    """The metrics of clips that a text-audio judge has heard; they have no reference, codes or originals."""
    judges = JudgeSet(stub_judge, stub_judge, StubClap())
    heard = judges.by_role(hear(judges.roles.values(), [(clip[None], RATE) for clip in clips]))
    return measured(Clips(judges, heard, pieces, 2, captions=captions, clap=judges.clap))


def test_scores_are_cosines_of_averaged_windows(stub_judge, clips):
    captions = [f"{n + 1} 2" for n in range(6)]
    found = scored(stub_judge, clips, captions, list("aabbcc"))
    assert list(found.values) == ["clap", "clap_shuffled"]
    shuffled = [[float(word) for word in text.split()] for text in shuffled_captions(captions, list("aabbcc"))]
    for n in range(6):
        windows = [clips[n][s * RATE : (s + 4) * RATE].double() for s in range(3)]
        mean = sum(torch.stack([w[:200].square().mean(), w[200:].square().mean()]) for w in windows)
        for name, said in (("clap", [n + 1.0, 2.0]), ("clap_shuffled", shuffled[n])):
            said = torch.tensor(said, dtype=torch.float64)
            expected = float(mean @ said / mean.norm() / said.norm())
            assert found.values[name]["per_clip"][n] == pytest.approx(expected, abs=1e-6)


def test_every_judge_hears_every_clip_once_at_its_rate(stub_judge):
    rates = [RATE] * 5 + [2 * RATE, RATE]
    clips = [(torch.full((1, 5 * rate), 0.01 * n), rate) for n, rate in enumerate(rates)]
    other = StubClap()
    heard = hear([stub_judge, other, stub_judge], iter(clips))
    assert list(heard) == [judge_key(stub_judge), judge_key(other)]
    for n, found in enumerate(heard[judge_key(stub_judge)]):
        assert found.embeddings_WD.shape == (3, 6)
        np.testing.assert_allclose(found.embeddings_WD, (0.01 * n) ** 2, rtol=1e-5)


def test_judges_of_the_same_weights_with_other_windows_are_two(stub_judge):
    class EveryHalf(type(stub_judge)):
        hop_seconds = 0.5

        def __call__(self, audio_BN, sample_rate):
            output = super().__call__(audio_BN, sample_rate)
            return JudgeOutput(output.embeddings_BWD + 1, output.logits_BWC)

    heard = hear([stub_judge, EveryHalf()], [(torch.zeros(1, 5 * RATE), RATE)])
    assert len(heard) == 2 and heard[judge_key(EveryHalf())][0].embeddings_WD.min() == 1


def test_one_piece_has_no_other_captions(stub_judge, clips):
    found = scored(stub_judge, clips[:1], ["1 2"], ["a"])
    assert found.values["clap"]["value"] is not None and found.values["clap_shuffled"] == {"value": None}
    assert "cannot be shuffled" in found.failures[0]


def test_a_clip_is_judged_before_the_next_is_read(stub_judge):
    made, heard_at = [], []

    class Watched(type(stub_judge)):
        def __call__(self, audio_BN, sample_rate):
            heard_at.append(len(made))
            return super().__call__(audio_BN, sample_rate)

    def clips():
        for _ in range(4):
            made.append(1)
            yield torch.zeros(1, 5 * RATE), RATE

    hear([Watched()], clips())
    assert heard_at == [1, 2, 3, 4]


def test_the_judge_of_kld_needs_classes(stub_judge):
    with pytest.raises(UserError, match="only embeds"):
        JudgeSet(stub_judge, StubClap())


def test_bundled_configuration_loads():
    parts = compose("doctor", ["judges=bundled"]).judges
    judges = JudgeSet(**{role: part and instantiated("judges", part) for role, part in parts.items()})
    assert isinstance(judges.fad, MusiCNN) and isinstance(judges.kld, MusiCNN)
    assert list(judges.roles) == ["fad", "kld"]


@pytest.mark.parametrize("choice", ["paper", "paper_transformers"])
def test_the_papers_judges_are_one_choice_away(choice, tmp_path, monkeypatch):
    """Every target exists and takes its keys; without weights the first of them says what is missing."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    config = compose("train", [f"judges={choice}"]).judges
    for role in ("fad", "kld", "clap"):
        with pytest.raises(UserError, match=r"judge .*(no weights|needs the package|cannot be loaded)"):
            instantiated("judges", config[role])
