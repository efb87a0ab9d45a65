"""Folders of strangers: names and links lead nowhere, what is no record is one line, nothing waits or fills up."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import numpy as np
import pytest
import soundfile
import wandb
import yaml
from wandb.apis.public import Run

from musicbench import cli
from musicbench.commands.table import main
from musicbench.errors import UserError
from musicbench.seals import SEAL, sealed
from musicbench.study.answers import COLUMNS
from musicbench.study.records import read_record, write_record
from musicbench.study.run_record import RunRecord
from musicbench.study.samples import clear_table
from musicbench.sweep.table import fill_table
from tests.damage import edit_record
from tests.sheets import write_sheet

BAD_ROWS = ["../../victim", "/tmp/victim", "..", ".hidden", "a/b", "a\\b", "", "a\nb", "\x1b[31m", "x" * 300]


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder outside of table and runs, with files that look like ours."""
    folder = tmp_path / "victim-seed0"
    folder.mkdir()
    for name in ("diary.txt", "song.flac", "letter.doc"):
        (folder / name).write_text("mine")
    return folder


@pytest.fixture(autouse=True)
def unharmed(victim: Path) -> Any:
    yield
    assert {path.name: path.read_text() for path in victim.iterdir()} == dict.fromkeys(
        ("diary.txt", "song.flac", "letter.doc"), "mine"
    )


@pytest.fixture
def table(table_folder: Path, spec: Any) -> Path:
    """The table without its figure."""
    del spec["figure"]
    (table_folder / "table.yaml").write_text(yaml.safe_dump(spec, allow_unicode=True), encoding="utf-8")
    return table_folder


def edit(path: Path, **fields: Any) -> None:
    edit_record(path, lambda record: record.update(fields))


def make_run(folder: Path, record: RunRecord, **fields: Any) -> Path:
    """A run folder with a clip, whose record says something else than musicbench would have written."""
    write_record(folder / "record.json", record)
    edit(folder / "record.json", **fields)
    (folder / "samples").mkdir()
    soundfile.write(folder / "samples" / "clip0.flac", np.zeros(800), 8000)
    (folder / "samples" / "clip0.txt").write_text("a caption")
    return folder


@pytest.mark.parametrize("row", BAD_ROWS)
def test_rows_that_lead_elsewhere(table: Path, tmp_path: Path, refused: Any, make_record: Any, row: str) -> None:
    run = make_run(tmp_path / "runs" / "one", make_record("delay"), row=row)
    assert "row" in refused("table", table, "--runs", tmp_path / "runs")
    assert "no record of this table's rows" in refused("table", table, "--offline-runs", tmp_path / "runs")
    with pytest.raises(UserError, match="row"):
        fill_table(table, [run])
    edit(table / "records" / "delay-0.json", row=row)
    assert "row" in refused("table", table)
    spec = yaml.safe_load((table / "table.yaml").read_text())
    spec["rows"][0]["row"] = row
    (table / "table.yaml").write_text(yaml.safe_dump(spec))
    assert "row" in refused("table", table)
    with pytest.raises(UserError, match="row"):
        write_record(tmp_path / "new.json", {**make_record("delay"), "row": row})


def test_rows_of_a_project_that_lead_elsewhere(
    table: Path, tmp_path: Path, monkeypatch: Any, capsys: Any, make_record: Any
) -> None:
    run = make_run(tmp_path / "run", make_record("delay"), row="../../victim")

    def artifact(name: str, facts: Any, time: str = "2026-01-01T00:00:00") -> Any:
        made = create_autospec(wandb.Artifact, instance=True)
        made.type, made.name, made.created_at, made.metadata = "record", name, time, facts
        made.download.side_effect = lambda root, path_prefix: shutil.copy(run / path_prefix, root)
        return made

    made = [artifact("\x1b[31mred", {"row": ["a"]}), artifact("b", None), artifact("c", {"row": "\x1b[31mrow"})]
    logged = create_autospec(Run, instance=True)
    logged.logged_artifacts.return_value = made
    api = create_autospec(wandb.Api, instance=True)
    api.runs.return_value = [logged]
    monkeypatch.setattr(wandb, "Api", lambda: api)
    with pytest.raises(UserError, match="no record of this table's rows"):
        main([str(table), "--wandb", "me/music"])
    told = capsys.readouterr().out
    assert "\x1b" not in told and told.count("left out") == 3
    made[1].created_at = "yesterday"
    with pytest.raises(UserError, match="does not open"):
        main([str(table), "--wandb", "me/music"])


