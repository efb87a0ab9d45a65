"""Warn of clips that are longer than those of training."""

import sys

from omegaconf import DictConfig

from musicbench.runs import settings


def warn_beyond_training(config: DictConfig, frame_rate: float, what: str, seconds: float, advice: str) -> None:
    """Print a warning if a clip has frames whose position codes training never showed.

    A sinusoidal code is a sum of waves and a rotary one turns by an angle, so both exist for any frame, but a network
    knows only those that it has met.

    Args:
        what: names the clip, such as ``evaluation.seconds=30``.
        seconds: length that the network computes at once.
        advice: what the user may do instead.
    """
    if round(seconds * frame_rate) <= settings.frames(config, frame_rate):
        return
    code = config.model.get("position") or ""
    codes = f"{'rotary and sinusoidal' if code == 'both' else code} position codes".strip()
    print(
        f"warning: {what} goes beyond the {config.data.seconds:g} s (data.seconds) of a training clip, and the "
        f"{codes} of later frames are untrained; {advice}",
        file=sys.stderr,
    )
