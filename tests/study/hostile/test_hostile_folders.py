"""Folders of strangers: names and links lead nowhere."""

import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import create_autospec

import pytest
import wandb
import yaml
from wandb.apis.public import Run

from musicbench import cli
from musicbench.commands.table import main
from musicbench.errors import UserError
from musicbench.study.records import write_record
from musicbench.study.samples import clear_table
from musicbench.sweep.table import fill_table
from tests.study.hostile.edits import edit, make_run

BAD_ROWS = ["../../victim", "/tmp/victim", "..", ".hidden", "a/b", "a\\b", "", "a\nb", "\x1b[31m", "x" * 300]


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
