"""Which tokens are masked again, against loops over units written from the definition."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.models.masked.spans import Units
from tests.models.masked_reference import masked_again


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
    spans=st.sampled_from(["nonoverlap", "stride1"]),
    score=st.sampled_from(["max", "product"]),
)
@settings(max_examples=300, deadline=None)
def test_equals_the_loops(case, gamma, span, spans, score):
    open_BT, masked_BT, confidence_BT = case
    units = Units(open_BT, span, spans, score)
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
    units = Units(everything_BT, 3, "nonoverlap", "max")
    assert units.mask_again(0.4, everything_BT, confidence_BT).tolist() == [[False] * 3 + [True] * 3 + [False] * 2]
    units = Units(everything_BT, 3, "nonoverlap", "product")
    # Means of logs: (.9 .1 .2), (.3 .3 .3), and the short one (.1 .8).
    assert units.mask_again(0.4, everything_BT, confidence_BT).tolist() == [[True] * 3 + [False] * 5]
    units = Units(everything_BT, 2, "stride1", "max")
    # The least sure pairs are frames 1 and 2, then, first of equals, 2 and 3; three frames of eight need both.
    assert units.mask_again(3 / 8, everything_BT, confidence_BT).tolist() == [[False] + [True] * 3 + [False] * 4]


@pytest.mark.parametrize("spans", ["nonoverlap", "stride1"])
def test_one_unit_is_always_masked(spans):
    open_BT = torch.ones(2, 9, dtype=torch.bool)
    again_BT = Units(open_BT, 3, spans, "max").mask_again(0.0, open_BT, torch.rand(2, 9))
    assert (again_BT.sum(1) >= 1).all()
    assert (again_BT.sum(1) <= 3).all()
