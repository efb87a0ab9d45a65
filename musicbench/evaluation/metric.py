"""What a metric is: a function of clips that says what it needs of them.

Shape suffixes: N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the judges stand on formulas of metrics
    from musicbench.evaluation.judge_set import JudgeSet
    from musicbench.evaluation.judges.base import TextAudioJudge
    from musicbench.evaluation.judging import Judgement
    from musicbench.evaluation.references.sets import ReferenceSet


@dataclass(frozen=True)
class Codes:
    """Clips as a codec sees them: latents [T, D] of each clip, and the moments of a reference's latents."""

    latents: Sequence[np.ndarray]
    reference: ReferenceSet


@dataclass(frozen=True)
class Clips:
    """What is known of N clips that are measured together; None where there is no such thing.

    Attributes:
        judges: who judges what. heard: what they said of the clips, by role (``fad``, ``kld``, ``clap``).
        pieces: of each clip; resampling and shuffled captions go by pieces.
        replicates: how many bootstrap replicates a metric of the whole set makes.
        reference: of FAD. codes: see ``Codes``.
        originals: the same of the originals with the same captions.
        captions: of each clip. clap: the judge of captions.
        clap_mini: captions [N] to the cosine of each with its clip, [N].
    """

    judges: JudgeSet
    heard: Mapping[str, Sequence[Judgement]]
    pieces: Sequence[str]
    replicates: int
    reference: ReferenceSet | None = None
    codes: Codes | None = None
    originals: Mapping[str, Sequence[Judgement]] | None = None
    captions: Sequence[str] | None = None
    clap: TextAudioJudge | None = None
    clap_mini: Callable[[Sequence[str]], np.ndarray] | None = None


NEEDS = tuple(field.name for field in fields(Clips) if field.default is None)
"""What a metric may need: parts of ``Clips`` that not all clips have."""


@dataclass(frozen=True)
class Metric:
    """A metric of a run record.

    Attributes:
        name: its key in the record.
        needs: names in ``NEEDS``; clips that lack one of them are not measured.
        value: what the record keeps: ``value`` and, where there are such, ``per_clip``, ``replicates`` and others. A
            UserError of it becomes a failure of the record, its warnings become the record's.

    Raises:
        ValueError: a need is unknown.
    """

    name: str
    needs: tuple[str, ...]
    value: Callable[[Clips], dict[str, Any]]

    def __post_init__(self) -> None:
        if unknown := set(self.needs) - set(NEEDS):
            raise ValueError(f"metric {self.name!r} needs {min(unknown)!r}; clips may have {', '.join(NEEDS)}")

    def suits(self, clips: Clips) -> bool:
        """Whether the clips have all that the metric needs."""
        return all(getattr(clips, need) is not None for need in self.needs)


def metric(name: str, *needs: str) -> Callable[[Callable[[Clips], dict[str, Any]]], Metric]:
    """Declare a function as a metric; see ``Metric``."""
    return lambda value: Metric(name, needs, value)


def per_clip(values_N: np.ndarray) -> dict[str, Any]:
    """A metric that is the mean over clips."""
    return {"value": float(values_N.mean()), "per_clip": values_N.tolist()}
