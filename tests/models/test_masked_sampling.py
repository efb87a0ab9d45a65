"""Settings of masked decoding and their schedules."""

import math

import pytest

from musicbench.models.masked.sampling import MaskedSampling


@pytest.mark.parametrize("count", [1, 2, 3, 20, 60])
def test_schedule_is_the_formula(count):
    schedule = MaskedSampling(iterations=(count,)).schedule(0)
    assert len(schedule) == count
    for i, (gamma, cfg, temperature) in enumerate(schedule):
        share = math.cos(math.pi / 2 * i / (count - 1)) if count > 1 else 1.0
        assert gamma == pytest.approx(share, abs=1e-12)
        assert cfg == pytest.approx(10 * share + (1 - share))
        assert temperature == pytest.approx(max(3.0 * (count - 1 - i) / count, 0.01))


def test_without_annealing():
    schedule = MaskedSampling(iterations=(4,), anneal=False, temperature=1.5, cfg=3.0, cfg_final=3.0).schedule(0)
    assert all(cfg == pytest.approx(3.0) and temperature == 1.5 for _, cfg, temperature in schedule)
    assert not MaskedSampling(cfg=1.0, cfg_final=1.0).guided
    assert MaskedSampling(cfg=1.0, cfg_final=2.0).guided


@pytest.mark.parametrize(
    "wrong",
    [
        {"iterations": ()},
        {"iterations": (3, 0)},
        {"iterations": (2.5,)},
        {"span": 0},
        {"spans": "overlap"},
        {"span_score": "min"},
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
