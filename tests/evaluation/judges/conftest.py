"""What is asked of every judge of fixed windows and of every text-audio judge, and what small ones are made of."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges import Judge, TextAudioJudge
from musicbench.evaluation.judges.captions import clip_embeddings
from musicbench.evaluation.judging import judge_clips
from tests.helpers.small_clap import laion_checkpoint, roberta, spread_weights, write_vocabulary  # noqa: F401  (fixtures)


def _check(judge: Judge, clips_BN: torch.Tensor, rate: int, atol: float = 2e-5) -> None:
    """Deterministic, finite, the same bits whatever else is judged; poisoned and short clips are refused."""
    output = judge(clips_BN, rate)
    windows = int((clips_BN.shape[1] / rate - judge.window_seconds) / judge.hop_seconds + 1e-6) + 1
    assert output.embeddings_BWD.shape[:2] == (len(clips_BN), windows) == output.logits_BWC.shape[:2]
    assert output.logits_BWC.shape[2] == len(judge.labels)
    assert output.embeddings_BWD.dtype == output.logits_BWC.dtype == torch.float32
    assert output.embeddings_BWD.isfinite().all() and output.logits_BWC.isfinite().all()
    again = judge(clips_BN, rate)
    assert torch.equal(output.embeddings_BWD, again.embeddings_BWD)
    flipped, alone = judge(clips_BN.flip(0), rate), judge(clips_BN[:1], rate)
    # Longer by half a second before and two behind, a clip has other windows; it is judged in between.
    longer_N = torch.cat([clips_BN[1, : rate // 2], clips_BN[0], clips_BN[1, : 2 * rate]])
    among = judge_clips(judge, [longer_N, clips_BN[1], clips_BN[0], longer_N], rate)
    for part, mine in (("embeddings_BWD", "embeddings_WD"), ("logits_BWC", "logits_WC")):
        value = getattr(output, part)
        assert torch.equal(getattr(flipped, part).flip(0), value)
        assert torch.equal(getattr(alone, part)[0], value[0])
        for place, number in ((1, 1), (2, 0)):
            assert np.array_equal(getattr(among[place], mine), value[number].numpy())
    # The clips are told apart at all.
    assert (output.embeddings_BWD[0] - output.embeddings_BWD[1]).abs().max() > 100 * atol
    for poison in (torch.nan, torch.inf):
        poisoned = clips_BN.clone()
        poisoned[1, 17] = poison
        with pytest.raises(UserError, match="NaN or infinity"):
            judge(poisoned, rate)
    with pytest.raises(UserError, match="longer clips"):
        judge(clips_BN[:, : int(judge.window_seconds * rate) - 1], rate)


@pytest.fixture(scope="session")
def check_judge() -> Callable[..., None]:
    return _check


def _check_text_audio(clap: TextAudioJudge, audio: torch.Tensor) -> None:
    """Clips of 15 s are averaged, where the libraries take 10 s at random; captions do not see each other."""
    rate = clap.sample_rate
    embeddings_WD = clap(audio[None], rate).embeddings_BWD[0]
    parts = [clap(audio[None, s * rate : (s + 10) * rate], rate).embeddings_BWD[0, 0] for s in (0, 5)]
    torch.testing.assert_close(embeddings_WD, torch.stack(parts), rtol=0, atol=1e-5)
    mean = sum(part.double() for part in parts) / 2
    torch.testing.assert_close(
        clip_embeddings(embeddings_WD[None])[0].double(), mean / mean.square().sum().sqrt(), rtol=0, atol=1e-5
    )

    captions = ["a slow chorale", "a fast fiddle tune", "drums"]
    together = clap.text(captions)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
    for number, caption in enumerate(captions):
        assert torch.equal(clap.text([caption])[0], together[number])
    assert (together[0] - together[1]).abs().max() > 1e-2
    many = [f"{'la ' * (number % 20)}{number}" for number in range(40)]  # of many lengths
    alone = torch.cat([clap.text([caption]) for caption in many])
    assert torch.equal(clap.text(many), alone) and torch.equal(clap.text(many[::-1]).flip(0), alone)


@pytest.fixture(scope="session")
def check_text_audio() -> Callable[..., None]:
    return _check_text_audio


@pytest.fixture(scope="session")
def clips_48k(melody) -> torch.Tensor:
    return torch.stack([melody(seed, 10.0, 48000) for seed in range(2)])


@pytest.fixture(scope="session")
def write_tokenizer() -> Callable[[Path], Path]:
    return write_vocabulary


@pytest.fixture(scope="session")
def spread() -> Callable[[torch.nn.Module], None]:
    return spread_weights
