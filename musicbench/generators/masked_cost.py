"""What masked decoding computes, for a record's ``plan``."""

from musicbench.generators.captioned import CaptionedLM
from musicbench.models.masked.sampling import MaskedSampling


def masked_calls(frames: int, sampling: MaskedSampling, rescorer: CaptionedLM | None) -> tuple[int, int]:
    """Count the network calls of decoding one clip by masks, those of a rescorer included, and their positions.

    A rescorer makes one pass over all positions of its own plan each time.
    """
    calls, rescorings = sum(sampling.iterations), sampling.rescorings()
    rescored = rescorings * rescorer.positions(frames) if rescorer is not None else 0
    return calls + rescorings, calls * frames + rescored
