"""Measure how fast a run's system is on this machine."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from musicbench.assessment.adapters import CaptionedModel
from musicbench.assessment.clips import HeldOut
from musicbench.codecs.chunked import ChunkedCodec
from musicbench.codecs.streaming import STREAM_SECONDS, decode_stream
from musicbench.evaluation.systems import Generator
from musicbench.runs.device import device
from musicbench.runs.parts import Parts
from musicbench.speed.clocks import clock_for
from musicbench.speed.memory import memory_of
from musicbench.speed.rtf import Speeds, measure_speed
from musicbench.speed.timed import Timed


def time_system(system: Generator, parts: Parts, clips: HeldOut) -> Speeds:
    """Measure speed at the configured batch sizes, for clips of the same length as ``clips``."""
    return measure_speed(
        timed_system(system, parts),
        clips.captions,
        clips.frames,
        clock_for(device()),
        memory_of(device()),
        tuple(clips.settings.speed_batches),
        clips.settings.speed_repeats,
    )


def timed_system(system: Generator, parts: Parts) -> Timed:
    """A system in the parts that are timed."""
    # Baselines read no captions. Models read states from a table in evaluation, so the encoder is timed by itself.
    encode_text = parts.encoder.encode if isinstance(system, CaptionedModel) else None
    return Timed(system, parts.codec, encode_text, _streaming(system, parts.codec))


def _streaming(
    system: Generator, codec: ChunkedCodec
) -> Callable[[Sequence[str], int, Sequence[int]], Iterator[Tensor]] | None:
    """Make sound piece by piece, as ``musicbench generate --stream`` does; None for families that do not stream."""
    if not isinstance(system, CaptionedModel) or not system.streams:
        return None
    every = max(1, round(STREAM_SECONDS * codec.frame_rate))

    def stream(captions: Sequence[str], frames: int, seeds: Sequence[int]) -> Iterator[Tensor]:
        return decode_stream(codec, system.stream(captions, frames, seeds, None, every))

    return stream
