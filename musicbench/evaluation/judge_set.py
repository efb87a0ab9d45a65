"""Which judge each audio metric uses, and the way from audio to FAD, KLD and CLAP score with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judges.base import Judge, TextAudioJudge, require_classes
from musicbench.evaluation.judges.captions import clip_embeddings
from musicbench.evaluation.judging import Judgement, judge_clips
from musicbench.evaluation.metrics.clap_score import clap_score
from musicbench.evaluation.metrics.frechet import frechet_audio_distance
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence


@dataclass(frozen=True)
class JudgeSet:
    """The embedder of FAD, the classifier of KLD, and the text-audio judge of the CLAP score, if there is one."""

    fad: Judge
    kld: Judge
    clap: TextAudioJudge | None = None


@dataclass(frozen=True)
class AudioScores:
    """FAD of the set; KLD [N] and CLAP score [N] of each clip (None without a text-audio judge)."""

    fad: float
    kld_N: np.ndarray
    clap_N: np.ndarray | None


def audio_scores(
    judges: JudgeSet,
    generated: Sequence[Tensor],
    originals: Sequence[Tensor],
    captions: Sequence[str],
    sample_rate: int,
) -> AudioScores:
    """Compare generated clips [N] with the originals that have the same captions, one to one.

    FAD compares all windows of the two sides; KLD averages a clip's class probabilities over its windows.

    Raises:
        UserError: the counts differ, a clip is too short or not finite, or the judge of KLD has no classes.
    """
    if not len(generated) == len(originals) == len(captions):
        raise UserError(
            f"{len(generated)} generated clips, {len(originals)} originals and {len(captions)} captions; "
            "give one of each for every prompt"
        )
    require_classes(judges.kld)
    heard = _heard(judges.fad, generated, originals, sample_rate)
    fad = frechet_audio_distance(*(np.concatenate([clip.embeddings_WD for clip in side]) for side in heard))
    if judges.kld is not judges.fad:
        heard = _heard(judges.kld, generated, originals, sample_rate)
    generated_NC, original_NC = (np.stack([class_probabilities(clip.logits_WC) for clip in side]) for side in heard)
    clap_N = None
    if judges.clap is not None:
        audio_ND = np.concatenate(
            [clip_embeddings(judges.clap(clip[None], sample_rate).embeddings_BWD).numpy() for clip in generated]
        )
        clap_N = clap_score(judges.clap.text(captions).numpy(), audio_ND)
    return AudioScores(fad, kl_divergence(original_NC, generated_NC), clap_N)


def _heard(
    judge: Judge, generated: Sequence[Tensor], originals: Sequence[Tensor], sample_rate: int
) -> tuple[list[Judgement], list[Judgement]]:
    return judge_clips(judge, generated, sample_rate), judge_clips(judge, originals, sample_rate)