CONTENTS: dict[str, Callable[[str], str]] = {
    "deep": lambda text: text.replace('"config": {', '"config": {"a": ' + "[" * 900 + "]" * 900 + ", "),
    "deep map": lambda text: text.replace('"config": {', '"config": {"a": ' + '{"b": ' * 300 + "1" + "}" * 300 + ", "),
    "huge": lambda text: text.replace('"seed": 0', f'"seed": {"9" * 4000}'),
    "endless": lambda text: text.replace('"seed": 0', f'"seed": {"9" * 5000}'),
    "negative": lambda text: text.replace('"seed": 0', '"seed": -1'),
    "not whole": lambda text: text.replace('"seed": 0', '"seed": 0.5'),
    "infinite": lambda text: text.replace('"parameters": 9400000', '"parameters": 1e999'),
    "large in a list": lambda text: text.replace('"replicates": [', f'"replicates": [{"9" * 400}, '),
    "twice": lambda text: text.replace('"seed": 0', '"seed": 0, "seed": 1'),
    "surrogate": lambda text: text.replace('"Test CPU"', '"\\ud800"'),
    "NUL": lambda text: text.replace('"clip0"', '"clip0\\u0000"'),
    "text for a list": lambda text: text.replace('"replicates": [', '"replicates": "x", "r_squared": ['),
    "text in a list": lambda text: text.replace('"replicates": [', '"replicates": ["x", '),
    "truth in a list": lambda text: text.replace('"replicates": [', '"replicates": [true, '),
    "long id": lambda text: json.dumps({**json.loads(text), "id": "0123456789abcdef"}),
    "id of a path": lambda text: json.dumps({**json.loads(text), "id": "../../ab"}),
    "empty clip": lambda text: text.replace('"clip0"', '" "'),
}  # fmt: skip


def resealed(text: str) -> str:
    """The text with the checksum of its content, if it has any."""
    try:
        content = json.loads(text)
        return text.replace(content[SEAL], sealed(content)[SEAL])
    except (ValueError, RecursionError):
        return text


@pytest.mark.parametrize("content", CONTENTS)
def test_records_that_nobody_writes(table: Path, refused: Any, content: str) -> None:
    path = table / "records" / "delay-0.json"
    text = path.read_text()
    path.write_text(resealed(CONTENTS[content](text)))
    assert path.read_text() != text
    line = refused("table", table)
    assert "delay-0.json" in line and "checksum" not in line


def test_a_judge_of_captions_that_lacks_its_figures(table: Path, refused: Any) -> None:
    for path in (table / "records").iterdir():
        protocol = json.loads(path.read_text())["protocol"]
        clap = {"id": "clap_mini", "sha256": "0", "pieces": 1, "chance": {"1": 0.1}, "recall": {}}
        edit(path, protocol={**protocol, "clap_mini": clap})
    assert "lacks R@10 of chance" in refused("table", table)


def test_numbers_at_the_end_of_what_a_float_holds(table: Path, capsys: Any) -> None:
    """Their squares are none any more; the table shows what is left."""
    for path in (table / "records").iterdir():
        metrics = json.loads(path.read_text())["metrics"]
        for metric in metrics.values():
            if "replicates" in metric:
                metric["replicates"] = [1e308, -1e308] * 200
                metric["value"] = 1e308
        edit(path, metrics=metrics, parameters=10**300)
    with np.errstate(all="ignore"):
        assert cli.main(["table", str(table)]) == 0
    assert "Traceback" not in capsys.readouterr().err


def test_pipes_and_links_among_records(table: Path, tmp_path: Path, refused: Any) -> None:
    records = table / "records"
    os.mkfifo(records / "a.json")
    assert "a.json: it is a pipe, not a file" in refused("table", table)
    (records / "a.json").unlink()
    (records / "a.json").symlink_to("/dev/zero")
    assert "it is a device, not a file" in refused("table", table)
    (records / "a.json").unlink()
    (records / "a.json").symlink_to(tmp_path / "absent")
    assert "cannot read record" in refused("table", table)
    (records / "a.json").unlink()
    with (records / "a.json").open("wb") as stream:
        stream.truncate(1 << 40)  # of holes
    assert "more than 256 MiB" in refused("table", table)


