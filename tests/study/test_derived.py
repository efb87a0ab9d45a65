"""Columns that follow from several fields: perplexities of levels, and numbers of a schedule."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from musicbench.errors import UserError
from musicbench.study.cells import Cell
from musicbench.study.delimited import render_csv
from musicbench.study.run_record import RunRecord
from musicbench.study.statistics import interval
from musicbench.study.table import build_table
from musicbench.study.table_spec import read_spec
from tests.study.conftest import write_folder

Make = Callable[..., RunRecord]


def with_levels(record: RunRecord) -> np.ndarray:
    """Adds bits of two levels to a record; returns those of level 1."""
    bits = np.array(record["metrics"]["bits_per_frame"]["per_clip"])
    for level, share in enumerate((0.3, 0.2)):
        record["metrics"][f"bits_level_{level}"] = {"value": share * bits.mean(), "per_clip": list(share * bits)}
    return 0.2 * bits


def column(spec: Any, records: list[RunRecord], key: str) -> tuple[Any, dict[str, Cell]]:
    spec["columns"] = {"Part": [{"key": key, "label": "Column"}]}
    for part in ("figure", "published"):
        del spec[part]
    table = build_table(spec, records)
    return table, {row.spec["row"]: row.cells[0] for row in table.rows}


def test_perplexity_is_two_to_the_power_of_the_mean_bits(spec: Any, make_record: Make) -> None:
    seeds = [make_record("delay", seed=seed, bits=20 + seed) for seed in range(3)]
    bits = np.array([with_levels(record) for record in seeds])
    table, cells = column(spec, [*seeds, make_record("flat")], "perplexity_1")
    expected = interval(bits, [clip["piece"] for clip in seeds[0]["clips"]])
    found = cells["delay"]
    assert found.value == pytest.approx(2 ** bits.mean()) and found.value != pytest.approx(
        (2 ** bits.mean(axis=1)).mean()
    )
    assert (found.low, found.high) == pytest.approx((2**expected.low, 2**expected.high))
    assert cells["flat"].state == "absent", "an early record has no bits of levels"
    header, *_ = render_csv(table).splitlines()
    assert header.endswith("perplexity_1,perplexity_1_low,perplexity_1_high")


def test_the_interval_of_one_piece_stays_unknown(spec: Any, make_record: Make) -> None:
    record = make_record("delay", pieces=1)
    with_levels(record)
    _, cells = column(spec, [record], "perplexity_0")
    assert (cells["delay"].low, cells["delay"].high) == (-np.inf, np.inf)


def test_perplexities_have_no_differences(tmp_path: Any, spec: Any) -> None:
    spec["columns"]["Quality"].append({"key": "perplexity_1", "label": "Perplexity"})
    read_spec(write_folder(tmp_path / "fine", [], spec) / "table.yaml")
    spec["columns"]["Quality"].append({"key": "perplexity_1", "label": "Difference", "difference": True})
    with pytest.raises(UserError, match=r"no differences; show that of metrics\.bits_level_1"):
        read_spec(write_folder(tmp_path / "not", [], spec) / "table.yaml")


@pytest.mark.parametrize(("schedule", "steps"), [("sequential", 1), ("block_4", 4), ("stride_4", 62)])
def test_numbers_of_a_schedule(spec: Any, make_record: Make, schedule: str, steps: int) -> None:
    record = make_record("delay")
    assert record["plan"]
    record["plan"]["schedule"] = schedule
    order = {frame: time for time, frame in enumerate(visited(schedule))}
    assert min(abs(order[t] - order[t + 1]) for t in range(249)) == steps
    later = max(sum(order[u] < order[t] for u in range(t + 1, 250)) for t in range(250))
    for key, expected in [("separation", steps), ("lookahead", later)]:
        other = {name: dict(spec[name]) if isinstance(spec[name], dict) else spec[name] for name in spec}
        _, cells = column(other, [record, make_record("codec", kind="reference"), make_record("flat")], key)
        assert cells["delay"].value == expected
        assert cells["codec"].state == cells["flat"].state == "absent"


def visited(schedule: str) -> list[int]:
    """250 frames by hand: in blocks of 8 odd ones first, the last block taking the rest; or every fourth frame."""
    frames = range(250)
    if schedule == "block_4":
        blocks = [list(range(start, start + 8)) for start in range(0, 240, 8)] + [list(range(240, 250))]
        return [frame for block in blocks for frame in block[1::2] + block[::2]]
    return [frame for first in range(4) for frame in frames[first::4]] if schedule == "stride_4" else list(frames)


@pytest.mark.parametrize(("field", "value"), [("schedule", "block_none"), ("frames", 10**12), ("frames", 0)])
def test_schedules_that_are_none_are_refused(spec: Any, make_record: Make, field: str, value: Any) -> None:
    record = make_record("delay")
    assert record["plan"]
    record["plan"] |= {"schedule": "sequential", field: value}  # type: ignore[typeddict-item]
    with pytest.raises(UserError, match="record of row delay, seed 0: "):
        column(spec, [record], "separation")
