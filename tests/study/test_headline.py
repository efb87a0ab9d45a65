"""A record's numbers as W&B's summary has them: those of a one-row table."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from musicbench.study.delimited import render_csv
from musicbench.study.headline import headline
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table


def test_names_values_and_ends_are_those_of_a_table(spec: Any, make_record: Callable[..., RunRecord]) -> None:
    record = make_record("flat")
    spec["rows"] = [row for row in spec["rows"] if row["row"] == "flat"]
    spec["reference_row"] = "flat"
    spec.pop("published")
    names, cells = (line.split(",") for line in render_csv(build_table(spec, [record])).splitlines())
    found = headline(record)
    compared = 0
    for name, cell in zip(names[5:], cells[5:], strict=True):
        if "_difference" in name or not cell:
            continue
        if name.startswith("speed.") and name.endswith(("_low", "_high")):
            continue  # the spread of a table's times is over sessions, which no record knows
        node: Any = found
        for part in name.split("."):
            node = node[part]
        assert float(cell) == pytest.approx(node, rel=1e-5), name
        compared += 1
    assert compared >= 10


def test_what_is_no_number_is_left_out(make_record: Callable[..., RunRecord]) -> None:
    record = make_record("flat", pieces=1)
    record["metrics"]["kad"] = {"value": None}
    record["speed"] = None
    found = headline(record)
    assert "kad" not in found["metrics"] and "speed" not in found
    assert "fad" in found["metrics"] and "fad_low" not in found["metrics"], "one piece says nothing of the spread"

    def numbers(tree: Any) -> list[Any]:
        return [n for value in tree.values() for n in (numbers(value) if isinstance(value, dict) else [value])]

    assert all(isinstance(n, int | float) and math.isfinite(n) for n in numbers(found))


def test_baselines_have_neither_training_nor_plan(make_record: Callable[..., RunRecord]) -> None:
    found = headline(make_record("codec", kind="reference"))
    assert set(found) <= {"metrics", "speed"}
    assert np.isfinite(found["metrics"]["kld"])
