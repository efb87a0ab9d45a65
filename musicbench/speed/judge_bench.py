"""How fast a judge is here: anew and from its cache, beside a large matrix product.

Shape suffixes: B batch, D width of embeddings, W windows of a clip.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from musicbench.evaluation.judges.base import WindowedJudge, full_fp32
from musicbench.evaluation.judging import judge_clips
from musicbench.speed.clocks import Clock, clock_for


@dataclass(frozen=True)
class JudgeSpeed:
    """The speed of one judge: medians over the repeats.

    Attributes:
        id: the judge's.
        windows, flop: of a clip; see ``flop_of_a_window``.
        anew, cached: clips a second with ``judge_clips``, and with ``judge_clips`` where its cache knows all clips.
        matmul_flop: what a float32 product of two large matrices does in a second on the judge's device.
    """

    id: str
    windows: int
    flop: int
    anew: float
    cached: float
    matmul_flop: float

    @property
    def flop_rate(self) -> float:
        """The operations of the judge's network in a second, over all of the time that judging anew takes."""
        return self.flop * self.anew

    @property
    def share(self) -> float:
        """``flop_rate`` / ``matmul_flop``: how much of what the machine can do the judge does."""
        return self.flop_rate / self.matmul_flop


def measure_judge(
    judge: WindowedJudge, clips: Sequence[Tensor], sample_rate: int, repeats: int = 5, matrix: int = 2048
) -> JudgeSpeed:
    """Time a judge on clips [N] of one length; every way of judging once before that, to warm up.

    The ways take turns, so that what disturbs the machine for a while disturbs all of them.

    Args:
        matrix: rows and columns of the two matrices beside which the judge is timed.

    Raises:
        UserError: the clips are shorter than a window.
    """
    device = judge.device
    clock = clock_for(device)
    left, right = torch.randn(2, matrix, matrix, device=device)
    windows = judge(clips[0][None], sample_rate).embeddings_BWD.shape[1]

    def multiply() -> None:
        with full_fp32():
            torch.mm(left, right)

    with tempfile.TemporaryDirectory() as folder:
        ways: list[Callable[[], object]] = [
            lambda: judge_clips(judge, clips, sample_rate),
            lambda: judge_clips(judge, clips, sample_rate, Path(folder)),  # the warm-up fills the folder
            multiply,
        ]
        anew, cached, product = _medians(ways, clock, repeats)
    return JudgeSpeed(
        id=judge.id,
        windows=windows,
        flop=windows * flop_of_a_window(judge),
        anew=len(clips) / anew,
        cached=len(clips) / cached,
        matmul_flop=2 * matrix**3 / product,
    )


def flop_of_a_window(judge: WindowedJudge) -> int:
    """Floating-point operations of the products and convolutions in a judge's network for one window.

    A multiplication and an addition count as two. Fourier transforms and what is done element by element do not
    count, nor does resampling.
    """
    samples = round(judge.window_seconds * judge.sample_rate)
    with FlopCounterMode(display=False) as counter:
        judge(torch.zeros(1, samples), judge.sample_rate)
    return int(counter.get_total_flops())


def noise(clips: int, seconds: float, sample_rate: int) -> list[Tensor]:
    """Clips [N] of white noise; a judge takes as long for them as for music."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(round(seconds * sample_rate), generator=generator) - 0.5 for _ in range(clips)]


def _medians(ways: Sequence[Callable[[], object]], clock: Clock, repeats: int) -> list[float]:
    """Seconds that each way takes, in the median of its repeats."""
    for way in ways:
        way()
    rounds = []
    for _ in range(repeats):
        marks = [clock.mark()]
        for way in ways:
            way()
            marks.append(clock.mark())
        rounds.append(clock.seconds(marks))
    return [statistics.median(seconds) for seconds in zip(*rounds, strict=True)]
