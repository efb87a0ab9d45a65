"""clap_mini as a judge: round trip, scores of single clips and batches, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.judge import CARD, WEIGHTS, ClapMini, piece_hash, write_clap
from musicbench.evaluation.clap_mini.network import ClapNetwork, pool_states, pool_windows
from musicbench.evaluation.clap_mini.retrieval import Retrieval
from tests.damage import edit_card

JUDGE, TEXT = "a" * 64, "b" * 64
GOOD = Retrieval((1,) * 40 + (30,) * 5, (1,) * 45, 45)
CHANCE = Retrieval(tuple(range(1, 46)), (1,) * 45, 45)


@pytest.fixture
def network() -> ClapNetwork:
    torch.manual_seed(3)
    network = ClapNetwork(audio_features=4, text_features=5, hidden=16, dim=6, dropout=0.5)
    network.audio.standardise(2 + torch.randn(30, 4))
    network.text.standardise(torch.randn(30, 5) - 1)
    return network.eval()


def card(network: ClapNetwork, found: Retrieval = GOOD) -> dict:
    test = {"text_to_audio": found.figures(), "audio_to_text": GOOD.figures()}
    identity = {"judge": {"id": "j", "sha256": JUDGE}, "text": {"id": "t", "sha256": TEXT}}
    training = {"data": {"pieces": [piece_hash("a known piece")]}}
    return {**identity, "network": network.sizes, "training": training, "test": test}


@pytest.fixture
def folder(tmp_path: Path, network) -> Path:
    return write_clap(tmp_path / "clap", network, card(network))


@pytest.fixture
def inputs() -> tuple[list[np.ndarray], list[torch.Tensor]]:
    """Clips of 3 to 5 windows of 4 numbers, and captions of 1 to 6 tokens of 5."""
    random = np.random.default_rng(0)
    clips = [random.normal(2, 1, (3 + n % 3, 4)).astype(np.float32) for n in range(6)]
    states = [torch.from_numpy(random.normal(size=(1 + n, 5))).float() for n in range(6)]
    return clips, states


def padded(states: list[torch.Tensor], filler: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, states))
    rows = [torch.cat([s, torch.full((longest - len(s), s.shape[1]), filler)]) for s in states]
    return torch.stack(rows), torch.arange(longest) < torch.tensor([[len(s)] for s in states])


def test_a_batch_scores_as_its_clips_one_by_one(folder, inputs):
    clap = ClapMini(folder)
    clips, states = inputs
    batch = clap.score(JUDGE, clips, *padded(states, filler=50.0))
    single = [clap.score(JUDGE, [clip], *padded([s]))[0] for clip, s in zip(clips, states, strict=True)]
    np.testing.assert_array_equal(batch, single)
    turned = clap.score(JUDGE, clips[::-1], *padded(states[::-1], filler=7.0))
    np.testing.assert_array_equal(turned[::-1], batch)
    assert batch.dtype == np.float64
    assert np.abs(batch).max() <= 1 + 1e-6 and batch.std() > 0.01


def test_score_is_the_cosine_written_out(folder, network, inputs):
    """From the weights in the file, with numpy."""
    clips, states = inputs
    weights = {name: value.numpy().astype(np.float64) for name, value in load_file(folder / WEIGHTS).items()}

    def project(features, side):
        x = (features - weights[f"{side}.mean_F"]) / weights[f"{side}.scale_F"]
        x = weights[f"{side}.layers.1.weight"] @ x + weights[f"{side}.layers.1.bias"]
        x = torch.nn.functional.gelu(torch.from_numpy(x)).numpy()
        x = weights[f"{side}.layers.4.weight"] @ x + weights[f"{side}.layers.4.bias"]
        return x / np.linalg.norm(x)

    heard = project(clips[2].mean(axis=0), "audio")
    said = project(states[2].double().mean(dim=0).numpy(), "text")
    score = ClapMini(folder).score(JUDGE, clips[2:3], *padded(states[2:3]))
    assert score[0] == pytest.approx(heard @ said, abs=1e-5)


def test_round_trip(folder, network, inputs):
    clap = ClapMini(folder)
    clips, states = inputs
    with torch.no_grad():
        audio = network.audio(torch.stack([pool_windows(torch.from_numpy(clip)) for clip in clips]))
        text = network.text(pool_states(*padded(states)))
    torch.testing.assert_close(clap.audio(clips), audio, rtol=0, atol=1e-6)
    torch.testing.assert_close(clap.text(*padded(states)), text, rtol=0, atol=1e-6)
    assert (clap.judge_sha256, clap.text_sha256, clap.text_id) == (JUDGE, TEXT, "t")
    assert clap.test == {"text_to_audio": GOOD, "audio_to_text": GOOD}
    facts = clap.facts()
    assert (facts["id"], facts["pieces"]) == ("clap_mini", 45)
    assert facts["chance"] == pytest.approx({"1": 1 / 45, "10": 10 / 45})
    assert facts["recall"] == {name: {"1": 40 / 45, "10": 40 / 45} for name in ("text_to_audio", "audio_to_text")}


@pytest.mark.parametrize("direction", ["text_to_audio", "audio_to_text"])
def test_refuses_without_retrieval_whatever_the_card_claims(folder, inputs, direction):
    claims = {"recall@10": 1.0, "p@10": 0.0}
    edit_card(folder / CARD, lambda card: card["test"].update({direction: {**CHANCE.figures(), **claims}}))
    clap = ClapMini(folder)
    clips, states = inputs
    with pytest.raises(UserError, match=f"{direction.replace('_', ' ')}.* is not trusted to score: .* 0.222"):
        clap.score(JUDGE, clips, *padded(states))
    with pytest.raises(UserError, match="not trusted"):
        clap.require_use(JUDGE)


def test_refuses_another_audio_judge(folder, inputs):
    with pytest.raises(UserError, match="trained on judge aaaaaaaaaaaa, not cccccccccccc"):
        ClapMini(folder).score("c" * 64, inputs[0], *padded(inputs[1]))


def test_damaged_folders(folder, tmp_path):
    with pytest.raises(UserError, match="no clap_mini in"):
        ClapMini(tmp_path / "nowhere")
    weights = load_file(folder / WEIGHTS)
    save_file({**weights, "log_scale": weights["log_scale"] + 1}, folder / WEIGHTS)
    with pytest.raises(UserError, match="does not match the sha256"):
        ClapMini(folder)
    card = (folder / CARD).read_text()
    for content in ('{"sha256": 1', "{}", "[]", card.replace("45", "46", 1)):
        (folder / CARD).write_text(content)
        with pytest.raises(UserError, match="damaged"):
            ClapMini(folder)


def test_pieces_that_it_was_trained_on_are_not_scored(folder):
    ClapMini(folder).require_unheard(["a new piece", "another"])
    with pytest.raises(UserError, match="trained on 1 of the pieces to be scored, such as a known piece"):
        ClapMini(folder).require_unheard(["a new piece", "a known piece"])
