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

from musicbench.bench.document import Row, row
from musicbench.bench.products import Rate
from musicbench.evaluation.judges.base import WindowedJudge, full_fp32
from musicbench.evaluation.judging import judge_clips
from musicbench.speed.clocks import clock_for
from musicbench.speed.rounds import in_turns


@dataclass(frozen=True)
class JudgeSpeed:
    """The speed of one judge.

    Attributes:
        id: the judge's.
        windows, flop: of a clip; see ``flop_of_a_window``.
        anew, cached: seconds of each repeat for all clips, with ``judge_clips``, and with ``judge_clips`` where its
            cache knows all clips.
        matmul_flop: what the fastest float32 product of large matrices does in a second on the judge's device.
    """

    id: str
    windows: int
    flop: int
    anew: list[float]
    cached: list[float]
    matmul_flop: float


def measure_judge(
    judge: WindowedJudge, clips: Sequence[Tensor], sample_rate: int, repeats: int = 5, matrix: int = 2048
) -> JudgeSpeed:
    """Time a judge on clips [N] of one length; every way of judging once before that, to warm up.

    The ways take turns, so that what disturbs the machine for a while disturbs all of them.

    Args:
        matrix: rows of the matrices beside which the judge is timed; they have a quarter as many columns.

    Raises:
        UserError: the clips are shorter than a window.
    """
    device = judge.device
    clock = clock_for(device)
    rate = Rate(matrix, max(1, matrix // 4), torch.float32, device, clock)
    windows = judge(clips[0][None], sample_rate).embeddings_BWD.shape[1]
    rates = []

    def multiply() -> None:
        with full_fp32():
            rates.append(rate())

    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Callable[[], object]] = {
            "anew": lambda: judge_clips(judge, clips, sample_rate),
            "cached": lambda: judge_clips(judge, clips, sample_rate, Path(folder)),  # the warm-up fills the folder
            "product": multiply,
        }
        in_turns(ways, clock, 1)
        seconds = in_turns(ways, clock, repeats)
    return JudgeSpeed(
        id=judge.id,
        windows=windows,
        flop=windows * flop_of_a_window(judge),
        anew=seconds["anew"],
        cached=seconds["cached"],
        matmul_flop=max(rates),
    )


def judge_row(speed: JudgeSpeed, engine: str, repeats: list[float], clips: int, seconds: float) -> Row:
    """A row: how long all clips of ``seconds`` each took."""
    return row(
        speed.id,
        engine,
        clips,
        "fp32",
        statistics.median(repeats),
        repeats,
        kernel=clips * speed.flop / speed.matmul_flop,
        memory=None,
        audio=clips * seconds,
        flops=float(clips * speed.flop),
        matmul_flops_per_second=speed.matmul_flop,
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
