"""Files that grow past a limit, as on a full disk: one line, and what was finished before is as it was."""

import errno
import io
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench import cli, torch_files
from musicbench.conditions.caption_table import caption_table
from musicbench.data.audio import read_audio
from musicbench.data.manifest import read_user_manifest
from musicbench.data.store import TokenStore
from musicbench.data.tokenise import tokenise_recordings
from musicbench.errors import UserError
from musicbench.runs.folder import BEST, LAST
from musicbench.study.records import read_record, write_record
from musicbench.temporaries import temporary_path
from musicbench.training.checkpoints import AtomicCheckpoints
from tests.full_disk import contents, disk_of
from tests.helpers.fitting import fit


def test_training_keeps_its_checkpoints_and_goes_on(make_run, tmp_path):
    folder = tmp_path / "run"
    fit(make_run("training.steps=2"), folder)
    before = {name: (folder / name).read_bytes() for name in (BEST, LAST)}
    with disk_of(len(before[BEST]) // 2), pytest.raises(UserError, match=r"^cannot write [^\n]*\.ckpt: File too large"):
        fit(make_run("training.steps=4"), folder)
    assert {name: (folder / name).read_bytes() for name in (BEST, LAST)} == before
    assert not list(folder.glob(".*")), "no half checkpoint is left"
    fit(make_run("training.steps=4"), folder)
    assert (folder / LAST).read_bytes() != before[LAST]


def test_a_crash_leaves_no_half_checkpoints_for_ever(make_run, tmp_path):
    (tmp_path / "run").mkdir()
    with subprocess.Popen(["true"]) as ended:
        pass
    (tmp_path / "run" / temporary_path(Path("last.ckpt"), ended.pid).name).write_bytes(b"half")
    fit(make_run("training.steps=2"), tmp_path / "run")
    assert not list((tmp_path / "run").glob(".*"))


def test_interruption_while_a_checkpoint_is_written(tmp_path, monkeypatch):
    parts = []

    class Interrupted(io.BytesIO):
        def write(self, part: bytes) -> int:
            parts.append(part)
            if len(parts) == 3:
                raise KeyboardInterrupt
            return super().write(part)

    AtomicCheckpoints("0dd5").save_checkpoint({"global_step": 1}, tmp_path / LAST)
    before = contents(tmp_path)
    monkeypatch.setattr(torch_files, "_Writer", lambda stream, writer=torch_files._Writer: writer(Interrupted()))
    with pytest.raises(KeyboardInterrupt):
        AtomicCheckpoints("0dd5").save_checkpoint({"global_step": 2}, tmp_path / LAST)
    assert contents(tmp_path) == before


def test_generate_keeps_earlier_clips(refused, trained_run, tmp_path):
    arguments = ["--run", str(trained_run), "--seconds", "30", "--output", str(tmp_path / "out")]
    assert cli.main(["generate", "one", *arguments]) == 0
    before = contents(tmp_path / "out")
    with disk_of(3000):
        assert "File too large; free space" in refused("generate", "two", *arguments)
    assert contents(tmp_path / "out") == before
    assert sorted(name.rpartition(".")[2] for name in before) == ["flac", "txt"]


def test_a_stream_keeps_what_can_be_played(refused, trained_run, tmp_path):
    arguments = ["one", "two", "--run", trained_run, "--seconds", "20", "--output", tmp_path / "out", "--stream"]
    with disk_of(12_001):
        line = refused("generate", *arguments)
    assert "one-0-" in line and "File too large; 5." in line and "s of it can be played" in line
    lengths = {path.name[:3]: len(read_audio(path)[0]) / 1000 for path in (tmp_path / "out").iterdir()}
    assert lengths.keys() == {"one", "two"} and 4.5 < lengths["two"] <= lengths["one"] < 6
    assert "exists already" in refused("generate", *arguments)
    assert cli.main(["generate", *map(str, arguments), "--force"]) == 0
    assert {len(read_audio(path)[0]) for path in (tmp_path / "out").iterdir()} == {20_000}


def test_a_stream_that_cannot_begin_leaves_nothing(refused, trained_run, tmp_path):
    caption = "slow " * 300  # the file begins with it, and this test's own output must fit
    with disk_of(1000):
        line = refused("generate", caption, "--run", trained_run, "--output", tmp_path / "out", "--stream")
    assert "cannot write" in line and "File too large" in line
    assert not contents(tmp_path / "out")


def test_a_record_is_not_lost(trained_run):
    path = trained_run / "record.json"
    found, before = read_record(path), path.read_bytes()
    with disk_of(500), pytest.raises(UserError, match=r"cannot write [^\n]*record\.json"):
        write_record(path, found)
    assert path.read_bytes() == before
    assert not list(trained_run.glob(".record*"))


def test_caption_states_are_whole_or_absent(make_run, tmp_path):
    encoder = make_run().parts.encoder
    captions = [f"caption {number}" for number in range(200)]
    with disk_of(500), pytest.raises(UserError, match="cannot write"):
        caption_table(captions, encoder, tmp_path / "states")
    assert not contents(tmp_path / "states")


def test_a_store_appears_whole_and_finished_clips_are_not_encoded_again(stub_codec, tmp_path, monkeypatch):
    lines = []
    for number in range(3):
        soundfile.write(tmp_path / f"{number}.wav", np.full(100_000, 0.1 * (number + 1), np.float32), 1000)
        lines.append(f'{{"audio": "{number}.wav", "text": "tune"}}\n')
    (tmp_path / "music.jsonl").write_text("".join(lines))
    recordings = read_user_manifest(tmp_path / "music.jsonl")
    encoded = []
    original = stub_codec.encode
    monkeypatch.setattr(stub_codec, "encode", lambda audio_BN: encoded.append(1) or original(audio_BN))
    # A clip takes 2 x 1000 codes of 2 bytes, a level of the store 3 x 1000.
    with disk_of(5000), pytest.raises(UserError, match=r"cannot write [^\n]*tokens: File too large"):
        tokenise_recordings(recordings, stub_codec, tmp_path / "tokens", {})
    assert not (tmp_path / "tokens").exists()
    assert not list(tmp_path.glob(".tokens*"))
    (next((tmp_path / "tokens.partial").iterdir())).write_bytes(b"damaged")
    tokenise_recordings(recordings, stub_codec, tmp_path / "tokens", {})
    assert len(encoded) == 4, "three, and the damaged one again"
    TokenStore.open(tmp_path / "tokens").verify()


def test_a_picture_replaces_the_old_one_whole(refused, tmp_path):
    picture = tmp_path / "plan.png"
    picture.write_bytes(b"the old one")
    with disk_of(2000):
        assert "cannot write" in refused("plan", "delay", "--frames", "12", "--draw", picture)
    assert contents(tmp_path) == {"plan.png": b"the old one"}


@pytest.mark.parametrize("place", ["/proc/nowhere", "a file"])
def test_output_folders_that_cannot_be(refused, trained_run, overrides, tmp_path, place):
    if place == "a file":
        place = str(tmp_path / "file")
        Path(place).write_text("in the way")
    before = contents(trained_run)
    for command in (
        ["generate", "tune", "--run", trained_run, "--output", place],
        ["train", *overrides, f"output={place}"],
        ["train", *overrides, "seed=1", f"cache={place}/deeper"],
    ):
        assert "cannot write" in refused(*command)
    assert contents(trained_run) == before


def test_an_error_of_the_system_anywhere_is_one_line(refused, monkeypatch):
    def fail(argv: list[str]) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("musicbench.commands.plan.main", fail)
    assert "No space left on device" in refused("plan")


@pytest.mark.parametrize("share", [0.01, 0.3])
def test_a_whole_run_on_a_full_disk_is_one_line_and_goes_on(refused, overrides, tmp_path, share):
    """Whatever file is the first not to fit; afterwards the run is what it would have been."""
    from musicbench.commands import train

    train.main([*overrides, f"output={tmp_path / 'whole'}", f"cache={tmp_path / 'first'}"])
    (whole,) = tmp_path.glob("whole/*/record.json")
    size = int((whole.parent / LAST).stat().st_size * share)
    (tmp_path / "full" / "cache").mkdir(parents=True)
    command = [*overrides, f"output={tmp_path / 'full'}", f"cache={tmp_path / 'full' / 'cache'}"]
    with disk_of(size):
        line = refused("train", *command)
    assert "File too large" in line and "free" in line
    assert not list(tmp_path.glob("full/**/record.json"))
    assert train.main(command) == 0
    (again,) = tmp_path.glob("full/*/record.json")
    assert read_record(again)["metrics"] == read_record(whole)["metrics"]


def test_evaluate_on_a_full_disk_keeps_the_record(refused, trained_run):
    before = contents(trained_run)
    with disk_of(len(before["record.json"]) // 2):
        assert "record.json: File too large" in refused("evaluate", f"run={trained_run}")
    after = contents(trained_run)
    assert after["record.json"] == before["record.json"]
    assert after.keys() == before.keys()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_a_read_only_folder_is_one_line(refused, trained_run, overrides, monkeypatch, command):
    """A root user writes where the mode says read-only, so the system's answer is put in its place."""
    original = os.open

    def refuse(path, flags, *arguments, **options):
        if Path(path).is_relative_to(trained_run) and flags & os.O_CREAT:
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return original(path, flags, *arguments, **options)

    (trained_run / "record.json").unlink()
    before = contents(trained_run)
    monkeypatch.setattr(os, "open", refuse)
    arguments = {"train": overrides, "evaluate": [f"run={trained_run}"]}[command]
    line = refused(command, *arguments)
    assert line.startswith(f"cannot write {trained_run}") and "Read-only file system" in line
    assert contents(trained_run) == before


def test_checkpoints_are_written_beside_their_place(make_run, tmp_path, monkeypatch):
    """Not by way of the system's temporary folder, which may be another disk or none."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc/nowhere")
    fit(make_run(), tmp_path / "run")
    assert all((tmp_path / "run" / name).is_file() for name in (BEST, LAST))


@pytest.mark.parametrize("size", [200, 3000, 20_000])
def test_a_table_on_a_full_disk_is_one_line(refused, trained_run, tmp_path, size):
    """Whatever file is the first not to fit; afterwards it is as if nothing had happened."""
    table = tmp_path / "table"
    (table / "records").mkdir(parents=True)
    shutil.copyfile(trained_run / "record.json", table / "records" / "one.json")
    row = read_record(trained_run / "record.json")["row"]
    fad = {"key": "metrics.fad", "label": "FAD", "better": "lower"}
    speed = {"key": "speed.1.rtf", "label": "RTF", "better": "lower"}
    figure = {"x": "speed.1.rtf", "y": ["metrics.fad"]}
    spec = {"title": "t", "protocol": "p", "reference_row": row, "rows": [{"row": row, "label": "Row"}]}
    spec |= {"columns": {"All": [fad, speed]}, "figure": figure}
    (table / "table.yaml").write_text(json.dumps(spec))
    before = contents(table)
    command = ("table", table, "--runs", trained_run.parent)
    with disk_of(size):
        assert "cannot write" in refused(*command)
    after = contents(table)
    assert before.items() <= after.items() and not any(".part" in name for name in after)
    assert cli.main([*map(str, command)]) == 0
