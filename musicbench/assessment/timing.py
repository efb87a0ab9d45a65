"""How fast a system of a run is, on this machine."""

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor

from musicbench.assessment.adapters import CaptionedModel
from musicbench.codecs.streaming import decode_stream
from musicbench.commands.generate import STREAM_SECONDS
from musicbench.evaluation.systems import Generator
from musicbench.runs.run import Assembly, device
from musicbench.speed.clocks import clock_for
from musicbench.speed.memory import memory_of
from musicbench.speed.rtf import Speeds, measure_speed
from musicbench.speed.timed import Timed


def time_system(run: Assembly, system: Generator, captions: Sequence[str], frames: int) -> Speeds:
    """Speed at the configured batch sizes, for clips of so many frames."""
    settings = run.config.evaluation
    # Baselines read no captions; what models read in evaluation is a table of states, so the encoder is timed itself.
    encode_text = run.encoder.encode if isinstance(system, CaptionedModel) else None
    return measure_speed(
        Timed(system, run.codec, encode_text, _streaming(run, system)),
        captions,
        frames,
        clock_for(device()),
        memory_of(device()),
        tuple(settings.speed_batches),
        settings.speed_repeats,
    )


def _streaming(
    run: Assembly, system: Generator
) -> Callable[[Sequence[str], int, Sequence[int]], Iterator[Tensor]] | None:
    """Sound piece by piece, as ``musicbench generate --stream`` writes it; None for families that do not stream."""
    if not isinstance(system, CaptionedModel) or not system.streams:
        return None
    every = max(1, round(STREAM_SECONDS * run.store.frame_rate))

    def stream(captions: Sequence[str], frames: int, seeds: Sequence[int]) -> Iterator[Tensor]:
        return decode_stream(run.codec, system.stream(captions, frames, seeds, None, every))

    return stream
