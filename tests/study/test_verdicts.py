"""Verdicts from synthetic records: directions, equivalences, slopes, floors and their correction."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from musicbench.study.claims import Claim
from musicbench.study.hypotheses import holm
from musicbench.study.run_record import RunRecord
from musicbench.study.statistics import contrast_interval, contrast_replicate_interval
from musicbench.study.table import Table, build_table
from musicbench.study.verdicts import Finding, examine, examine_all, slope_weights
from tests.study.example_claims import CLAIM, claim

Make = Callable[..., RunRecord]
FALLING = {"row1": 5.0, "row2": 4.4, "row4": 4.1, "row8": 3.2}


@pytest.fixture
def table(spec: Any, records: list[RunRecord]) -> Table:
    return build_table(spec, records)


@pytest.mark.parametrize(
    ("inequality", "verdict"),
    [
        ("flat.metrics.fad < delay.metrics.fad", "reproduced"),
        ("flat.metrics.fad > delay.metrics.fad", "contradicted"),
        ("delay.metrics.fad > flat.metrics.fad", "reproduced"),
        ("flat.metrics.fad < 0.6 * delay.metrics.fad", "contradicted"),
        ("flat.metrics.fad < 0.8 * delay.metrics.fad", "undecided"),
        ("delay.metrics.fad < 2*flat.metrics.fad", "reproduced"),
        ("flat.metrics.bits_per_frame < delay.metrics.bits_per_frame", "reproduced"),
        ("flat.metrics.bits_per_frame < 0.95 * delay.metrics.bits_per_frame", "undecided"),
        ("delay.caption_gain > flat.caption_gain", "undecided"),
        ("flat.metrics.bits_per_frame ~ delay.metrics.bits_per_frame within 1.5", "reproduced"),
        ("flat.metrics.bits_per_frame ~ delay.metrics.bits_per_frame within 0.5", "contradicted"),
        ("flat.metrics.bits_per_frame ~ delay.metrics.bits_per_frame within 1", "undecided"),
        ("flat.metrics.bits_per_frame ~ delay.metrics.bits_per_frame within 8 %", "reproduced"),
        ("flat.metrics.bits_per_frame ~ delay.metrics.bits_per_frame within 3 %", "contradicted"),
        ("delay.caption_gain ~ flat.caption_gain within 0.01", "undecided"),
    ],
)
def test_verdicts(table: Table, inequality: str, verdict: str) -> None:
    assert examine(claim(inequality), table).verdict == verdict


def per_clip(records: list[RunRecord], row: str, metric: str) -> np.ndarray:
    return next(np.array(record["metrics"][metric]["per_clip"]) for record in records if record["row"] == row)


def test_the_difference_is_paired_on_the_same_clips(table: Table, records: list[RunRecord]) -> None:
    flat, delay = per_clip(records, "flat", "kld"), per_clip(records, "delay", "kld")
    found = examine(claim("flat.metrics.kld < 0.9 * delay.metrics.kld"), table)
    expected = contrast_interval([flat, delay], [1, -0.9], [clip["piece"] for clip in records[0]["clips"]])
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert found.values == pytest.approx((flat.mean(), delay.mean()))
    assert found.p_value == pytest.approx(2 * stats.t.cdf(-abs(expected.value) / expected.error, 11))
    assert (found.kind, found.seeds, found.measure) == ("metrics.kld", (1, 1), "difference")


def test_equivalence_by_hand(table: Table, records: list[RunRecord]) -> None:
    flat, delay = per_clip(records, "flat", "bits_per_frame"), per_clip(records, "delay", "bits_per_frame")
    difference = contrast_interval([flat, delay], [1, -1], [clip["piece"] for clip in records[0]["clips"]])
    for text, margin in [("1.2", 1.2), ("5.5 %", 0.055 * delay.mean()), ("0.9", 0.9)]:
        found = examine(claim(f"flat.metrics.bits_per_frame ~ delay.metrics.bits_per_frame within {text}"), table)
        inside = max(
            stats.t.sf((difference.value + margin) / difference.error, 11),
            stats.t.cdf((difference.value - margin) / difference.error, 11),
        )
        outside = min(
            stats.t.cdf((difference.value + margin) / difference.error, 11),
            stats.t.sf((difference.value - margin) / difference.error, 11),
        )
        assert found.p_value == pytest.approx(2 * min(inside, outside))
        assert (found.value, found.low) == (difference.value, difference.low)


def trend(spec: Any, make_record: Make, seeds: int = 1, **places: int) -> Table:
    """A table of rows whose FAD and bits fall with the doublings of a schedule's separation."""
    spec["rows"] = [{"row": row, "label": row} for row in FALLING]
    spec["reference_row"] = "row1"
    del spec["published"]
    spec["columns"]["Cost"].append({"key": "separation", "label": "Separation"})
    records = []
    for (row, fad), seed in itertools.product(FALLING.items(), range(seeds)):
        record = make_record(row, seed=seed, fad=fad + 0.1 * seed, bits=fad + 15)
        assert record["plan"]
        separation = places.get(row, int(row.removeprefix("row")))
        record["plan"]["schedule"] = "sequential" if separation == 1 else f"block_{separation}"
        records.append(record)
    return build_table(spec, records)


