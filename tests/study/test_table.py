"""Cells of a table built from synthetic records."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import stats

from musicbench.study.cells import Cell
from musicbench.study.hypotheses import holm
from musicbench.study.run_record import RunRecord
from musicbench.study.statistics import Estimate, interval, paired_interval, replicate_interval
from musicbench.study.table import Table, build_table

PIECES = 12
Make = Callable[..., RunRecord]
Change = Callable[[Any, str, Any], None]


def cell(table: Table, row: str, label: str) -> Cell:
    (found,) = [candidate for candidate in table.rows if candidate.spec["row"] == row]
    return found.cells[[column["label"] for column in table.columns].index(label)]


def per_clip(records: list[RunRecord], row: str, metric: str) -> np.ndarray:
    (record,) = [record for record in records if record["row"] == row]
    return np.array(record["metrics"][metric]["per_clip"])


def test_values_and_intervals_are_those_of_the_records(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    pieces = [clip["piece"] for clip in records[0]["clips"]]
    bits, reference = (
        per_clip(records, "flat", "bits_per_frame"),
        per_clip(records, "delay", "bits_per_frame"),
    )
    found, expected = cell(table, "flat", "Bits/frame"), interval(bits, pieces)
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    found, expected = cell(table, "flat", "Δ bits/frame"), paired_interval(bits, reference, pieces)
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert found.significant and found.value == pytest.approx(-1, abs=0.2)
    shuffled = per_clip(records, "flat", "bits_per_frame_shuffled")
    assert cell(table, "flat", "Caption gain").value == pytest.approx((shuffled - bits).mean())
    assert cell(table, "flat", "Gap").value == pytest.approx(1.5)
    assert cell(table, "flat", "RTF, batch 4").value == pytest.approx(0.7)
    assert cell(table, "parallel", "Δ FAD").value == pytest.approx(2.5)


def test_clap_mini_and_its_gain(spec: Any, records: list[RunRecord]) -> None:
    own, other = np.linspace(0.3, 0.5, 24), np.linspace(0.1, 0.2, 24)
    flat = next(record for record in records if record["row"] == "flat")
    for name, values in (("clap_mini", own), ("clap_mini_shuffled", other)):
        flat["metrics"][name] = {"value": values.mean(), "per_clip": values}
    spec["columns"]["Quality"] += [
        {"key": "metrics.clap_mini", "label": "clap_mini"},
        {"key": "clap_mini_gain", "label": "gain"},
    ]
    table = build_table(spec, records)
    pieces = [clip["piece"] for clip in records[0]["clips"]]
    for label, values in (("clap_mini", own), ("gain", own - other)):
        found, expected = cell(table, "flat", label), interval(values, pieces)
        assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
        assert cell(table, "delay", label).state == "absent", "a record from before has none"


def test_fad_difference_is_paired_by_replicate(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    own, reference = cell(table, "flat", "FAD"), cell(table, "delay", "FAD")
    difference = cell(table, "flat", "Δ FAD")
    assert own.low < own.value < own.high
    unpaired = np.hypot(own.high - own.low, reference.high - reference.low)
    assert difference.high - difference.low < 0.6 * unpaired


def test_states_of_cells(spec: Any, records: list[RunRecord], make_record: Make, change: Change) -> None:
    broken = make_record("magnet")
    broken["metrics"]["fad"] = {"value": None}
    del broken["metrics"]["kld"]
    broken["failures"] = ["generation stopped"]
    table = build_table(spec, [*records, broken])
    assert cell(build_table(spec, records), "magnet", "FAD").state == "missing"
    assert cell(table, "magnet", "FAD").state == "failed"
    assert cell(table, "magnet", "KLD").state == "failed"
    assert cell(table, "magnet", "Bits/frame").state == "value"
    assert cell(table, "original", "Bits/frame").state == "absent"
    assert cell(table, "delay", "Δ bits/frame").state == "absent"
    assert any("generation stopped" in note for note in table.notes)


def test_best_is_marked_among_trained_rows_only(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    best = {
        label: [row.spec["row"] for row in table.rows if row.cells[index].best]
        for index, label in enumerate(column["label"] for column in table.columns)
    }
    assert best["FAD"] == ["flat"] and best["RTF, batch 1"] == ["parallel"]
    assert best["Δ FAD"] == best["Steps"] == []


def test_the_interval_of_several_seeds_covers_the_luck_of_training(spec: Any, make_record: Make) -> None:
    seeds = [make_record("delay", seed=seed, bits=20 + seed, fad=4.0 + seed) for seed in range(3)]
    table = build_table(spec, [*seeds, make_record("flat")])
    pieces = [clip["piece"] for clip in seeds[0]["clips"]]
    bits = np.array([record["metrics"]["bits_per_frame"]["per_clip"] for record in seeds])
    found, alone = cell(table, "delay", "Bits/frame"), interval(bits.mean(axis=0), pieces)
    assert (found.value, found.seeds) == (pytest.approx(alone.value), 3)
    # By hand: a t interval of three means, one bit apart, beside that of the pieces.
    luck = stats.t.ppf(0.975, 2) * bits.mean(axis=1).std(ddof=1) / np.sqrt(3)
    assert found.low == pytest.approx(alone.value - np.hypot(alone.value - alone.low, luck))
    assert found.high == pytest.approx(alone.value + np.hypot(alone.high - alone.value, luck))
    assert cell(table, "delay", "FAD").value == pytest.approx(5.0)
    fad = 5.0 - np.hypot(5.0 - alone_fad(seeds).low, stats.t.ppf(0.975, 2) / np.sqrt(3))
    assert cell(table, "delay", "FAD").low == pytest.approx(fad)
    # The row has one seed, so the difference covers the luck of the reference alone.
    difference = cell(table, "flat", "Δ bits/frame")
    flat = per_clip([make_record("flat")], "flat", "bits_per_frame")
    pieces_alone = paired_interval(flat, bits.mean(axis=0), pieces)
    low = pieces_alone.value - np.hypot(pieces_alone.value - pieces_alone.low, luck)
    assert difference.low == pytest.approx(low)
    assert any("Flattening 1, Delay 3" in note and "One seed cannot show" in note for note in table.notes)


def alone_fad(records: list[RunRecord]) -> Estimate:
    replicates = np.array([record["metrics"]["fad"]["replicates"] for record in records])
    value = np.mean([record["metrics"]["fad"]["value"] for record in records])
    return replicate_interval(value, replicates.mean(axis=0), PIECES)


def test_what_the_notes_say_of_seeds(spec: Any, make_record: Make) -> None:
    both = [make_record(row, seed=seed) for row in ("delay", "flat") for seed in range(2)]
    assert any("and the luck of training." in note for note in build_table(spec, both).notes)
    one = build_table(spec, both[::2])
    assert any("one training seed" in note and "one seed cannot show" in note for note in one.notes)


def test_stars_follow_holm_over_all_differences_of_the_table(spec: Any, make_record: Make) -> None:
    # Differences of random size: many are near the limit of 5 %.
    names = [f"row{n}" for n in range(12)]
    spec["rows"] = [{"row": name, "label": name} for name in ("delay", *names)]
    for part in ("figure", "published"):
        del spec[part]
    shifts = np.random.default_rng(0).normal(0, 0.2, len(names))
    records = [make_record("delay"), *(make_record(name, bits=20 + x) for name, x in zip(names, shifts, strict=True))]
    table = build_table(spec, records)
    cells = [one for row in table.rows for one in row.cells if one.difference is not None]
    assert len(cells) == 2 * len(names)
    plain = [one.difference.p_value for one in cells]
    assert [one.p_value for one in cells] == holm(plain)
    assert sum(p < 0.05 for p in plain) > sum(one.significant for one in cells) > 0
    assert all(one.p_value is None and not one.significant for one in table.rows[0].cells)


def test_the_detectable_difference_is_told_for_each_column(spec: Any, records: list[RunRecord]) -> None:
    notes = build_table(spec, records).notes
    # Flat and parallel for bits; original, codec, flat and parallel for FAD: six tests.
    (bits,) = [note for note in notes if note.startswith("Δ bits/frame")]
    assert "80 % power at the corrected level (5 % / 6)" in bits
    delay = per_clip(records, "delay", "bits_per_frame")
    sizes = []
    for row in ("flat", "parallel"):
        means = (per_clip(records, row, "bits_per_frame") - delay).reshape(PIECES, 2).mean(axis=1)
        quantiles = stats.t.ppf(1 - 0.05 / 12, PIECES - 1) + stats.t.ppf(0.8, PIECES - 1)
        sizes.append(quantiles * stats.sem(means))
    low, high = (float(text) for text in re.findall(r"\d\.\d\d", bits)[:2])
    assert (low, high) == pytest.approx((min(sizes), max(sizes)), rel=0.06)
    assert any(note.startswith("Δ FAD") for note in notes)


def test_a_seed_without_a_number_is_told(spec: Any, make_record: Make) -> None:
    seeds = [make_record("delay", seed=seed) for seed in range(2)]
    del seeds[1]["metrics"]["fad"]
    table = build_table(spec, seeds)
    assert cell(table, "delay", "FAD").seeds == 1
    assert "Delay, FAD: 1 of 2 seeds." in table.notes


def test_clips_without_a_value_are_left_out_of_both_rows(spec: Any, make_record: Make) -> None:
    flat, delay = make_record("flat", bits=19.0), make_record("delay")
    bits = np.array(delay["metrics"]["bits_per_frame"]["per_clip"])
    reference = bits.copy()
    holes = [None if n == 3 else float(value) for n, value in enumerate(bits)]
    delay["metrics"]["bits_per_frame"] = {"value": float(np.delete(bits, 3).mean()), "per_clip": holes}
    table = build_table(spec, [flat, delay])
    assert cell(table, "delay", "Bits/frame").value == pytest.approx(np.delete(bits, 3).mean())
    difference = np.array(flat["metrics"]["bits_per_frame"]["per_clip"]) - reference
    assert cell(table, "flat", "Δ bits/frame").value == pytest.approx(np.delete(difference, 3).mean())
    assert "Delay, Bits/frame: 1 clip has no value; the mean is over the others." in table.notes
