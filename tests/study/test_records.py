"""Records survive a round trip; broken ones are refused by file and field."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.seals import sealed
from musicbench.study.quantities import quantity
from musicbench.study.records import read_record, read_records, write_record
from musicbench.study.run_record import RunRecord
from musicbench.temporaries import temporary_path
from tests.damage import edit_record, flip

Make = Callable[..., RunRecord]
Change = Callable[[Any, str, Any], None]
POINT = {"step": 100, "flops": 1e9, "score": 20.0}


def test_round_trip_keeps_everything_but_digits(tmp_path: Path, make_record: Make) -> None:
    record = make_record("delay")
    write_record(tmp_path / "a.json", record)
    found = read_record(tmp_path / "a.json")
    for field in record.keys() - {"metrics"}:
        assert found[field] == record[field]  # type: ignore[literal-required]
    for name, metric in record["metrics"].items():
        for field, values in metric.items():
            np.testing.assert_allclose(found["metrics"][name][field], values, rtol=1e-5)  # type: ignore[literal-required]
    write_record(tmp_path / "b.json", found)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_per_clip_values_are_kept_short_and_keys_in_order(tmp_path: Path, make_record: Make) -> None:
    record = make_record("delay")
    record["metrics"]["kld"] = {"value": 1 / 3, "per_clip": [1 / 3] * 24}
    write_record(tmp_path / "a.json", record)
    content = (tmp_path / "a.json").read_text()
    assert "[0.333333, 0.333333," in content
    assert list(json.loads(content)) == sorted([*record, "sha256"])


def test_numbers_that_are_not_finite_become_null_with_a_reason(tmp_path: Path, make_record: Make) -> None:
    record = make_record("delay")
    kld = np.array(record["metrics"]["kld"]["per_clip"])
    kld[[2, 5]] = [np.nan, np.inf]
    record["metrics"]["kld"] = {"value": float("nan"), "per_clip": kld}  # type: ignore[typeddict-item]
    record["failures"] = ["the sampler was slow"]
    write_record(tmp_path / "a.json", record)
    found = read_record(tmp_path / "a.json")
    assert found["metrics"]["kld"]["value"] is None
    assert [n for n, value in enumerate(found["metrics"]["kld"]["per_clip"]) if value is None] == [2, 5]
    assert found["failures"][0] == "the sampler was slow"
    assert any("metrics.kld.per_clip: 2 values of 24" in line for line in found["failures"])
    assert any("metrics.kld.value" in line for line in found["failures"])


def test_a_refused_record_leaves_the_old_file(tmp_path: Path, make_record: Make) -> None:
    record = make_record("delay")
    write_record(tmp_path / "a.json", record)
    before = (tmp_path / "a.json").read_bytes()
    record["seed"] = float("nan")  # type: ignore[typeddict-item]
    with pytest.raises(UserError, match="seed must be an integer, not None"):
        write_record(tmp_path / "a.json", record)
    assert (tmp_path / "a.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("schema", 7, "schema is 7"),
        ("seed", "0", "seed must be an integer"),
        ("seed", True, "seed must be an integer"),
        ("kind", "train", "kind is 'train'"),
        ("plan.steps", 1.5, "plan.steps must be an integer"),
        ("protocol.judges.fad.sha256", None, "protocol.judges.fad.sha256 must be text"),
        ("protocol.clips", 25, "protocol.clips says 25, but the clip list holds 24"),
        ("protocol.pieces", 13, "protocol.pieces says 13"),
        ("metrics.kld.per_clip", [0.5], "metrics.kld.per_clip has 1 values for 24 clips"),
        ("metrics.kld.value", 123.0, "its clips average"),
        ("metrics.fad.replicates", ["x"], r"metrics.fad.replicates\[0\] must be a number"),
        ("metrics.fad.std", 1.0, "metrics.fad.std is not known"),
        ("speed.1.batch", 2, "speed.1 holds batch 2"),
        ("speed.1.seconds_audio", 0, "speed.1: times must be within 1e-09 .. 1e\\+09 s"),
        ("speed.1.generate_seconds", 0.0, "speed.1: times must be within"),
        ("speed.1.repeats", [], "speed.1 holds no rounds"),
        ("speed.1.repeats", [{"generate_seconds": -1, "codec_seconds": 1}], "speed.1: times must be within"),
        (
            "training.curve",
            [POINT | {"flops": 0}],
            r"training.curve\[0\].flops is 0; it must be 1 .. 1e\+30, and above",
        ),
        ("training.curve", [POINT, POINT | {"step": 200}], r"training.curve\[1\].flops is 1e\+09; it must be 1"),
        (
            "training.curve",
            [POINT, POINT | {"step": 200, "flops": 9.0}],
            r"training.curve\[1\].flops is 9; it must be 1",
        ),
        ("training.curve", [POINT | {"step": 0}], r"training.curve\[0\].step is 0; it must be 1"),
        ("training.curve", [POINT, POINT | {"flops": 2e9}], r"training.curve\[1\].step is 100; it must be 1"),
        ("training.curve", [POINT | {"step": 10**300}], r"training.curve\[0\].step is 1e\+300; it must be 1"),
        ("training.curve", [POINT | {"flops": 1e300}], r"training.curve\[0\].flops is 1e\+300; it must be 1"),
        ("training.curve", [POINT | {"score": -1e300}], r"training.curve\[0\].score is -1e\+300; it must be within"),
        ("training.curve", [POINT | {"score": None}], r"training.curve\[0\].score must be a number"),
        ("clips", [{"id": "c"}], r"clips\[0\].piece is missing"),
        ("colour", "red", "colour is not known"),
    ],
)
def test_broken_records_are_refused_by_file_and_field(
    tmp_path: Path, make_record: Make, change: Change, path: str, value: Any, message: str
) -> None:
    file = tmp_path / "broken.json"
    write_record(file, make_record("delay"))
    edit_record(file, lambda content: change(content, path, value))
    with pytest.raises(UserError, match=message) as caught:
        read_record(file)
    assert "broken.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_missing_field_is_named(tmp_path: Path, make_record: Make) -> None:
    file = tmp_path / "broken.json"
    write_record(file, make_record("delay"))
    whole = json.loads(file.read_text())
    for field in whole.keys() - {"sha256"}:
        file.write_text(json.dumps(sealed({key: value for key, value in whole.items() if key != field})))
        with pytest.raises(UserError, match="schema is absent" if field == "schema" else f"{field} is missing"):
            read_record(file)


@pytest.mark.parametrize("content", ["", '{"schema": 1, "id": "a', "[1, 2]", '{"schema": NaN}'])
def test_files_that_are_no_whole_record_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "broken.json").write_text(content)
    with pytest.raises(UserError, match=r"broken\.json"):
        read_record(tmp_path / "broken.json")


@pytest.mark.parametrize(("old", "new"), [('"seed": 0', '"seed": 1'), ('"sha256": "', '"sha256": "0')])
def test_an_edited_record_is_refused(tmp_path: Path, make_record: Make, old: str, new: str) -> None:
    file = tmp_path / "a.json"
    write_record(file, make_record("delay"))
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(UserError, match=r"a\.json is damaged or was edited .*; restore it, or delete it and eval"):
        read_record(file)


def test_another_layout_of_the_same_values_is_the_same_record(tmp_path: Path, make_record: Make) -> None:
    file = tmp_path / "a.json"
    write_record(file, make_record("delay"))
    before = read_record(file)
    file.write_text(json.dumps(json.loads(file.read_text()), indent=3))
    assert read_record(file) == before


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_flipped_bit_never_changes_a_record_silently(tmp_path: Path, make_record: Make, data: st.DataObject) -> None:
    file = tmp_path / "a.json"
    write_record(file, make_record("delay"))
    before = read_record(file)
    flip(file, data.draw(st.integers(0, 8 * file.stat().st_size - 1)))
    try:
        assert read_record(file) == before
    except UserError as error:
        assert "a.json" in str(error) and "\n" not in str(error)


def test_a_truncated_record_is_refused_wherever_it_ends(tmp_path: Path, make_record: Make) -> None:
    file = tmp_path / "broken.json"
    write_record(file, make_record("delay"))
    content = file.read_text()
    for end in range(0, len(content) - 2, 501):
        file.write_text(content[:end])
        with pytest.raises(UserError, match="not a whole JSON record"):
            read_record(file)


def test_absent_file_and_folder(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == []
    with pytest.raises(UserError, match="cannot read record"):
        read_record(tmp_path / "none.json")


def test_a_copied_record_is_not_a_second_seed(tmp_path: Path, make_record: Make) -> None:
    for name in ("a", "b"):
        write_record(tmp_path / f"{name}.json", make_record("delay"))
    with pytest.raises(UserError, match="are the same run"):
        read_records(tmp_path)


def test_speed_of_old_records_is_read_and_that_of_new_ones_has_columns(tmp_path: Path, make_record: Make) -> None:
    record = make_record("delay")
    write_record(tmp_path / "old.json", record)
    assert quantity([read_record(tmp_path / "old.json")], "speed.1.first_audio_seconds") is None
    assert record["speed"]
    record["speed"]["1"] |= {
        "text_seconds": 0.25,
        "first_audio_seconds": 0.5,
        "first_audio_length": 1.5,
        "spread": {"generate_seconds": 0.125, "codec_seconds": 0.0, "text_seconds": 0.0, "first_audio_seconds": 0.0},
        "resident_growth_bytes": 2**20,
    }
    write_record(tmp_path / "new.json", record)
    found = read_record(tmp_path / "new.json")
    fields = ("text_seconds", "first_audio_length", "spread.generate_seconds", "resident_growth_bytes")
    quantities = [quantity([found], f"speed.1.{field}") for field in fields]
    assert [one and one.value for one in quantities] == [0.25, 1.5, 0.125, 2**20]


def test_what_a_killed_process_left_of_a_record_is_not_read(tmp_path: Path, make_record: Make) -> None:
    write_record(tmp_path / "a.json", make_record("delay"))
    for left in (temporary_path(tmp_path / "a.json"), tmp_path / "._a.json"):
        left.write_text('{"schema": ')
    assert [record["row"] for record in read_records(tmp_path)] == ["delay"]
