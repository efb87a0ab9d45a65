"""Documents of times: written, read back, refused; and how a table reads them."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from musicbench.commands import table as table_command
from musicbench.errors import UserError
from musicbench.seals import sealed
from musicbench.study.records import write_record
from musicbench.study.render import render_table
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table, load_table
from musicbench.study.timings import document_path, read_document, read_timings, write_document
from tests.study.documents import MACHINE, make_cell, make_document
from tests.study.test_table import Change, cell


def write(folder: Path, *documents: Any) -> list[Path]:
    paths = [document_path(folder, document) for document in documents]
    for path, document in zip(paths, documents, strict=True):
        write_document(path, document)
    return paths


def test_a_document_is_read_back_as_it_was_written(tmp_path: Path, records: list[RunRecord]) -> None:
    first = make_document(records, {"delay": {1: [1.0, 1.5, 1.2], 4: 2.0}}, floors={"delay": 0.5})
    later = make_document(records, {"delay": {1: 1.0}}, minute=61)
    paths = write(tmp_path, later, first)
    assert [path.name for path in paths] == ["avx2-20261130t130100z.json", "avx2-20261130t120000z.json"]
    assert read_timings(tmp_path) == [first, later]
    assert read_timings(tmp_path / "elsewhere") == []


def test_an_edited_document_is_refused(tmp_path: Path, records: list[RunRecord]) -> None:
    (path,) = write(tmp_path, make_document(records, {"delay": {1: 1.0}}))
    path.write_text(path.read_text().replace('"rounds": 3', '"rounds": 9'))
    with pytest.raises(UserError, match=r"does not match its checksum.*time the table again"):
        read_document(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("schema", 2, "schema of times is 2"),
        ("date", "yesterday", "must be a time in UTC"),
        ("date", "2026-11-30T12:00:00", "must be a time in UTC"),
        ("date", "0001-01-01T00:00:00+14:00", "must be a time in UTC"),
        ("load", {"before": None}, "field load.after is missing"),
        ("rows", {}, "holds no row; delete it"),
        ("rows.delay.batches.1.speed.batch", 4, "holds batch 4; the two must agree"),
        ("rows.delay.batches.1.speed.repeats", [], "holds no rounds"),
        ("rows.delay.batches.1.speed.generate_seconds", 0.0, "times must be within"),
        ("rows.delay.batches.1.speed.codec_seconds", 1e300, "times must be within"),
        ("rows.delay.batches.1.speed.repeats", [{"generate_seconds": -1, "codec_seconds": 1}], "times must be within"),
        ("rows.delay.batches.1.floor_seconds", -1.0, "times must be within"),
        ("rows.delay.batches", {"-4": make_cell(-4, [1.0])}, "a batch has 1 .. 1048576 clips"),
        ("rows.delay.batches.1.other", 1, "rows.delay.batches.1.other is not known"),
    ],
)
def test_a_wrong_field_is_named(
    tmp_path: Path, records: list[RunRecord], change: Change, field: str, value: Any, message: str
) -> None:
    document: Any = make_document(records, {"delay": {1: 1.0}})
    change(document, field, value)
    path = tmp_path / "times.json"
    path.write_text(json.dumps(sealed(document)))
    with pytest.raises(UserError, match=message):
        read_document(path)


@pytest.mark.parametrize(
    ("field", "value"), [("cpu", "Other"), ("isa", "avx512f"), ("threads", 1), ("gpu", "H200"), ("torch", "3.0")]
)
def test_times_of_two_machines_are_refused(tmp_path: Path, records: list[RunRecord], field: str, value: Any) -> None:
    one = make_document(records, {"delay": {1: 1.0}})
    other = make_document(records, {"delay": {1: 1.0}}, minute=5, machine={**MACHINE, field: value})
    write(tmp_path, one, other)
    with pytest.raises(UserError, match=f"two machines: they differ in {field} "):
        read_timings(tmp_path)


def test_another_number_of_cores_is_no_other_machine(tmp_path: Path, records: list[RunRecord]) -> None:
    one = make_document(records, {"delay": {1: 1.0}})
    write(tmp_path, one, make_document(records, {"delay": {1: 1.0}}, minute=5, machine={**MACHINE, "cores": 8}))
    assert len(read_timings(tmp_path)) == 2


def test_the_table_of_a_folder_takes_its_times_from_there(
    table_folder: Path, records: list[RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cell(load_table(table_folder), "delay", "RTF, batch 1").value == pytest.approx(0.42)
    table_command.main([str(table_folder)])
    write(table_folder, *(make_document(records, {"delay": {1: n}}, minute=3 * n) for n in (2, 1, 4)))
    found = cell(load_table(table_folder), "delay", "RTF, batch 1")
    assert (found.value, found.low, found.high) == (2 / 5, 1 / 5, 4 / 5)
    assert table_command.main([str(table_folder), "--check"]) == 1, "the files do not follow from the new times"
    table_command.main([str(table_folder)])
    capsys.readouterr()
    assert table_command.main([str(table_folder), "--check"]) == 0
    rendered = render_table(table_folder)
    assert "0.400 [0.200, 0.800]" in rendered.texts["table.md"]
    header, *lines = (line.split(",") for line in rendered.texts["table.csv"].splitlines())
    (line,) = (line for line in lines if line[0] == "delay")
    at = header.index("speed.1.rtf")
    assert header[at : at + 3] == ["speed.1.rtf", "speed.1.rtf_low", "speed.1.rtf_high"]
    assert line[at : at + 3] == ["0.4", "0.2", "0.8"]


def test_a_row_that_was_not_timed_is_not_filled_from_its_record(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records, [make_document(records, {"delay": {1: 1.0}})])
    assert cell(table, "flat", "RTF, batch 1").state == cell(table, "delay", "RTF, batch 4").state == "untimed"
    assert cell(table, "original", "RTF, batch 1").state == "absent", "there is nothing to time"
    assert cell(table, "magnet", "RTF, batch 1").state == "missing"


def test_another_seed_is_the_same_row_and_another_configuration_is_not(
    spec: Any, records: list[RunRecord], change: Change
) -> None:
    document = make_document(records, {"delay": {1: 1.0}, "flat": {1: 2.0}})
    delay, flat = (next(record for record in records if record["row"] == row) for row in ("delay", "flat"))
    delay["config"]["seed"] = 7
    flat["config"]["decode"] = {"cfg": 1.0}
    table = build_table(spec, records, [document])
    assert cell(table, "delay", "RTF, batch 1").value == 0.2
    assert cell(table, "flat", "RTF, batch 1").state == "untimed"
    assert any(note.startswith("Timed with another configuration") and "Flattening." in note for note in table.notes)


def test_records_of_several_seeds_give_the_spread_of_their_rounds(spec: Any, tmp_path: Path, make_record: Any) -> None:
    seeds = [make_record("delay", seed=seed, rtf=rtf) for seed, rtf in enumerate((0.4, 0.5, 0.9))]
    for record in seeds:
        write_record(tmp_path / "records" / f"{record['seed']}.json", record)
    found = cell(build_table(spec, seeds), "delay", "RTF, batch 1")
    # The fixture's rounds take 0.99, 1 and 1.02 of a record's time.
    assert found.value == pytest.approx(0.5)
    assert (found.low, found.high) == pytest.approx((0.99 * 0.4, 1.02 * 0.9))


def test_a_strangers_texts_and_numbers_are_shown_as_they_are(
    table_folder: Path, records: list[RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    """No text of a document reaches a terminal or Markdown as an order, and odd numbers stop nothing."""
    evil = "\x1b[31m<script>|*a* \n# b"
    machine = {**MACHINE, "cpu": evil, "threads": -(10**300), "cores": 10**300}
    document: Any = make_document(records, {"delay": {1: 1e-9, 4: 1e9}, "flat": {1: 1e9}}, machine=machine)
    document |= {"failures": [evil], "rounds": -5, "git": {"commit": evil, "dirty": True}, "command": evil}
    document["load"] = {"before": [], "after": [1e308]}
    document["rows"]["delay"]["batches"]["1"]["speed"]["resident_growth_bytes"] = -(10**300)
    document["rows"][evil] = document["rows"]["delay"]
    write(table_folder, document)
    table_command.main([str(table_folder)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and not re.search(r"(?<!\\)<script", shown) and "\n# b" not in shown
    assert "200,000,000.000" in shown
