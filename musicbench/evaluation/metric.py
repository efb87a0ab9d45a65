"""Declare metrics: functions of clips that say what they need.

Shape suffixes: N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # Judges import formulas of metrics, so the import would be a circle.
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
    """N clips that are measured together; a field is None if these clips lack it.

    Attributes:
        judges: the set of judges.
        heard: their judgements of the clips, by role (``fad``, ``kld``, ``clap``).
        pieces: the piece of each clip; resampling and shuffled captions go by pieces.
        replicates: how many bootstrap replicates a metric of the whole set makes.
        reference: the reference of FAD.
        codes: see ``Codes``.
        originals: judgements of the originals with the same captions, by role.
        captions: the caption of each clip.
        clap: the text-audio judge.
        clap_mini: function from captions [N] to the cosine of each with its clip, [N].
        melody_similarity: of each clip to the melody of its original, 0 to 1; not a number where that is silent.
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
    melody_similarity: Sequence[float] | None = None


NEEDS = tuple(field.name for field in fields(Clips) if field.default is None)
"""The needs that a metric may name: fields of ``Clips`` that not all clips have."""


@dataclass(frozen=True)
class Metric:
    """A metric of a run record.

    Attributes:
        name: its key in the record.
        needs: names in ``NEEDS``; clips that lack one of them are not measured.
        value: function that returns the record's entry: ``value`` and, if they exist, ``per_clip``, ``replicates`` and
            others. Its ``UserError`` becomes a failure of the record, its warnings become the record's.

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
        """Return whether the clips have everything that the metric needs."""
        return all(getattr(clips, need) is not None for need in self.needs)


def metric(name: str, *needs: str) -> Callable[[Callable[[Clips], dict[str, Any]]], Metric]:
    """Declare a function as a metric; see ``Metric``."""
    return lambda value: Metric(name, needs, value)


def per_clip(values_N: np.ndarray) -> dict[str, Any]:
    """Return the entry of a metric that is the mean over clips."""
    return {"value": float(values_N.mean()), "per_clip": values_N.tolist()}
