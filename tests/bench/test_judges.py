"""Counted operations against formulas; what is timed, not how long it takes."""

import pytest
import torch
from torch import Tensor, nn

from musicbench.bench.judges import flop_of_a_window, judge_row, measure_judge, noise
from musicbench.errors import UserError
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.base import WindowedJudge

RATE, CHANNELS, KERNEL, STRIDE, WIDTH = 100, 6, 8, 4, 5


class ConvJudge(WindowedJudge):
    """Windows of 2 s every second through a convolution and a dense layer."""

    id, sha256, sample_rate, window_seconds, hop_seconds = "conv", "7" * 64, RATE, 2.0, 1.0

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.conv = nn.Conv1d(1, CHANNELS, KERNEL, STRIDE, bias=False)
        self.dense = nn.Linear(CHANNELS, WIDTH, bias=False)
        self.windows = 0

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        self.windows += len(window_BN)
        embeddings_BD = self.dense(self.conv(window_BN[:, None]).relu().mean(dim=2))
        return embeddings_BD, embeddings_BD[:, :0]


def formula() -> int:
    frames = (2 * RATE - KERNEL) // STRIDE + 1
    return 2 * frames * CHANNELS * KERNEL + 2 * CHANNELS * WIDTH


def test_operations_of_a_small_network():
    assert flop_of_a_window(ConvJudge()) == formula()


def test_operations_of_the_bundled_network():
    """Every convolution and product of arXiv 1909.06654's network, and the mel bands."""

    def conv(channels: int, frames: int, bands: int, of_bands: int) -> int:
        return 2 * 187 * (of_bands - bands + 1) * channels * frames * bands

    front = conv(204, 7, 38, 96) + conv(204, 7, 67, 96) + sum(conv(51, frames, 1, 96) for frames in (128, 64, 32))
    middle = conv(64, 7, 561, 561) + 2 * conv(64, 7, 64, 64)
    back = 2 * 1506 * 200 + 2 * 200 * 50
    mel = 2 * (1 + 48000 // 256) * 257 * 96
    assert flop_of_a_window(MusiCNN()) == front + middle + back + mel


def test_a_judge_is_measured_in_every_way():
    judge = ConvJudge()
    clips = noise(3, 5.5, 2 * RATE)
    assert [clip.shape for clip in clips] == [(1100,)] * 3 and not torch.equal(clips[0], clips[1])
    speed = measure_judge(judge, clips, 2 * RATE, repeats=2, matrix=16)
    assert (speed.id, speed.windows, speed.flop) == ("conv", 4, 4 * formula())
    assert (len(speed.anew), len(speed.cached)) == (2, 2)
    row = judge_row(speed, "ours", [4.0, 1.0, 2.0], clips=3, seconds=5.5)
    assert row["seconds"] == 2.0 and row["rtf"] == 2.0 / (3 * 5.5)
    assert row["ratio_to_kernel_floor"] == pytest.approx(2.0 * speed.matmul_flop / (3 * speed.flop))
    # Once for the count, anew three times, for the cache once, and a window of silence.
    assert judge.windows == 4 + (3 + 1) * 3 * 4 + 1
    with pytest.raises(UserError, match="at least 2 s"):
        measure_judge(judge, noise(1, 1.0, RATE), RATE)
