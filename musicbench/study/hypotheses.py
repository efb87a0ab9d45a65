"""Tests of an estimate against limits, and Holm's correction for many tests."""

from collections.abc import Sequence

import numpy as np
from scipy.special import stdtr

from musicbench.study.statistics import Estimate

SIGNIFICANT = 0.05


def p_below(found: Estimate, limit: float) -> float:
    """One-sided p of Student's t: small where the true value is certainly below ``limit``."""
    if found.error == 0:
        return float(found.value >= limit)
    return float(stdtr(found.freedom, (found.value - limit) / found.error))


def p_above(found: Estimate, limit: float) -> float:
    """One-sided p of Student's t: small where the true value is certainly above ``limit``."""
    if found.error == 0:
        return float(found.value <= limit)
    return float(stdtr(found.freedom, (limit - found.value) / found.error))


def p_inside(found: Estimate, low: float, high: float) -> float:
    """Two one-sided tests: small where the true value is certainly between ``low`` and ``high``.

    Schuirmann 1987, "A comparison of the two one-sided tests procedure and the power approach": equivalence holds if
    both tests reject, so that the larger p counts.
    """
    return max(p_above(found, low), p_below(found, high))


def p_outside(found: Estimate, low: float, high: float) -> float:
    """Small where the true value is certainly below ``low`` or certainly above ``high``."""
    return min(p_below(found, low), p_above(found, high))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected by Holm's step-down method: below 5 %, the chance of any false one is below 5 %."""
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(factors * np.asarray(p_values)[order]), 1)
    return [float(p) for p in corrected]
