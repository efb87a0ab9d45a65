"""Training masks of MAGNeT against their formulas, by enumeration."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.models.masked.span_masks import draw_mask, mean_rates, span_count


@pytest.mark.parametrize(("frames", "span"), [(7, 1), (7, 3), (8, 4), (6, 5), (5, 5), (4, 6), (1, 3)])
def test_rate_of_a_number_of_spans(frames, span):
    """In the interior of the clip, over all ways to choose the starts."""
    for count in range(1, frames + 1):
        formula = 1 - math.comb(max(frames - span, 0), count) / math.comb(frames, count)
        assert mean_rates(frames, span)[count - 1] == pytest.approx(formula, abs=1e-12)
        inner = frames - 1  # all of its L covering starts exist, if there are so many
        if span <= frames:
            starts = itertools.combinations(range(frames), count)
            hit = [any(s <= inner < s + span for s in chosen) for chosen in starts]
            assert formula == pytest.approx(sum(hit) / len(hit), abs=1e-12)


@given(frames=st.integers(1, 600), span=st.integers(1, 12), rate=st.floats(0, 1))
def test_count_is_the_first_that_reaches_the_rate(frames, span, rate):
    count = span_count(frames, span, rate)
    assert 1 <= count <= frames

    def missing(u: int) -> Fraction:
        free = Fraction(math.comb(max(frames - span, 0), u), math.comb(frames, u))
        return Fraction(round(100 * rate), 100) - (1 - free)

    assert missing(count) <= 1e-11
    assert count == 1 or missing(count - 1) > 0


def test_masks_are_unions_of_spans_cut_at_the_edge():
    for number in range(300):
        stream = np.random.default_rng(number)
        frames, span = int(stream.integers(1, 30)), int(stream.integers(1, 7))
        mask = draw_mask(frames, span, np.random.default_rng([number, 1]))
        assert mask.shape == (frames,)
        assert mask.any()
        runs = [len(list(run)) for value, run in itertools.groupby(mask) if value]
        # Only a run that ends at the right edge may be shorter than a span.
        assert all(length >= span for length in runs[: -1 if mask[-1] else None])


def test_rate_follows_the_cosine():
    """The mean of cos(pi/2 U) is 2 / pi; the rate of interior frames, 4 standard errors of 4,000 masks."""
    masks = np.stack([draw_mask(200, 3, np.random.default_rng(number)) for number in range(4000)])
    inner = masks[:, 10:].mean(1)
    assert inner.mean() == pytest.approx(2 / math.pi, abs=4 * inner.std() / 4000**0.5 + 0.005)
    # The share of masks below a rate r is that of U above 2 / pi arccos(r).
    for rate in (0.3, 0.6, 0.9):
        assert (inner < rate).mean() == pytest.approx(1 - 2 / math.pi * math.acos(rate), abs=0.04)


def test_masks_follow_their_stream():
    one, again, other = (draw_mask(50, 3, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert (one == again).all()
    assert (one != other).any()
