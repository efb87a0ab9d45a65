"""Curves of training: read at a number of operations, fitted, extended and drawn."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes

from musicbench.study.curves import (
    Curve,
    PowerLaw,
    bits_at,
    crossings,
    mean_curve,
    power_law,
    row_law,
    training_curve,
    whole_crops,
)
from musicbench.study.curves_figure import draw_curves
from musicbench.study.curves_report import render_curves
from musicbench.study.derived import is_derived
from musicbench.study.plausible import require_curve
from musicbench.study.quantities import quantity
from musicbench.study.render import render_table
from musicbench.study.table import build_table
from tests.study.conftest import make_synthetic

STEPS = np.arange(100, 1100, 100)
SPEC = {
    "title": "Patterns",
    "protocol": "Equal steps.",
    "reference_row": "steep",
    "rows": [{"row": "steep", "label": "Steep |"}, {"row": "flat", "label": "Flat"}, {"row": "none", "label": "-"}],
    "columns": {"Quality": [{"key": "metrics.fad", "label": "FAD"}]},
}


def with_curve(row: str, law: PowerLaw, seed: int = 0, warmup: int = 300):
    """A record whose curve follows a law, but for the short crops at its begin."""
    record = make_synthetic(row, seed)
    flops_N = law.flops * STEPS / STEPS[-1]
    scores_N = [law(flops) + (5 if step <= warmup else 0) for step, flops in zip(STEPS, flops_N, strict=True)]
    names = ("step", "flops", "score")
    record["training"]["curve"] = [
        dict(zip(names, (int(step), *point), strict=True))
        for step, *point in zip(STEPS, flops_N, scores_N, strict=True)
    ]
    record["config"]["training"] = {"length_warmup": [{"steps": warmup, "seconds": 1.0}]}
    return record


def test_a_fit_finds_the_law_behind_a_curve():
    law = PowerLaw(20.0, 4.0, 0.4, 1e13)
    fitted = row_law([with_curve("delay", law)])
    assert fitted == pytest.approx(law, rel=1e-3)
    assert fitted(16e13) == pytest.approx(20 + 4 * 16**-0.4, rel=1e-3)


def test_a_fit_is_of_the_mean_over_seeds():
    laws = [PowerLaw(20.0, 4.0, 0.4, 1e13), PowerLaw(21.0, 4.0, 0.4, 1e13)]
    fitted = row_law([with_curve("delay", law, seed) for seed, law in enumerate(laws)])
    assert fitted.floor == pytest.approx(20.5, rel=1e-3)


def test_the_mean_of_a_row_is_over_the_validations_that_all_its_seeds_have(tmp_path: Path):
    laws = [PowerLaw(20.0, 4.0, 0.4, 1e13), PowerLaw(21.0, 4.0, 0.4, 3e13), PowerLaw(22.0, 4.0, 0.4, 2e13)]
    records = [with_curve("delay", law, seed, warmup=0) for seed, law in enumerate(laws)]
    del records[1]["training"]["curve"][0]
    del records[2]["training"]["curve"][3]
    mean = mean_curve(records)
    assert mean.steps_N.tolist() == [200, 300, 500, 600, 700, 800, 900, 1000]
    np.testing.assert_allclose(mean.flops_N, 2e13 * mean.steps_N / 1000)
    np.testing.assert_allclose(mean.bits_N, 21 + 4 * (mean.steps_N / 1000) ** -0.4)
    assert row_law(records) == pytest.approx(PowerLaw(21.0, 4.0, 0.4, 2e13), rel=1e-3)
    records[2]["training"]["curve"] = records[2]["training"]["curve"][:1]
    assert mean_curve(records) is None and row_law(records) is None, "step 100 is not in all"
    assert mean_curve([*records[:1], make_synthetic("delay", 3)]) is None, "a seed has no curve"
    assert mean_curve([]) is None


def test_the_figure_draws_the_mean_over_steps_and_over_operations(tmp_path: Path, monkeypatch):
    laws = [PowerLaw(20.0, 4.0, 0.4, 1e13), PowerLaw(21.0, 4.0, 0.4, 3e13)]
    records = [with_curve("steep", law, seed) for seed, law in enumerate(laws)]
    del records[1]["training"]["curve"][0]
    lines, plot = [], Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda axes, *data, **looks: lines.append((data, looks)) or plot(axes, *data, **looks)
    )
    draw_curves(build_table(SPEC, records), tmp_path / "curves.png")
    mean = mean_curve(records)
    (by_steps, looks), (by_flops, _), _ = lines
    assert looks["label"] == "Steep |"
    np.testing.assert_array_equal(by_steps, [mean.steps_N, mean.bits_N])
    np.testing.assert_array_equal(by_flops, [mean.flops_N, mean.bits_N])


@pytest.mark.parametrize(
    "stages", [None, "none", [{"seconds": 1.0}], [{"steps": "3"}], [3, None], [{"steps": 1e308}] * 2]
)
def test_a_record_may_say_anything_of_its_warm_up(stages):
    record = with_curve("delay", PowerLaw(20.0, 4.0, 0.4, 1e13), warmup=0)
    record["config"]["training"]["length_warmup"] = stages
    endless = isinstance(stages, list) and stages[0] == {"steps": 1e308}
    assert len(whole_crops(record, training_curve(record)).steps_N) == (0 if endless else 10)
    assert (row_law([record]) is None) == endless
    record["config"]["training"] = stages
    assert len(whole_crops(record, training_curve(record)).steps_N) == 10


@given(
    st.lists(
        st.tuples(st.integers(1, 2**53), st.floats(1, 1e30), st.floats(-1e30, 1e30) | st.floats(-1, 30)),
        min_size=1, max_size=9, unique_by=(lambda point: point[0], lambda point: point[1]),
    ),
)  # fmt: skip
@settings(deadline=None)
def test_whatever_curve_a_record_may_hold_is_fitted_or_not(points):
    columns = [sorted(column) for column in list(zip(*points, strict=True))[:2]]
    names = ("step", "flops", "score")
    record = with_curve("delay", PowerLaw(20.0, 4.0, 0.4, 1e13), warmup=0)
    curve = [
        dict(zip(names, point, strict=True)) for point in zip(*columns, [score for *_, score in points], strict=True)
    ]
    require_curve(curve, "curve")
    record["training"]["curve"] = curve
    law = row_law([record])
    assert law is None or all(math.isfinite(number) for number in (*law, law(16 * law.flops)))
    assert (law is None) == (len(points) < 5 or min(point["score"] for point in curve) <= 0)
    assert math.isfinite(bits_at(record, curve[-1]["flops"]))


def test_four_points_are_too_few():
    flops_N = np.array([1.0, 2, 3, 4])
    assert power_law(Curve(flops_N, flops_N, 10 / flops_N)) is None


def test_bits_between_two_validations_lie_on_a_line_over_the_logarithm():
    record = with_curve("delay", PowerLaw(20.0, 4.0, 0.4, 1e13), warmup=0)
    points = record["training"]["curve"]
    middle = math.sqrt(points[4]["flops"] * points[5]["flops"])
    assert bits_at(record, middle) == pytest.approx((points[4]["score"] + points[5]["score"]) / 2)
    assert bits_at(record, points[0]["flops"]) == points[0]["score"]
    assert bits_at(record, 0.9 * points[0]["flops"]) is None
    assert bits_at(record, 1.1e13) is None


def test_a_column_reads_every_row_at_equal_operations():
    laws = {"delay": PowerLaw(20.0, 4.0, 1.0, 1e13), "flat": PowerLaw(18.0, 4.0, 1.0, 4e13)}
    records = {name: with_curve(name, law, warmup=0) for name, law in laws.items()}
    for name, law in laws.items():
        assert quantity([records[name]], "validation_bits_at.8e12").value == pytest.approx(law(8e12), rel=0.01)
    assert quantity([records["delay"]], "validation_bits_at.2e13") is None, "it did not train so long"
    assert is_derived("validation_bits_at.8e12")
    for key in ("validation_bits_at", "validation_bits_at.many", "validation_bits_at.-1", "validation_bits_at.nan"):
        assert not is_derived(key)


def test_records_without_a_curve_in_bits_have_none():
    masked = with_curve("magnet", PowerLaw(5.0, 1.0, 0.4, 1e13))
    masked["training"]["validation_bits_per_frame"] = None
    assert training_curve(masked) is None and row_law([masked]) is None
    assert training_curve(make_synthetic("delay")) is None
    assert training_curve(make_synthetic("codec", kind="reference")) is None


def test_lines_cross_where_the_laws_are_equal():
    # 20 + 4 / x = 22 + 1 / x where x = 3 / 2.
    steep, flat = PowerLaw(20.0, 4.0, 1.0, 1e13), PowerLaw(22.0, 1.0, 1.0, 1e13)
    (crossing,) = crossings({"steep": steep, "flat": flat})
    assert (crossing.earlier, crossing.later) == ("flat", "steep")
    assert crossing.flops == pytest.approx(1.5e13, rel=0.02)
    assert crossings({"steep": steep, "same shape": PowerLaw(21.0, 4.0, 1.0, 1e13)}) == []


def test_report_and_figure(tmp_path: Path):
    laws = {"steep": PowerLaw(20.0, 4.0, 1.0, 1e13), "flat": PowerLaw(22.0, 1.0, 1.0, 1e13)}
    table = build_table(SPEC, [with_curve(name, law) for name, law in laws.items()])
    text = render_curves(table)
    assert "| Steep \\| |" in text.replace("\\\\", "\\")
    assert "would pass Flat after 15 \\* 10^12 operations" in text or "after 15 * 10^12 operations" in text
    draw_curves(table, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_asks_for_its_curves(write_table, spec, tmp_path):
    records = [with_curve("delay", PowerLaw(20.0, 4.0, 0.4, 1e13))]
    folder = write_table(tmp_path / "curved", records, {**spec, "curves": True})
    rendered = render_table(folder)
    assert {"curves.md", "curves.png"} <= set(rendered.stale)
    rendered.write()
    assert render_table(folder).stale == []
    assert (folder / "curves.md").read_text(encoding="utf-8").startswith("# Curves of training")
