"""Curves of training: read at a number of operations, fitted, extended and drawn."""

import math
from pathlib import Path

import numpy as np
import pytest

from musicbench.study.curves import Curve, PowerLaw, bits_at, crossings, power_law, row_law, training_curve
from musicbench.study.curves_figure import draw_curves
from musicbench.study.curves_report import render_curves
from musicbench.study.derived import is_derived
from musicbench.study.quantities import quantity
from musicbench.study.render import render_table
from musicbench.study.table import build_table
from tests.study.conftest import make_synthetic

STEPS = np.arange(100, 1100, 100)


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
    spec = {
        "title": "Patterns",
        "protocol": "Equal steps.",
        "reference_row": "steep",
        "rows": [{"row": "steep", "label": "Steep |"}, {"row": "flat", "label": "Flat"}, {"row": "none", "label": "-"}],
        "columns": {"Quality": [{"key": "metrics.fad", "label": "FAD"}]},
    }
    laws = {"steep": PowerLaw(20.0, 4.0, 1.0, 1e13), "flat": PowerLaw(22.0, 1.0, 1.0, 1e13)}
    table = build_table(spec, [with_curve(name, law) for name, law in laws.items()])
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
