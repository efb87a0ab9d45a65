"""Melodies as a condition of clips.

Shape suffixes: B batch, C pitch classes, M moments.
"""

from collections.abc import Sequence

import numpy as np
from torch.nn.utils.rnn import pad_sequence

from musicbench.conditions.melody import melody_states
from musicbench.models.conditions import MELODY, Conditions, States


def with_melodies(conditions: Conditions, melodies: Sequence[np.ndarray | None] | None) -> Conditions:
    """The conditions with melodies; None stands for clips without."""
    if melodies is None:
        return conditions
    none = np.zeros(0, np.uint8)
    clips = [melody_states(none if classes_M is None else classes_M) for classes_M in melodies]
    states_BMC = pad_sequence([states for states, _ in clips], batch_first=True)
    sounds_BM = pad_sequence([sounds for _, sounds in clips], batch_first=True, padding_value=False)
    return Conditions({**conditions.named, MELODY: States(states_BMC, sounds_BM)})
