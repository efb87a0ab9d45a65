"""From audio to the audio metrics of a run record: FAD and KLD, with replicates and per-clip values."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from musicbench.errors import UserError
from musicbench.evaluation.fad import bootstrapped_fad
from musicbench.evaluation.judges.base import Judge, require_classes
from musicbench.evaluation.judging import Judgement
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence
from musicbench.evaluation.reference import Reference


class Crop(Protocol):
    """The stretch of an original test clip whose caption was the prompt."""

    @property
    def piece(self) -> str:
        """The piece it is cut from: the unit of resampling."""
        ...

    @property
    def clip(self) -> str:
        """Id of the test clip it is cut from."""
        ...

    @property
    def start_frame(self) -> int:
        """First codec frame in the clip; on a whole second."""
        ...

    @property
    def frames(self) -> int:
        """Length in codec frames."""
        ...


def original_judgements(reference: Reference, crops: Sequence[Crop], frame_rate: float) -> list[Judgement]:
    """The stored outputs for the originals of some crops.

    Raises:
        UserError: a crop does not start on a whole second, or was not judged.
    """
    judgements = []
    for crop in crops:
        start = crop.start_frame / frame_rate
        if abs(start - round(start)) > 1e-6:
            raise UserError(f"a crop of {crop.clip} starts at {start:.3f} s; start it on a whole second")
        judgements.append(Judgement(*reference.original(crop.clip, round(start), crop.frames / frame_rate)))
    return judgements


def audio_metrics(
    judgements: Sequence[Judgement],
    crops: Sequence[Crop],
    frame_rate: float,
    judge: Judge,
    reference: Reference,
    replicates: int = 1000,
) -> dict[str, dict[str, Any]]:
    """`fad` and `kld` of clips that were generated from the captions of `crops`, as a run record holds them.

    FAD compares all windows with those of the training originals; KLD compares each clip with the original of
    its crop. `fad.replicates` resample pieces in the same way for every system on the same crops.

    Raises:
        UserError: the reference was made by another judge, a crop has no stored original, or the judge no classes.
    """
    require_classes(judge)
    if reference.judge_sha256 != judge.sha256:
        raise UserError(
            f"the reference was judged by {reference.judge_id} ({reference.judge_sha256[:12]}), this is "
            f"{judge.id} ({judge.sha256[:12]}); make it again with `musicbench prepare`"
        )
    originals = original_judgements(reference, crops, frame_rate)
    kld_N = kl_divergence(
        np.stack([class_probabilities(original.logits_WC) for original in originals]),
        np.stack([class_probabilities(judgement.logits_WC) for judgement in judgements]),
    )
    fad = bootstrapped_fad(
        reference.mean,
        reference.cov,
        [judgement.embeddings_WD for judgement in judgements],
        [crop.piece for crop in crops],
        replicates,
    )
    return {
        "fad": {"value": fad.value, "replicates": fad.replicates},
        "kld": {"value": float(kld_N.mean()), "per_clip": kld_N.tolist()},
    }
