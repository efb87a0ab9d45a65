"""From what judges heard to the audio metrics of a run record, with replicates and per-clip values."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.base import Judge, TextAudioJudge
from musicbench.evaluation.judges.captions import clip_embeddings
from musicbench.evaluation.judging import Judgement
from musicbench.evaluation.likelihood import shuffled_captions
from musicbench.evaluation.metrics.clap_score import clap_score
from musicbench.evaluation.metrics.fad_bootstrap import bootstrapped_fad
from musicbench.evaluation.metrics.fad_infinity import fad_infinity
from musicbench.evaluation.metrics.frechet import warn_if_few
from musicbench.evaluation.metrics.kad_bootstrap import bootstrapped_kad
from musicbench.evaluation.metrics.kld import EPSILON, class_probabilities, kl_divergences
from musicbench.evaluation.references.sets import ReferenceSet

KLD_FACTS = {"direction": "reference to generated", "epsilon": EPSILON}
"""For a record's protocol: what else changes a KLD."""


@dataclass
class Metrics:
    """Metrics as a run record holds them, why others are missing, and what was warned of while measuring."""

    values: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def attempt(self, name: str, measure: Callable[[], dict[str, Any]]) -> None:
        """Add a metric, or the reason why these clips do not allow it (too few, no direction, ...)."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)  # also of the next record, with the same words
            try:
                self.values[name] = measure()
            except UserError as error:
                self.values[name] = {"value": None}
                self.failures.append(f"{name}: {error}")
        for warning in caught:
            text = f"{name}: {warning.message}"
            if text not in self.warnings:
                self.warnings.append(text)
                warnings.warn(text, warning.category, stacklevel=2)


def per_clip(values_N: np.ndarray) -> dict[str, Any]:
    """A metric that is the mean over clips."""
    return {"value": float(values_N.mean()), "per_clip": values_N.tolist()}


def distances(
    found: Metrics, reference: ReferenceSet, judgements: Sequence[Judgement], pieces: Sequence[str], replicates: int
) -> None:
    """FAD to a reference, and FAD-infinity; replicates resample pieces in the same way for every system."""
    embeddings = [judgement.embeddings_WD for judgement in judgements]

    def fad() -> dict[str, Any]:
        if reference.windows is not None:
            warn_if_few(reference.windows, len(reference.mean_D), "FAD's reference")
        result = bootstrapped_fad(reference.mean_D, reference.cov_DD, embeddings, pieces, replicates)
        return {"value": result.value, "replicates": result.replicates}

    def infinity() -> dict[str, Any]:
        owners = np.repeat(np.arange(len(embeddings)), [len(rows) for rows in embeddings])
        line = fad_infinity(np.concatenate(embeddings), reference.mean_D, reference.cov_DD, owners)
        return {"value": line.value, "r_squared": line.r_squared}

    found.attempt("fad", fad)
    found.attempt("fad_infinity", infinity)


def codec_distance(
    found: Metrics, reference: ReferenceSet, latents: Sequence[np.ndarray], pieces: Sequence[str], replicates: int
) -> None:
    """Frechet distance of clips' latents [T, D] to a reference in the codec's latent space."""

    def distance() -> dict[str, Any]:
        if reference.windows is not None:
            warn_if_few(reference.windows, len(reference.mean_D), "the codec distance's reference", "frames")
        result = bootstrapped_fad(reference.mean_D, reference.cov_DD, latents, pieces, replicates)
        return {"value": result.value, "replicates": result.replicates}

    found.attempt("codec_distance", distance)


def kernel_distance(
    found: Metrics,
    originals: Sequence[Judgement],
    judgements: Sequence[Judgement],
    pieces: Sequence[str],
    replicates: int,
) -> None:
    """KAD of all windows to those of the originals with the same captions."""

    def kad() -> dict[str, Any]:
        generated, original = ([clip.embeddings_WD for clip in side] for side in (judgements, originals))
        result = bootstrapped_kad(generated, original, pieces, replicates)
        return {"value": result.value, "replicates": result.replicates}

    found.attempt("kad", kad)


def divergences(found: Metrics, judge: Judge, originals: Sequence[Judgement], judgements: Sequence[Judgement]) -> None:
    """KLD of each clip to the original with the same caption, in both directions."""
    original_NC, generated_NC = (
        np.stack([class_probabilities(clip.logits_WC, judge.class_kind) for clip in side])
        for side in (originals, judgements)
    )
    forward_N, reverse_N = kl_divergences(original_NC, generated_NC, kind=judge.class_kind)
    found.values |= {"kld": per_clip(forward_N), "kld_reverse": per_clip(reverse_N)}


def text_scores(
    found: Metrics,
    judge: TextAudioJudge,
    judgements: Sequence[Judgement],
    name: str,
    captions: Sequence[str],
    pieces: Sequence[str],
) -> None:
    """CLAP score ``name`` of clips with their captions, and as ``<name>_shuffled`` with those of other pieces."""
    audio_ND = np.stack([clip_embeddings(torch.from_numpy(clip.embeddings_WD)[None])[0].numpy() for clip in judgements])

    def score(texts: Callable[[], Sequence[str]]) -> dict[str, Any]:
        return per_clip(clap_score(judge.text(texts()).numpy(), audio_ND))

    for key, texts in caption_sets(name, captions, pieces):
        found.attempt(key, partial(score, texts))


def caption_sets(
    name: str, captions: Sequence[str], pieces: Sequence[str]
) -> list[tuple[str, Callable[[], Sequence[str]]]]:
    """Names of scores and the captions for them, true ones and shuffled, which few pieces may not allow."""
    return [(name, lambda: captions), (f"{name}_shuffled", lambda: shuffled_captions(captions, pieces))]
