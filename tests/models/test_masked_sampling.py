"""Settings of masked decoding and their schedules."""

import math

import numpy as np
import pytest
import torch

from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.masked.spans import Units


@pytest.mark.parametrize("count", [1, 2, 3, 20, 60])
def test_schedule_is_the_formula(count):
    schedule = MaskedSampling(iterations=(count,)).schedule(0)
    assert len(schedule) == count
    for i, (gamma, (cfg, _), temperature) in enumerate(schedule):
        share = math.cos(math.pi / 2 * i / (count - 1)) if count > 1 else 1.0
        assert gamma == pytest.approx(share, abs=1e-12)
        assert cfg == pytest.approx(10 * share + (1 - share))
        assert temperature == pytest.approx(max(3.0 * (count - 1 - i) / count, 0.01))


@pytest.mark.parametrize("count", [1, 2, 5, 60])
def test_a_schedule_that_begins_at_the_starting_temperature(count):
    """Whatever the number of iterations: one is not greedy, and more differ in nothing but their number."""
    heats = [i.temperature for i in MaskedSampling(iterations=(count,), anneal="linear_from_start").schedule(0)]
    assert heats[0] == 3.0
    steps = np.linspace(3.0, 0.0, count) if count > 1 else [3.0]
    assert heats == pytest.approx(np.maximum(steps, 0.01))
    paper = [i.temperature for i in MaskedSampling(iterations=(count,)).schedule(0)]
    assert paper[0] == pytest.approx(max(3.0 * (1 - 1 / count), 0.01)), "the paper's begins below it"


def test_without_annealing():
    schedule = MaskedSampling(iterations=(4,), anneal="constant", temperature=1.5, cfg=3.0, cfg_final=3.0).schedule(0)
    assert all(cfg == pytest.approx(3.0) and temperature == 1.5 for _, (cfg, _), temperature in schedule)
    assert not MaskedSampling(cfg=1.0, cfg_final=1.0).scales.guided
    assert MaskedSampling(cfg=1.0, cfg_final=2.0).scales.guided


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": ()},
        {"iterations": (3, 0)},
        {"iterations": (2.5,)},
        {"span": 0},
        {"spans": "overlap"},
        {"span_score": "min"},
        {"span_score": "max", "spans": "stride1"},
        {"anneal": True},
        {"prompt_upper_levels": "all"},
        {"remasking": "all"},
        {"rescorer_probability": "guided"},
        {"temperature": -1.0},
        {"cfg": math.nan},
        {"top_p": 0.0},
        {"top_p": 1.1},
        {"top_k": -1},
        {"rescore": 1.5},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        MaskedSampling(**wrong)


def test_overlapping_spans_are_scored_by_all_of_their_tokens():
    with pytest.raises(ValueError, match="set span_score=product"):
        MaskedSampling(spans="stride1")
    assert MaskedSampling(spans="stride1", span_score="product").span_score == "product"


@pytest.mark.parametrize("frames", [36, 498, 500])
@pytest.mark.parametrize("count", [1, 2, 4, 10, 20, 60])
def test_released_code_counts_units_in_single_precision(frames, count):
    released, exact = (MaskedSampling(iterations=(count,), remasking=way) for way in ("released", None))
    open_BT = torch.ones(1, frames, dtype=torch.bool)
    counts = {}
    for sampling in (released, exact):
        units = Units(open_BT, sampling)
        masked = [
            int(units.mask_again(step.gamma, open_BT, torch.rand(1, frames))[0, ::3].sum())
            for step in sampling.schedule(0)
        ]
        assert all(units.at_most(step.gamma) >= 3 * n - 2 for step, n in zip(sampling.schedule(0), masked, strict=True))
        counts[sampling.remasking] = masked
    spans = -(-frames // 3)
    shares = torch.linspace(0, 1, count)
    assert counts["released"] == [max(int((torch.cos(share * math.pi * 0.5) * spans).item()), 1) for share in shares]
    # The rounded two thirds of ten iterations' way make of half an even number one less.
    apart = [a != b for a, b in zip(counts["released"], counts[None], strict=True)]
    assert apart == [count == 10 and i == 6 and spans % 2 == 0 for i in range(count)]


def test_how_often_a_rescorer_is_asked():
    assert MaskedSampling(iterations=(5, 1, 3)).rescorings() == 0
    assert MaskedSampling(iterations=(5, 1, 3), rescore=0.5).rescorings() == 4 + 0 + 2
