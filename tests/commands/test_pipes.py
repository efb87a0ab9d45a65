"""Pipes where a file is expected: nothing waits for their writer."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench import cli
from tests.helpers.tiny_run import RATE


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe.wav")
    for name in ("captions.jsonl", "music.jsonl", "sheet.csv", "sweep.yaml"):
        os.mkfifo(tmp_path / name)
    (tmp_path / "table").mkdir()
    os.mkfifo(tmp_path / "table" / "table.yaml")
    return tmp_path / "pipe.wav"


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """A folder with six clips and a pipe, and captions of all of them beside it."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for number in range(6):
        noise_N = np.random.default_rng(number).uniform(-0.5, 0.5, 5 * RATE)
        soundfile.write(folder / f"c{number}.wav", noise_N, RATE)
    os.mkfifo(folder / "p.wav")
    lines = [json.dumps({"audio": f"{name}.wav", "text": name}) for name in ("c0", "c1", "c2", "c3", "c4", "c5", "p")]
    (tmp_path / "said.jsonl").write_text("\n".join(lines))
    return folder


def test_in_a_folder_of_audio_it_is_skipped(overrides, in_time, clips, tmp_path, capsys):
    arguments = [f"audio={clips}", f"captions={tmp_path / 'said.jsonl'}", "row=x", f"evaluation.reference={clips}"]
    assert in_time(lambda: cli.main(["evaluate", *overrides, *arguments])) == 0
    (record,) = tmp_path.glob("x-*/record.json")
    files = json.loads(record.read_text())["files"]
    assert files["read"] == 6 and files["skipped"]["unreadable"] == 1
    err = capsys.readouterr().err
    assert "p (a pipe, not a file)" in err and f"reference {clips.name}: skipped, unreadable" in err


def test_an_original_that_is_a_pipe_is_one_line(overrides, refused, in_time, clips, tmp_path):
    originals = tmp_path / "originals"
    originals.mkdir()
    for number in range(5):
        (originals / f"c{number}.wav").symlink_to(clips / f"c{number}.wav")
    os.mkfifo(originals / "c5.wav")
    arguments = [f"audio={clips}", f"captions={tmp_path / 'said.jsonl'}", f"originals={originals}", "row=x"]
    line = in_time(lambda: refused("evaluate", *overrides, *arguments))
    assert "c5 (unreadable: a pipe, not a file)" in line


@pytest.mark.parametrize(
    "arguments",
    [
        ("evaluate", "audio={clips}", "captions={here}/captions.jsonl", "row=x"),
        ("prepare", "manifest={here}/music.jsonl", "store={here}/store", "stages=[tokens]"),
        ("prepare", "manifest={here}/lines.jsonl", "store={here}/store", "stages=[tokens]"),
        ("answers", "{here}/sheet.csv"),
        ("sweep", "{here}/sweep.yaml", "--dry-run"),
    ],
)
def test_named_on_the_command_line_it_is_one_line(refused, in_time, pipe, clips, tmp_path, arguments):
    (tmp_path / "lines.jsonl").write_text('{"audio": "pipe.wav", "text": "x"}')
    given = [argument.format(here=tmp_path, clips=clips) for argument in arguments]
    assert "a pipe, not a file" in in_time(lambda: refused(*given))


def test_a_table_or_a_run_that_is_made_of_pipes_is_one_line(refused, in_time, pipe, tmp_path):
    assert "no table" in in_time(lambda: refused("table", tmp_path / "table"))
    run = tmp_path / "run"
    run.mkdir()
    for name in ("config.yaml", "record.json", "best.ckpt", "trained"):
        os.mkfifo(run / name)
    assert "config.yaml is missing or damaged" in in_time(lambda: refused("evaluate", f"run={run}"))
    assert "config.yaml is missing or damaged" in in_time(lambda: refused("generate", "tune", "--run", run))


def test_a_marker_that_is_a_pipe_is_one_line(refused, in_time, overrides, trained_run):
    (trained_run / "trained").unlink()
    os.mkfifo(trained_run / "trained")
    masked = ["family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]", f"decode.rescorer={trained_run}"]
    assert "no run folder with a finished training" in in_time(lambda: refused("train", *overrides, *masked))


def test_a_prompt_that_is_a_pipe_is_one_line(refused, in_time, trained_run, pipe):
    line = in_time(lambda: refused("generate", "tune", "--run", trained_run, "--prompt", pipe, "--seconds", "4"))
    assert "a pipe, not a file" in line