SLOPE = claim("slope of metrics.fad over separation < 0", rows=list(FALLING))


def test_slope_weights_are_those_of_least_squares() -> None:
    places, values = [1, 2, 3, 4, 8], [5.0, 4.4, 4.5, 4.1, 3.2]
    slope = stats.linregress(np.log2(places), values).slope
    assert np.dot(slope_weights(places), values) == pytest.approx(slope)
    assert sum(slope_weights(places)) == pytest.approx(0)


def test_a_slope_by_hand(spec: Any, make_record: Make) -> None:
    table = trend(spec, make_record, seeds=3)
    found = examine(SLOPE, table)
    fad = [fad + 0.1 for fad in FALLING.values()]
    # x = 0, 1, 2, 3 about 1.5: (-1.5 a - 0.5 b + 0.5 c + 1.5 d) / 5.
    by_hand = (-1.5 * fad[0] - 0.5 * fad[1] + 0.5 * fad[2] + 1.5 * fad[3]) / 5
    assert found.value == pytest.approx(by_hand)
    assert (found.measure, found.over, found.seeds) == ("slope", (1, 2, 4, 8), (3, 3, 3, 3))
    assert found.values == pytest.approx(fad)
    metrics = [[record["metrics"]["fad"] for record in row.records] for row in table.rows]
    expected = contrast_replicate_interval(
        [np.array([one["value"] for one in row]) for row in metrics],
        [np.array([one["replicates"] for one in row]) for row in metrics],
        [-0.3, -0.1, 0.1, 0.3],
        12,
    )
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.verdict == "reproduced"
    assert examine({**SLOPE, "inequality": "slope of metrics.fad over separation > 0"}, table).verdict == "contradicted"
    for margin, verdict in [(1.0, "reproduced"), (0.2, "contradicted"), (-found.value, "undecided")]:
        within = f"slope of metrics.fad over separation ~ 0 within {margin}"
        assert examine({**SLOPE, "inequality": within}, table).verdict == verdict
    bits = examine({**SLOPE, "inequality": "slope of metrics.bits_per_frame over separation < 0"}, table)
    assert bits.verdict == "reproduced" and bits.value == pytest.approx(by_hand, abs=0.1)


def test_slopes_that_cannot_be_tested_say_why(spec: Any, make_record: Make) -> None:
    table = trend(spec, make_record, row1=4, row2=4, row8=4)
    assert examine(SLOPE, table).reason == "the rows do not differ in separation"
    for record in table.records:
        assert record["plan"]
        record["plan"]["schedule"] = None
    assert examine(SLOPE, table).reason == "row row1 has no separation above 0"


def of_fad(make_record: Make, **values: float) -> list[RunRecord]:
    kinds = {"codec": "reference"}
    return [make_record(row, fad=fad, kind=kinds.get(row, "trained")) for row, fad in values.items()]


def concluded(one: Claim, table: Table) -> Finding:
    """The finding on a claim that stands alone, so that nothing is corrected."""
    return examine_all([one], {"patterns": table})[0]


def test_a_claim_below_the_codec_is_not_testable(spec: Any, make_record: Make) -> None:
    """A claim of 45 % less, on a table whose codec reaches 29.45 and whose delay row 54.1, was "contradicted"."""
    records = of_fad(make_record, flat=53.6, delay=54.1, parallel=56.1, codec=29.45)
    found = concluded(claim("flat.metrics.fad < 0.55 * delay.metrics.fad"), build_table(spec, records))
    assert found.verdict == "not testable here"
    assert "reaches 29.4" in found.reason and "limit of 29.8" in found.reason
    assert found.values == (53.6, 54.1)
    turned = concluded(claim("delay.metrics.fad > 1.82 * flat.metrics.fad"), build_table(spec, records))
    assert turned.verdict == "not testable here" and "limit of 29.7" in turned.reason
    # The same share above a codec that could meet it, and without one.
    low = of_fad(make_record, flat=53.6, delay=54.1, codec=9.0)
    below = claim("flat.metrics.fad < 0.55 * delay.metrics.fad")
    assert concluded(below, build_table(spec, low)).verdict == "contradicted"
    alone = build_table(spec, records[:3])
    assert concluded(claim("flat.metrics.fad < 0.55 * delay.metrics.fad"), alone).verdict == "contradicted"
    # What a row does meet is testable, whatever the codec reaches; so are other operators and other columns.
    met = build_table(spec, of_fad(make_record, flat=20.0, delay=54.1, codec=29.45))
    assert concluded(claim("flat.metrics.fad < 0.55 * delay.metrics.fad"), met).verdict == "reproduced"
    table = build_table(spec, records)
    assert concluded(claim("flat.metrics.fad ~ delay.metrics.fad within 0.01"), table).verdict != "not testable here"
    assert concluded(claim("flat.metrics.bits_per_frame < 0.1 * delay.metrics.bits_per_frame"), table).tested


