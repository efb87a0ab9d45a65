"""Speed: text encoding, token generation and codec decoding apart, as seconds and as real-time factors."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from musicbench.speed.clocks import Clock
from musicbench.speed.memory import PeakMemory
from musicbench.speed.timed import PartError, Round, Timed, time_round

WARMUP = 1  # rounds of each batch size that compile and fill caches, and are not counted


@dataclass
class Speeds:
    """The record's ``speed``, by str(batch), and a line for each batch size that failed."""

    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


def measure_speed(
    timed: Timed,
    captions: Sequence[str],
    frames: int,
    clock: Clock,
    memory: PeakMemory,
    batch_sizes: Sequence[int] = (1, 4, 16),
    repeats: int = 3,
) -> Speeds:
    """Time the parts of a system for each batch size; captions repeat to fill a batch.

    The real-time factor is wall seconds / (batch x clip seconds): seconds of computing per second of audio out, below
    1 when faster than real time. ``rtf`` counts token generation only, ``codec_rtf`` decoding only. Times are medians
    over ``repeats`` rounds, after a warm-up round of each batch size. A batch size that
    fails, for want of memory say, does not stop the others.

    Returns:
        For each batch size the fields of ``study.run_record.Speed``.
    """
    speeds = Speeds()
    for batch in batch_sizes:
        filled = filled_batch(captions, batch)
        memory.restart()
        try:
            rounds = []
            for number in range(WARMUP + repeats):
                rounds.append(time_round(timed, filled, frames, round_seeds(number, batch), clock))
        except PartError as error:
            speeds.failures.append(f"speed, batch {batch}: {error}")
            continue
        speeds.batches[str(batch)] = summary(rounds[WARMUP:], batch, frames / timed.codec.frame_rate) | memory.peak()
    return speeds


def filled_batch(captions: Sequence[str], batch: int) -> list[str]:
    """Captions of a batch; they repeat if they are too few."""
    return [captions[number % len(captions)] for number in range(batch)]


def round_seeds(number: int, batch: int) -> list[int]:
    """Seeds of the clips of a round; each round draws other clips."""
    return [number * batch + clip for clip in range(batch)]


def summary(rounds: Sequence[Round], batch: int, clip_seconds: float) -> dict[str, Any]:
    """Fields of ``study.run_record.Speed`` but for memory: medians, real-time factors and interquartile ranges."""
    parts = {name: [part.seconds[name] for part in rounds] for name in rounds[0].seconds}
    medians = {name: statistics.median(values) for name, values in parts.items()}
    seconds_audio = batch * clip_seconds
    spread = {} if len(rounds) == 1 else {"spread": {name: _interquartile(values) for name, values in parts.items()}}
    return {
        "batch": batch,
        "seconds_audio": seconds_audio,
        **medians,
        "first_audio_length": clip_seconds * statistics.median(part.first_share for part in rounds),
        "rtf": medians["generate_seconds"] / seconds_audio,
        "codec_rtf": medians["codec_seconds"] / seconds_audio,
        **spread,
        "repeats": [part.seconds for part in rounds],
    }


def _interquartile(values: list[float]) -> float:
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
