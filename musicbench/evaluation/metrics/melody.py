"""Similarity of melodies: how far the strongest pitch class follows that of the original (MusicGen, section 4: SIM).

Shape suffixes: N clips.
"""

from typing import Any

import numpy as np

from musicbench.errors import UserError
from musicbench.evaluation.metric import Clips, metric, per_clip


@metric("melody_similarity", "melody_similarity")
def melody_similarity(clips: Clips) -> dict[str, Any]:
    """Return the mean over clips; a clip whose original is silent throughout counts as the mean of the others."""
    assert clips.melody_similarity is not None
    values_N = np.array(clips.melody_similarity, np.float64)
    silent_N = np.isnan(values_N)
    if silent_N.all():
        raise UserError("no original has a melody")
    return per_clip(np.where(silent_N, values_N[~silent_N].mean(), values_N))
