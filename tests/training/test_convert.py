"""Released models as run folders, there and back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from musicbench import cli, released
from musicbench.runs.compose import run_configuration
from musicbench.runs.run import Run
from musicbench.runs.weights import load_trained
from musicbench.study.records import read_record
from tests.helpers.audiocraft_reference import random_state, save_state, settings
from tests.helpers.small_released import lively, save_musicgen, small_musicgen


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = small_musicgen()
    torch.manual_seed(1)
    lively(model.decoder)
    return save_musicgen(model, tmp_path_factory.mktemp("released") / "small")


def write_music(folder: Path) -> Path:
    """Eight pieces of 5 s, and their manifest."""
    folder.mkdir()
    time_N, lines = np.arange(5 * 16_000) / 16_000, []
    for number, split in enumerate(["train"] * 4 + ["validation"] * 2 + ["test"] * 2):
        tone_N = 0.3 * np.sin(2 * np.pi * 110 * (number + 2) * time_N * (1 + 0.1 * np.sin(time_N)))
        soundfile.write(folder / f"{number}.wav", tone_N, 16_000)
        lines.append(json.dumps({"audio": f"{number}.wav", "text": f"tone {number}", "split": split}))
    (folder / "music.jsonl").write_text("\n".join(lines))
    return folder / "music.jsonl"


@pytest.fixture
def converted(checkpoint: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "runs" / "musicgen-tiny"
    assert cli.main(["convert", "musicgen", str(checkpoint), "--to", str(folder)]) == 0
    return folder


def test_a_run_folder_has_the_weights_and_settings_of_the_checkpoint(checkpoint: Path, converted: Path) -> None:
    run, loaded = Run(run_configuration(converted)), released.load(checkpoint)
    ours, theirs = load_trained(run, converted).state_dict(), loaded.module.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    config = run.config
    assert (config.training.steps, config.training.start_sha256) == (0, loaded.released.sha256)
    assert (config.row, config.data.store, config.model.null_caption) == ("musicgen-tiny", None, "zeros")
    assert run.parts.codec.sha256 and run.parts.encoder.dim == loaded.released.model["text_dim"]


def test_a_run_folder_may_be_moved_and_used_from_anywhere(
    converted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = converted.rename(tmp_path / "moved")
    monkeypatch.chdir(tmp_path)
    arguments = ["generate", "a tune", "--run", "moved", "--seconds", "0.2", "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert str(tmp_path) not in (moved / "config.yaml").read_text().replace(f"output: {converted.parent}", "")


def test_it_generates_without_a_token_store(converted: Path, tmp_path: Path) -> None:
    arguments = ["generate", "a tune", "--run", str(converted), "--seconds", "0.5", "--output", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    (file,) = (tmp_path / "out").glob("*.flac")
    audio, _ = soundfile.read(file)
    assert len(audio) and np.isfinite(audio).all()


def test_it_is_evaluated_on_a_store_of_its_codec(converted: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    assert "give data.store=FOLDER" in refused("evaluate", f"run={converted}")
    manifest, store = write_music(tmp_path / "music"), tmp_path / "store"
    codec = [f"codec.name_or_folder={converted / 'codec'}"]
    assert cli.main(["prepare", f"manifest={manifest}", f"store={store}", *codec]) == 0
    asked = [f"run={converted}", f"data.store={store}", "evaluation.seconds=4", "evaluation.per_piece=1"]
    assert cli.main(["evaluate", *asked, "evaluation.speed_batches=[]"]) == 0
    (path,) = converted.parent.glob("*/record.json")
    record = read_record(path)
    assert (record["kind"], record["row"], record["training"]) == ("released", "musicgen-tiny", None)
    assert record["metrics"]["bits_per_frame"] and record["metrics"]["fad"]
    assert str(tmp_path) not in json.dumps(record["config"])


def test_what_is_refused(checkpoint: Path, converted: Path, tmp_path: Path, refused: Callable[..., str]) -> None:
    to = ["--to", str(tmp_path / "elsewhere")]
    assert "of the family autoregressive, not magnet" in refused("convert", "magnet", checkpoint, *to)
    assert "exists; give another folder" in refused("convert", "musicgen", checkpoint, "--to", converted)
    assert "has its own settings" in refused("convert", "musicgen", checkpoint, *to, "--", "decode.cfg=1")
    assert "no folder" in refused("convert", "musicgen", tmp_path / "nowhere", *to)
    assert not (tmp_path / "elsewhere").exists()


def test_a_magnet_of_audiocraft(tmp_path: Path, checkpoint: Path, refused: Callable[..., str]) -> None:
    state = random_state(levels=3, size=64, dim=32, layers=2, text_dim=16)
    described: dict[str, Any] = settings(state, heads=4, magnet=True)
    source = save_state(tmp_path / "magnet", state, described)
    parts = tmp_path / "parts"
    opened = released.open(checkpoint)
    opened.save_text(parts / "text")
    opened.save_codec(parts / "codec")
    folder = tmp_path / "runs" / "magnet-tiny"
    command = ["convert", "magnet", source, "--to", folder, "--text", parts / "text", "--codec", parts / "codec"]
    assert "needs a codec with levels 3, and this one has 4" in refused(*command[:-1], "mini")
    assert cli.main([str(word) for word in command]) == 0
    ours = load_trained(Run(run_configuration(folder)), folder).state_dict()
    theirs = released.load(source).module.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_export_of_what_was_converted_is_the_checkpoint_again(
    checkpoint: Path, converted: Path, tmp_path: Path
) -> None:
    assert cli.main(["convert", "export", str(converted), "--to", str(tmp_path / "again")]) == 0
    ours, theirs = (dict(released.open(place).weights()) for place in (tmp_path / "again", checkpoint))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert released.open(tmp_path / "again").sampling == released.open(checkpoint).sampling


def test_a_melody_model_follows_a_tune(tmp_path: Path) -> None:
    model = small_musicgen(melody=True)
    torch.manual_seed(1)
    for part in (model.decoder, model.enc_to_dec_proj, model.audio_enc_to_dec_proj):
        lively(part)
    source, folder = save_musicgen(model, tmp_path / "melody"), tmp_path / "runs" / "melody-tiny"
    assert cli.main(["convert", "musicgen", str(source), "--to", str(folder)]) == 0
    write_music(tmp_path / "music")
    asked = ["generate", "a tune", "--run", str(folder), "--seconds", "0.5", "--output", str(tmp_path / "out")]
    assert cli.main(asked) == 0
    assert cli.main([*asked, "--melody", str(tmp_path / "music" / "3.wav")]) == 0
    without, told = (soundfile.read(file)[0] for file in sorted((tmp_path / "out").glob("*.flac")))
    assert not np.array_equal(without, told)