def test_a_folder_of_records_that_lies_elsewhere(
    table: Path, tmp_path: Path, victim: Path, refused: Any, make_record: Any
) -> None:
    run = make_run(tmp_path / "runs" / "one", make_record("delay"))
    shutil.rmtree(table / "records")
    (table / "records").symlink_to(victim)
    assert "leads out of" in refused("table", table, "--offline-runs", tmp_path / "runs")
    with pytest.raises(UserError, match="leads out of"):
        fill_table(table, [run])
    with pytest.raises(UserError, match="leads out of"):
        clear_table(table)


@pytest.mark.parametrize("link", ["samples", "samples/delay-seed0"])
def test_a_folder_of_samples_that_lies_elsewhere(
    table: Path, tmp_path: Path, victim: Path, refused: Any, make_record: Any, link: str
) -> None:
    make_run(tmp_path / "runs" / "one", make_record("delay"))
    (table / link).parent.mkdir(exist_ok=True)
    (table / link).symlink_to(victim)
    assert "leads out of" in refused("table", table, "--runs", tmp_path / "runs")
    with pytest.raises(UserError, match="leads out of"):
        clear_table(table)


def test_a_folder_of_pictures_that_lies_elsewhere(
    table: Path, tmp_path: Path, victim: Path, refused: Any, make_record: Any
) -> None:
    make_run(tmp_path / "runs" / "one", make_record("delay"))
    (table / "spectrograms").symlink_to(victim)
    assert "leads out of" in refused("table", table, "--runs", tmp_path / "runs")


def test_only_what_we_named_is_cleared(table: Path, tmp_path: Path, victim: Path, make_record: Any) -> None:
    make_run(tmp_path / "runs" / "one", make_record("delay"))
    folder = table / "samples" / "delay-seed0"
    (folder / "deep.flac").mkdir(parents=True)
    (folder / "notes.md").touch()
    (folder / "old.flac").touch()
    (folder / "link.txt").symlink_to(victim / "diary.txt")
    (table / "records" / "README").touch()
    assert cli.main(["table", str(table), "--runs", str(tmp_path / "runs")]) == 0
    assert {path.name for path in folder.iterdir()} == {"clip0.flac", "clip0.txt", "deep.flac", "notes.md"}
    clear_table(table)
    assert {path.name for path in folder.iterdir()} == {"deep.flac", "notes.md"}
    assert [path.name for path in (table / "records").iterdir()] == ["README"]


def test_files_of_a_run_that_lie_elsewhere_are_not_copied(
    table: Path, tmp_path: Path, victim: Path, refused: Any, make_record: Any
) -> None:
    samples = make_run(tmp_path / "runs" / "one", make_record("delay")) / "samples"
    (samples / "clip0.txt").unlink()
    (samples / "clip0.txt").symlink_to(victim / "diary.txt")
    os.mkfifo(samples / "clip2.flac")
    (samples / "clip4.flac").symlink_to(victim / "song.flac")
    assert cli.main(["table", str(table), "--runs", str(tmp_path / "runs")]) == 0
    assert [path.name for path in (table / "samples" / "delay-seed0").iterdir()] == ["clip0.flac"]
    (samples / "clip0.flac").unlink()
    assert "holds no run of this table with audio" in refused("table", table, "--runs", tmp_path / "runs")


def flac_of(rate: int, frames: int) -> bytes:
    """The header of a FLAC file that claims a sample rate and a number of frames."""
    fields = (rate << 44) | (0 << 41) | (15 << 36) | frames
    info = (4096).to_bytes(2, "big") * 2 + bytes(6) + fields.to_bytes(8, "big") + bytes(16)
    return b"fLaC\x80\x00\x00\x22" + info


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (flac_of(48000, 2**36 - 1), "the audio is too long for a page"),
        (flac_of(1, 30), "the audio has a sample rate of 1 Hz"),
        (flac_of(44100, 1000), "the audio file is damaged"),
        (b"no audio", "the audio file is damaged"),
    ],
)
def test_audio_that_no_page_plays(table: Path, write_tone: Any, content: bytes, told: str) -> None:
    for row in ("delay", "flat"):
        write_tone(table, row, "clip0", 0.5)
    (table / "samples" / "flat-seed0" / "clip0.flac").write_bytes(content)
    (table / "samples" / "flat-seed0" / "clip0.txt").unlink()
    os.mkfifo(table / "samples" / "flat-seed0" / "clip0.txt")
    with (table / "samples" / "delay-seed0" / "clip0.txt").open("r+b") as stream:
        stream.truncate(1 << 40)
    assert cli.main(["table", str(table)]) == 0
    page = (table / "listen.html").read_text(encoding="utf-8")
    assert f'<p class="empty">{told}</p>' in page and len(page) < 1 << 20


