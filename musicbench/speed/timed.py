"""One round of a system at work, with the seconds of each part.

Shape suffixes: B batch, C channels, K levels, T frames, N samples.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from musicbench.evaluation.systems import Generator
from musicbench.speed.clocks import Clock


class Decoder(Protocol):
    """The half of a codec that speed needs."""

    frame_rate: float

    def decode(self, codes_BKT: Tensor) -> Tensor:
        """Codes -> audio [B, C, N]."""
        ...


@dataclass(frozen=True)
class Timed:
    """A system in its parts.

    Attributes:
        system, codec: captions to tokens, tokens to sound.
        encode_text: captions to states, computed anew at each call; None for a system that has no text encoder.
        stream: captions, frames and seeds to sound [B, C, n] in pieces, each as soon as it can no longer change; None
            for a system whose sound is certain only at the end.
    """

    system: Generator
    codec: Decoder
    encode_text: Callable[[list[str]], object] | None = None
    stream: Callable[[Sequence[str], int, Sequence[int]], Iterator[Tensor]] | None = None


class PartError(Exception):
    """One line: the part and its error."""


@contextmanager
def _part(name: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        first = next(iter(str(error).splitlines()), "")
        raise PartError(f"{name} failed ({type(error).__name__}: {first})") from error


@dataclass(frozen=True)
class Round:
    """Seconds of each part, and the share of the clip that the first sound was."""

    seconds: dict[str, float]
    first_share: float


def time_round(timed: Timed, captions: list[str], frames: int, seeds: list[int], clock: Clock) -> Round:
    """Let the system work for a batch of captions, once.

    Raises:
        PartError: a part did, as for want of memory.
    """
    marks = [clock.mark()]
    if timed.encode_text is not None:
        with _part("text encoding"):
            timed.encode_text(captions)
    marks.append(clock.mark())
    with _part("token generation"):
        codes_BKT = timed.system.generate(captions, frames, seeds)
    marks.append(clock.mark())
    with _part("codec decoding"):
        audio_BCN = first_BCn = timed.codec.decode(codes_BKT)
    marks.append(clock.mark())
    if timed.stream is not None:
        with _part("streaming"):
            first_BCn = next(timed.stream(captions, frames, seeds))
    marks.append(clock.mark())
    with _part("work on the device"):
        text, generate, codec, first = clock.seconds(marks)
    seconds = {
        "generate_seconds": generate,
        "codec_seconds": codec,
        "first_audio_seconds": (text if timed.encode_text else 0.0) + (first if timed.stream else generate + codec),
    }
    if timed.encode_text is not None:
        seconds["text_seconds"] = text
    return Round(seconds, first_BCn.shape[2] / audio_BCN.shape[2])
