"""Score of the bundled text-audio judge: the cosine of each clip and its caption."""

from typing import Any

from musicbench.evaluation.likelihood import shuffled_captions
from musicbench.evaluation.metric import Clips, metric, per_clip
from musicbench.evaluation.metrics.clap_score import told


@metric("clap_mini", "captions", "clap_mini")
def clap_mini(clips: Clips) -> dict[str, Any]:
    """Return the score of the clips with their captions."""
    assert clips.clap_mini is not None
    return per_clip(clips.clap_mini(told(clips)))


@metric("clap_mini_shuffled", "captions", "clap_mini")
def clap_mini_shuffled(clips: Clips) -> dict[str, Any]:
    """Return the score of the clips with captions of other pieces."""
    assert clips.clap_mini is not None
    return per_clip(clips.clap_mini(shuffled_captions(told(clips), clips.pieces)))
