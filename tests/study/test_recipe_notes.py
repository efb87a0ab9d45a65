"""Notes on training and sampling: what all rows share is said once, what differs is said of each row."""

from collections.abc import Callable
from typing import Any

import pytest

from musicbench.study.markdown import render_markdown
from musicbench.study.recipe_notes import recipe_notes
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table

Make = Callable[..., RunRecord]


def configured(record: RunRecord, tokens: float, **changes: Any) -> RunRecord:
    """A record with the configuration of a trained row."""
    config: dict[str, Any] = {
        "family": {"name": "autoregressive", "condition_dropout": 0.2},
        "model": {"position": "rotary", "from_codebooks": True},
        "pattern": {"pattern": record["row"]},
        "schedule": {"schedule": "sequential"},
        "training": {
            "steps": 1000,
            "batch_size": 2,
            "length_warmup": [{"steps": 100, "seconds": 1.0}, {"steps": 300, "seconds": 2.5}],
        },
        "optimiser": {"lr": 0.003, "final_lr": 1e-5, "warmup_steps": 20},
        **changes,
    }
    assert record["training"]
    record["training"]["loss_tokens"] = tokens
    record["config"] = config
    return record


def notes(spec: Any, records: list[RunRecord]) -> str:
    table = build_table(spec, records)
    found = recipe_notes(table.rows, table.columns)
    assert all(note in table.notes for note in found)
    return "\n".join(found)


@pytest.fixture
def alike(make_record: Make) -> list[RunRecord]:
    return [configured(make_record(row), 4e6) for row in ("delay", "flat")]


def test_what_all_rows_share_is_said_once(spec: Any, alike: list[RunRecord]) -> None:
    sampling, training, tokens = notes(spec, alike).splitlines()
    assert sampling == (
        "Bits per frame are the plain model's: guidance (cfg) 1, temperature 1, no top_k. Distances, text scores and "
        "times are those of sampled music: cfg 3, temperature 1, top_k 250."
    )
    assert training == (
        "Training: optimiser steps: 1,000 of 2 clips; position codes: rotary of steps; first token vectors: from the "
        "codec's code vectors; length warm-up: 100 steps of 1 s then 300 steps of 2.5 s; learning rate: 0.003 by "
        "cosine to 1e-05 after 20 steps of warm-up; clips without their caption, for guidance: 20 %."
    )
    assert tokens == "Tokens in the loss of all training: Flattening 4,000,000; the others, as a share of that: 100 %."


def test_what_differs_is_said_of_each_row(spec: Any, alike: list[RunRecord], make_record: Make) -> None:
    spec["varied"] = ["temperature"]
    spec["rows"].append({"row": "magnet_cool", "label": "MAGNeT, cool"})
    masked = [
        configured(
            make_record(row),
            0.64e6,
            family={"name": "masked", "condition_dropout": 0.3},
            model={"position": "sinusoidal", "from_codebooks": False},
            pattern=None,
        )
        for row in ("magnet", "magnet_cool")
    ]
    for record, temperature in zip(masked, (3.0, 1.0), strict=True):
        settings = {"kind": "MaskedSampling", "iterations": [20, 10, 10, 10], "anneal": True, "cfg": 10.0}
        record["protocol"]["sampling"] = {**settings, "temperature": temperature}
    parallel = configured(
        make_record("parallel"), 3e6, pattern={"pattern": "parallel"}, schedule={"schedule": "block_4"}
    )
    coded = configured(make_record("delay"), 4e6, pattern={"pattern": "delay", "positional": "frame"})
    text = notes(spec, [alike[1], coded, parallel, *masked])
    assert (
        "Flattening, Delay, Parallel with cfg 3, temperature 1, top_k 250; "
        'MAGNeT, "MAGNeT, cool" with anneal on, cfg 10, iterations 20/10/10/10, '
        'temperature 3 (MAGNeT), 1 ("MAGNeT, cool").'
    ) in text
    assert (
        "rotary of steps (Flattening), rotary of frames (Delay, Parallel), "
        'sinusoidal of frames (MAGNeT, "MAGNeT, cool");'
    ) in text
    assert "for guidance: 20 % (Flattening, Delay, Parallel), 30 % (MAGNeT" in text
    assert "at random (MAGNeT" in text
    assert 'the others, as a share of that: 100 % (Delay), 75 % (Parallel), 16 % (MAGNeT, "MAGNeT, cool").' in text


def test_many_rows_are_not_all_named(spec: Any, make_record: Make) -> None:
    names = [f"row{number}" for number in range(8)]
    spec["rows"], spec["reference_row"] = [{"row": name, "label": name} for name in names], "row0"
    spec["varied"] = ["cfg", "top_k"]
    del spec["published"]
    records = [configured(make_record(name), 1e6) for name in names]
    for number, record in enumerate(records):
        settings = {"cfg": 1.0 + number // 4, "top_k": 50 if number == 3 else 250}
        record["protocol"]["sampling"] = {"kind": "Sampling", "temperature": 0.8, **settings}
        share = {"name": "autoregressive", "condition_dropout": 0.3 if number % 2 else 0.2}
        record["config"] |= {"family": share}
    text = notes(spec, records)
    assert "sampled music: cfg 1 or 2 by the row, temperature 0.8, top_k 50 (row3), 250 (the others)." in text
    assert "20 % (row0, row2, row4, row6), 30 % (row1, row3, row5, row7)." in text


def test_only_tables_of_bits_speak_of_the_plain_model(spec: Any, alike: list[RunRecord]) -> None:
    spec["columns"] = {"Part": [{"key": "metrics.fad", "label": "FAD"}]}
    del spec["figure"], spec["published"]
    text = notes(spec, alike)
    assert "plain model" not in text and text.startswith("Distances, text scores and times")


def test_early_records_and_tables_without_training_say_less(
    spec: Any, records: list[RunRecord], make_record: Make
) -> None:
    text = notes(spec, records)
    assert "Training" not in text and "Tokens" not in text
    assert notes(spec, [make_record("codec", kind="reference")]) == ""


@pytest.mark.parametrize(
    "poison",
    [
        {"training": {"steps": "<b>many", "length_warmup": "x"}, "optimiser": {"lr": "1"}},
        {"training": {"steps": 3, "length_warmup": [None, 7, {"steps": []}]}, "optimiser": {"lr": {"a": 1}}},
        {"family": "x", "model": [], "pattern": 3, "schedule": None, "training": None, "optimiser": 0},
        {"family": {"condition_dropout": "much"}, "model": {"position": {"x": 1}}},
    ],
)
def test_strange_configurations_break_nothing(spec: Any, make_record: Make, poison: dict[str, Any]) -> None:
    record = configured(make_record("delay"), 0.0, **poison)
    record["protocol"]["sampling"] = {"kind": [1], "cfg": {"a": [None, {"b": 2}]}}
    text = render_markdown(build_table(spec, [record]))
    assert "<b>" not in text.replace("\\<", "")
