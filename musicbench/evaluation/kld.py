"""KLD: how differently a classifier hears a generated clip and the original with the same caption."""

import numpy as np
from scipy.special import softmax, xlogy

_EPSILON = 1e-6  # audiocraft's, added to the generated probabilities only


def clip_probabilities(logits_WC: np.ndarray) -> np.ndarray:
    """Class probabilities [C] of a clip: softmax of each window's logits, averaged over windows (float64)."""
    return softmax(np.asarray(logits_WC, np.float64), axis=1).mean(axis=0)


def kl_divergence(reference_probs_NC: np.ndarray, generated_probs_NC: np.ndarray) -> np.ndarray:
    """KL(reference || generated) in nats per item, float64 [N]: audiocraft's direction, with its epsilon.

    The epsilon goes to the generated probabilities without renormalising, so equal inputs give a value
    slightly below zero (at most C x 1e-6).
    """
    reference = np.asarray(reference_probs_NC, np.float64)
    generated = np.asarray(generated_probs_NC, np.float64) + _EPSILON
    return (xlogy(reference, reference) - reference * np.log(generated)).sum(axis=1)
