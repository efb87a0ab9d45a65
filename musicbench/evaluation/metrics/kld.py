"""KLD: how differently a classifier hears a generated clip and the original with the same caption.

Shape suffixes: N clips, C classes, W windows of a clip.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, softmax, xlogy

from musicbench.errors import UserError
from musicbench.evaluation.judge_facts import Kind
from musicbench.evaluation.metric import Clips, metric, per_clip

if TYPE_CHECKING:
    from musicbench.evaluation.judging import Judgement

EPSILON = 1e-6
"""Audiocraft's epsilon, which is added to the second distribution only, without renormalising."""

KLD_FACTS = {"direction": "reference to generated", "epsilon": EPSILON}
"""Facts that change a KLD, for a record's protocol."""


def class_probabilities(logits_WC: np.ndarray, kind: Kind = "softmax") -> np.ndarray:
    """Compute class probabilities of each window from its logits, and average them over a clip's windows (float64).

    Args:
        logits_WC: logits [..., W, C] of clips; the result is [..., C].
        kind: see ``Kind``.

    >>> class_probabilities(np.array([[0.0, 0.0], [0.0, np.log(3)]])).round(3).tolist()
    [0.375, 0.625]
    """
    logits_WC = np.asarray(logits_WC, np.float64)
    probs_WC = softmax(logits_WC, axis=-1) if kind == "softmax" else expit(logits_WC)
    return probs_WC.mean(axis=-2)


def kl_divergence(
    reference_probs_NC: np.ndarray,
    generated_probs_NC: np.ndarray,
    epsilon: float = EPSILON,
    kind: Kind = "softmax",
) -> np.ndarray:
    """Compute KL(reference || generated) in nats per item, float64 [N]: audiocraft's direction, with its epsilon.

    - softmax: sum_c p_c log(p_c / (q_c + epsilon)), p the reference and q the generated probabilities;
    - sigmoid: the sum over classes of the divergences between two coins,
      p_c log(p_c / (q_c + epsilon)) + (1 - p_c) log((1 - p_c) / (1 - q_c + epsilon)).

    Range: from 0 up, but for the epsilon: equal inputs give a value slightly below zero (at most epsilon for
    each class, twice that for sigmoid). Infinite where epsilon is 0 and q excludes what p allows.

    Source: Kreuk et al., AudioGen (arXiv 2209.15352), and Copet et al., MusicGen (arXiv 2306.05284), the
    sections on evaluation metrics; the epsilon is that of the audiocraft code.

    Raises:
        UserError: the shapes differ.

    >>> round(float(kl_divergence(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))[0]), 4)
    0.6931
    """
    reference = np.asarray(reference_probs_NC, np.float64)
    generated = np.asarray(generated_probs_NC, np.float64)
    if reference.shape != generated.shape:
        raise UserError(
            f"KLD of probabilities of shapes {reference.shape} and {generated.shape}; give one generated row "
            "for each reference row, from the same judge"
        )
    divergence = xlogy(reference, reference) - xlogy(reference, generated + epsilon)
    if kind == "sigmoid":
        other = 1 - reference
        divergence += xlogy(other, other) - xlogy(other, 1 - generated + epsilon)
    return divergence.sum(axis=-1)


@metric("kld", "originals")
def kld(clips: Clips) -> dict[str, Any]:
    """Measure KLD of each clip from the original with the same caption."""
    assert clips.originals is not None
    return per_clip(_divergences(clips.originals["kld"], clips.heard["kld"], clips.judges.kld.class_kind))


@metric("kld_reverse", "originals")
def kld_reverse(clips: Clips) -> dict[str, Any]:
    """Measure KLD in the reverse direction."""
    assert clips.originals is not None
    return per_clip(_divergences(clips.heard["kld"], clips.originals["kld"], clips.judges.kld.class_kind))


def _divergences(first: Sequence["Judgement"], second: Sequence["Judgement"], kind: Kind) -> np.ndarray:
    first_NC, second_NC = (
        np.stack([class_probabilities(judgement.logits_WC, kind) for judgement in side]) for side in (first, second)
    )
    return kl_divergence(first_NC, second_NC, kind=kind)
