"""Speed: the time to generate tokens and to decode them, as real-time factors."""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from musicbench.evaluation.systems import Generator

T = TypeVar("T")


class Decoder(Protocol):
    """The half of a codec that speed needs."""

    frame_rate: float

    def decode(self, codes_BKT: Tensor) -> Tensor:
        """Codes -> audio [B, N]."""
        ...


def measure_speed(
    system: Generator,
    codec: Decoder,
    captions: Sequence[str],
    frames: int,
    batch_sizes: Sequence[int] = (1, 4),
    repeats: int = 3,
    warmup: int = 1,
) -> dict[str, dict[str, Any]]:
    """Time token generation and codec decoding apart, for each batch size.

    The real-time factor is wall seconds / (batch x clip seconds): seconds of computing per second of audio
    out, below 1 when faster than real time. `rtf` counts token generation only, `codec_rtf` decoding only;
    the whole system's is their sum. The times are medians over `repeats`, each of which is also listed. The
    first `warmup` rounds, which compile and fill caches, are not counted. Captions repeat to fill a batch.

    Returns:
        By str(batch): "batch", "seconds_audio" (batch x clip seconds), "generate_seconds", "codec_seconds",
        "rtf", "codec_rtf" and "repeats", a list of {"generate_seconds", "codec_seconds"}.
    """
    return {str(batch): _measure(system, codec, captions, frames, batch, repeats, warmup) for batch in batch_sizes}


def _measure(
    system: Generator,
    codec: Decoder,
    captions: Sequence[str],
    frames: int,
    batch: int,
    repeats: int,
    warmup: int,
) -> dict[str, Any]:
    filled = [captions[number % len(captions)] for number in range(batch)]
    rounds = []
    for number in range(warmup + repeats):
        seeds = [number * batch + clip for clip in range(batch)]
        codes_BKT, generate_seconds = _timed(partial(system.generate, filled, frames, seeds))
        _, codec_seconds = _timed(partial(codec.decode, codes_BKT))
        if number >= warmup:
            rounds.append({"generate_seconds": generate_seconds, "codec_seconds": codec_seconds})
    seconds_audio = batch * frames / codec.frame_rate
    generate_seconds = statistics.median(part["generate_seconds"] for part in rounds)
    codec_seconds = statistics.median(part["codec_seconds"] for part in rounds)
    return {
        "batch": batch,
        "seconds_audio": seconds_audio,
        "generate_seconds": generate_seconds,
        "codec_seconds": codec_seconds,
        "rtf": generate_seconds / seconds_audio,
        "codec_rtf": codec_seconds / seconds_audio,
        "repeats": rounds,
    }


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    _finish_device_work()
    start = time.perf_counter()
    result = work()
    _finish_device_work()
    return result, time.perf_counter() - start


def _finish_device_work() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