def test_verdicts_are_corrected_within_a_kind_alone(spec: Any, make_record: Make) -> None:
    names = [f"row{n}" for n in range(10)]
    spec["rows"] = [{"row": row, "label": row} for row in ("delay", *names)]
    del spec["published"]
    shifts = np.random.default_rng(1).normal(0, 0.1, len(names))
    records = [make_record("delay"), *(make_record(name, bits=20 + x) for name, x in zip(names, shifts, strict=True))]
    table = build_table(spec, records)
    claims = [claim(f"{row}.metrics.bits_per_frame < delay.metrics.bits_per_frame") for row in names]
    other = claim("row0.metrics.fad < delay.metrics.fad")
    alone = [examine(one, table) for one in claims]
    found = examine_all([*claims[:5], other, *claims[5:]], {"patterns": table})
    assert found[5].corrected == found[5].p_value == examine(other, table).p_value and found[5].together == 1
    of_bits = found[:5] + found[6:]
    corrected = holm([one.p_value for one in alone])
    assert [one.corrected for one in of_bits] == corrected
    assert {one.together for one in of_bits} == {10}
    for one, before, p in zip(of_bits, alone, corrected, strict=True):
        assert one.verdict == (before.verdict if p < 0.05 else "undecided")
        assert (one.low, one.high) == (before.low, before.high), "intervals are not corrected"
    assert sum(one.verdict != "undecided" for one in alone) > sum(one.verdict != "undecided" for one in of_bits) > 0


def test_claims_that_are_not_tested_do_not_count_and_those_not_testable_do(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    claims = [
        CLAIM,
        claim("magnet.metrics.fad < delay.metrics.fad"),
        claim("flat.metrics.fad < 0.3 * delay.metrics.fad"),
    ]
    found = examine_all(claims, {"patterns": table})
    assert [one.verdict for one in found] == ["reproduced", "not tested", "not testable here"]
    alone = [examine(claims[n], table).p_value for n in (0, 2)]
    assert [found[n].together for n in (0, 2)] == [2, 2]
    assert [found[n].corrected for n in (0, 2)] == holm(alone)


def test_what_correction_makes_undecided_may_be_out_of_reach(spec: Any, make_record: Make) -> None:
    """The floor is asked of corrected verdicts: a row that meets a claim by luck alone does not make it testable."""
    records = of_fad(make_record, flat=29.6, delay=54.1, codec=29.45)
    table = build_table(spec, records)
    one = claim("flat.metrics.fad < 0.55 * delay.metrics.fad")
    found = examine_all([one], {"patterns": table})[0]
    assert found.verdict == "not testable here" and found.p_value == examine(one, table).p_value


def test_seeds_of_a_row_count_beside_a_reference_without_seeds(spec: Any, make_record: Make) -> None:
    """A codec has one value for ever; the luck of the trained side was left out together with it."""
    codec = make_record("codec", fad=29.0, kind="reference")
    lucky = [make_record("delay", seed, fad=fad) for seed, fad in enumerate((54.0, 60.0, 48.0))]
    calm = [make_record("delay", seed, fad=54.0) for seed in range(3)]
    spread = [
        examine(claim("codec.metrics.fad < 0.55 * delay.metrics.fad"), build_table(spec, [codec, *rows]))
        for rows in (lucky, calm)
    ]
    assert spread[0].high - spread[0].low > 1.5 * (spread[1].high - spread[1].low)
    assert spread[0].p_value > 0.3


def test_what_cannot_be_tested_says_why(table: Table) -> None:
    assert examine(claim("magnet.metrics.fad < delay.metrics.fad"), table).reason == "no record of row magnet"
    assert examine(claim("delay.metrics.fad < magnet.metrics.fad"), table).reason == "no record of row magnet"
    assert (
        examine(claim("codec.metrics.bits_per_frame < delay.metrics.bits_per_frame"), table).reason
        == "row codec has no metrics.bits_per_frame"
    )
    assert "pair" in examine(claim("flat.plan.steps > delay.plan.steps"), table).reason


@pytest.mark.parametrize("column", ["metrics.fad", "metrics.kld", "metrics.bits_per_frame"])
def test_the_two_operators_contradict_each_other(table: Table, column: str) -> None:
    opposite = {"reproduced": "contradicted", "contradicted": "reproduced", "undecided": "undecided"}
    names = ["flat", "delay", "parallel"]
    found = {
        (left, sign, right): examine(claim(f"{left}.{column} {sign} {right}.{column}"), table).verdict
        for left, sign, right in itertools.product(names, "<>", names)
    }
    for left, right in itertools.product(names, names):
        assert found[left, ">", right] == opposite[found[left, "<", right]] == found[right, "<", left]
        assert found[left, "<", left] == "undecided"
    assert "reproduced" in found.values()


def test_infinite_intervals_decide_nothing(spec: Any, make_record: Make) -> None:
    table = build_table(spec, [make_record("flat", pieces=1), make_record("delay", pieces=1)])
    for text in (CLAIM["inequality"], "flat.metrics.fad ~ delay.metrics.fad within 1e9"):
        found: Finding = examine(claim(text), table)
        assert (found.verdict, found.low, found.p_value) == ("undecided", -np.inf, 1.0)
