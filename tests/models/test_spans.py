"""Which tokens are masked again, against loops over units written from the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.masked.spans import Units
from tests.models.masked_reference import masked_again

WAYS = [("nonoverlap", "max"), ("nonoverlap", "product"), ("stride1", "product")]


def units_of(open_BT, span, spans, score) -> Units:
    return Units(open_BT, MaskedSampling(span=span, spans=spans, span_score=score))


@st.composite
def cases(draw):
    frames, clips = draw(st.integers(1, 23)), draw(st.integers(1, 3))
    random = torch.Generator().manual_seed(draw(st.integers(0, 10_000)))
    open_BT = torch.rand(clips, frames, generator=random) < draw(st.sampled_from([0.3, 0.8, 1.0]))
    masked_BT = open_BT & (torch.rand(clips, frames, generator=random) < draw(st.sampled_from([0.5, 1.0])))
    # Distinct and exact in fp32, so that the order of units is never a matter of rounding.
    confidence_BT = (torch.rand(clips, frames, generator=random) * 2**12).floor() / 2**12 + 2**-13
    return open_BT, masked_BT, confidence_BT


@given(
    case=cases(),
    gamma=st.floats(0, 1),
    span=st.integers(1, 10),
    way=st.sampled_from(WAYS),
)
@settings(max_examples=400, deadline=None)
def test_equals_the_loops(case, gamma, span, way):
    open_BT, masked_BT, confidence_BT = case
    spans, score = way
    units = units_of(open_BT, span, spans, score)
    again_BT = units.mask_again(gamma, masked_BT, confidence_BT)
    wanted = [
        masked_again(o.tolist(), m.tolist(), c.tolist(), gamma, span, spans, score)
        for o, m, c in zip(open_BT, masked_BT, confidence_BT, strict=True)
    ]
    assert again_BT.tolist() == wanted
    assert not (again_BT & ~masked_BT).any(), "what is fixed stays fixed"
    assert int(again_BT.sum(1).max()) <= units.at_most(gamma)


def test_whole_units_are_masked_by_hand():
    confidence_BT = torch.tensor([[0.9, 0.1, 0.2, 0.3, 0.3, 0.3, 0.1, 0.8]])
    everything_BT = torch.ones(1, 8, dtype=torch.bool)
    units = units_of(everything_BT, 3, "nonoverlap", "max")
    assert units.mask_again(0.4, everything_BT, confidence_BT).tolist() == [[False] * 3 + [True] * 3 + [False] * 2]
    units = units_of(everything_BT, 3, "nonoverlap", "product")
    # Means of logs: (.9 .1 .2), (.3 .3 .3), and the short one (.1 .8).
    assert units.mask_again(0.4, everything_BT, confidence_BT).tolist() == [[True] * 3 + [False] * 5]
    units = units_of(everything_BT, 2, "stride1", "product")
    # Products of pairs: .09 .02 .06 .09 .09 .03 .08. The least sure is 1 and 2, then 5 and 6; three frames need both.
    again_BT = units.mask_again(3 / 8, everything_BT, confidence_BT)
    assert again_BT.int().tolist() == [[0, 1, 1, 0, 0, 1, 1, 0]]


@pytest.mark.parametrize("way", WAYS)
def test_one_unit_is_always_masked(way):
    open_BT = torch.ones(2, 9, dtype=torch.bool)
    again_BT = units_of(open_BT, 3, *way).mask_again(0.0, open_BT, torch.rand(2, 9))
    assert (again_BT.sum(1) == 3).all()


def test_a_clip_shorter_than_a_span_is_one_unit():
    open_BT = torch.ones(1, 4, dtype=torch.bool)
    for gamma in (0.0, 0.5, 1.0):
        assert units_of(open_BT, 5, "stride1", "product").mask_again(gamma, open_BT, torch.rand(1, 4)).all()


def test_spans_do_not_reach_over_a_prompt():
    """Two open frames without room for a span are one unit; with them go the least sure four of the other five."""
    open_BT = torch.tensor([[True, True, False, True, True, True, True, True]])
    units = units_of(open_BT, 4, "stride1", "product")
    confidence_BT = torch.tensor([[0.1, 0.1, 0.0, 0.9, 0.3, 0.3, 0.3, 0.3]])
    assert units.mask_again(0.0, open_BT, confidence_BT).tolist() == [[True, True, False, False] + [True] * 4]


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6), st.sampled_from([0.1, 0.5, 0.9]))
@settings(max_examples=100, deadline=None)
def test_overlapping_spans_treat_both_edges_alike(seed, frames, span, gamma):
    """A clip told backwards is masked backwards."""
    random = torch.Generator().manual_seed(seed)
    open_BT = torch.rand(2, frames, generator=random) < 0.9
    # In double precision no order of a sum makes two units equal.
    confidence_BT = torch.rand(2, frames, generator=random, dtype=torch.float64)
    again_BT = units_of(open_BT, span, "stride1", "product").mask_again(gamma, open_BT, confidence_BT)
    back_BT = units_of(open_BT.flip(1), span, "stride1", "product").mask_again(
        gamma, open_BT.flip(1), confidence_BT.flip(1)
    )
    assert torch.equal(back_BT, again_BT.flip(1))


def test_an_edge_gets_its_share():
    """Of a whole decoding by random confidences: with spans cut at the edge, the last frame led by far."""
    clips, frames, span = 4000, 25, 3
    open_BT = torch.ones(clips, frames, dtype=torch.bool)
    random = torch.Generator().manual_seed(0)
    sampling = MaskedSampling(iterations=(10,), span=span, spans="stride1", span_score="product")
    units, masked_BT, times_T = Units(open_BT, sampling), open_BT, torch.zeros(frames)
    for iteration in sampling.schedule(0)[1:]:
        masked_BT = units.mask_again(iteration.gamma, masked_BT, torch.rand(clips, frames, generator=random))
        times_T += masked_BT.float().mean(0)
    interior = float(times_T[span:-span].mean())
    for edge in (times_T, times_T.flip(0)):
        assert edge[0] < edge[1] < 0.95 * interior, "a frame in fewer units is reached more seldom"
        assert edge[0] > interior / span, "but by more than its part of the units"
    # Four standard deviations of a difference of two means of counts up to 9.
    assert abs(float(times_T[0] - times_T[-1])) < 4 * (2 * 9 / clips) ** 0.5