def test_clips_of_any_id(table: Path, tmp_path: Path, make_record: Any) -> None:
    """Slashes are no part of a sample's name, whatever they stand between."""
    run = make_run(tmp_path / "runs" / "one", make_record("delay"))
    content = json.loads((run / "record.json").read_text())
    for record in [*(table / "records").iterdir(), run / "record.json"]:
        clips = json.loads(record.read_text())["clips"]
        clips[0]["id"] = "../../../victim-seed0/song"
        clips[2]["id"] = "x/" * 400
        edit(record, clips=clips)
    assert content["row"] == "delay"
    (run / "samples" / "clip0.flac").rename(run / "samples" / "_._.._.._victim-seed0_song.flac")
    assert cli.main(["table", str(table), "--runs", str(tmp_path / "runs")]) == 0
    assert [path.name for path in (table / "samples" / "delay-seed0").iterdir()] == ["_._.._.._victim-seed0_song.flac"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"system_a": "../../x"}, "no name for a file"),
        ({"prompt": "a/b"}, "no name for a file"),
        ({"trial": "9" * 5000}, "is no number"),
        ({"title": "\x1b[31m"}, "control characters"),
        ({"title": "x" * 200_000}, "no whole CSV file"),
    ],
)
def test_answer_sheets(tmp_path: Path, refused: Any, changes: dict[str, str], message: str) -> None:
    line = dict.fromkeys(COLUMNS, "1") | {"system_b": "flat", "answer": "A", "matched": "yes"} | changes
    told = refused("answers", write_sheet(tmp_path / "sheet.csv", [line]))
    assert message in told and told.isprintable()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("title", "\x1b[31mred", "title .* holds control characters"),
        ("title", "two\nlines", "several lines"),
        ("note", "\u202eevil", "note .* holds control characters"),
        ("columns", {"\x1b": []}, "a key of columns"),
        ("reference_row", "../../victim", "reference_row"),
        ("varied", [float("inf")], "none"),
    ],
)
def test_tables(table: Path, refused: Any, key: str, value: Any, message: str) -> None:
    spec = yaml.safe_load((table / "table.yaml").read_text())
    (table / "table.yaml").write_text(yaml.safe_dump({**spec, key: value}))
    told = refused("table", table)
    assert re.search(message, told) and told.isprintable()


def test_a_number_that_cannot_be_printed(table: Path, refused: Any) -> None:
    spec = yaml.safe_load((table / "table.yaml").read_text())
    text = yaml.safe_dump({**spec, "title": "number"})
    (table / "table.yaml").write_text(text.replace("title: number", f"title: 0x{'f' * 6000}"))
    assert "larger than any" in refused("table", table)


def test_claims(tmp_path: Path, refused: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    paper = {"title": "a", "arxiv": "b", "place": "c"}
    claim = {"id": "a", "sentence": "b", "paper": paper, "certainty": "read", "published": "c", "table": "t",
             "inequality": "a.b < c.d"}  # fmt: skip
    for change, message in [
        ({"table": "../../victim"}, "no name for a file"),
        ({"inequality": "a < " + "*" * 100_000}, "more than 1000 characters"),
    ]:
        (tmp_path / "results" / "claims.yaml").write_text(yaml.safe_dump([{**claim, **change}]))
        assert message in refused("claims")


def test_conditions(table: Path, refused: Any) -> None:
    assert "write KEY=VALUE" in refused("table", table, "--wandb", "me/music", "--where", "=x")


def test_read_record_is_not_fooled_by_the_order_of_keys(table: Path) -> None:
    path = table / "records" / "delay-0.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    assert read_record(path)["id"] == content["id"]
