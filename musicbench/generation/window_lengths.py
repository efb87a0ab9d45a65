"""How long windows are, and how far they overlap: what was asked for, or what the run can do."""

import sys

from musicbench.assessment.adapters import sampling
from musicbench.errors import UserError
from musicbench.generation.windows import Windows
from musicbench.runs import settings
from musicbench.runs.network import beginnings
from musicbench.runs.run import Run

USUAL_SHARE = 2 / 3
"""Share of a window that the one before has drawn (MusicGen: 20 s of 30 s)."""

FARTHEST_SHARE = 1 / 4
"""Share of a window by which an overlap that a plan can continue from may differ from the one asked for."""


def window_frames(run: Run, seconds: float | None) -> int:
    """Return the length of a window, by default that of a training clip.

    Raises:
        UserError: it is too short to overlap with another window.
    """
    rate = run.parts.codes.frame_rate
    frames = settings.frames(run.config, rate) if seconds is None else round(seconds * rate)
    if seconds is not None and frames < 2:
        raise UserError(f"--window {seconds:g} is shorter than two frames; give {2 / rate:g} s or more")
    return frames


def fitting_windows(run: Run, length: int, overlap: float | None) -> Windows:
    """Return windows of so many frames, whose overlap is the nearest to the one asked for that the plan can continue.

    Args:
        overlap: seconds; None: two thirds of the window.

    Raises:
        UserError: the overlap leaves nothing to draw, or the plan can continue from none that is near it.
    """
    rate = run.parts.codes.frame_rate
    asked = round(USUAL_SHARE * length) if overlap is None else round(overlap * rate)
    window = f"a window of {length / rate:g} s"
    if overlap is not None and not 0 < asked < length:
        raise UserError(
            f"--overlap {overlap:g} must be a frame ({1 / rate:g} s) or more and leave one of {window} to be drawn"
        )
    grain = run.parts.codes.segment_frames
    plan_can = beginnings(run.config, run.parts.codes.levels, length, sampling(run))
    # New windows begin with a segment of the codec, as training crops do.
    possible = [frames for frames in plan_can if (length - frames) % grain == 0]
    nearest = min(possible, key=lambda frames: abs(frames - asked), default=None)
    if nearest is None or abs(nearest - asked) > FARTHEST_SHARE * length:
        near = "" if nearest is None else f" (the nearest that it can is {nearest / rate:g} s)"
        raise UserError(
            f"this run cannot go on from the first {asked / rate:g} s of {window}, because it draws others before "
            f"them{near}; give another --overlap, or --window with the length of the clip"
        )
    if overlap is not None and nearest != asked:
        print(
            f"warning: --overlap {overlap:g} becomes {nearest / rate:g} s, the nearest that this run can go on from",
            file=sys.stderr,
        )
    return Windows(length, nearest, grain)
