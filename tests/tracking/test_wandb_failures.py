"""What happens when Weights & Biases fails or is not there, and what a stranger's folder may not make of it."""

import os
import signal
import warnings
from pathlib import Path

import pytest
import wandb

from musicbench.commands import train
from musicbench.runs.folder import LAST, RECORD
from musicbench.study.records import read_record
from musicbench.study.samples import kept_audio, read_caption
from musicbench.tracking.wandb_run import KEPT, Tracker
from musicbench.training.fit import WallClock
from tests.helpers.wandb_file import run_files
from tests.tracking.offline import HERE, LOGGED, close, only_folder, services


@pytest.mark.parametrize(
    "place",
    [
        b"{", b"[]", b'{"id": "0dd5"}', b'{"id": ["0dd5"], "project": "p", "entity": "e"}', b"[" * 2000, b"\xff",
        b'{"id": "../../x", "project": "p", "entity": null}', b'{"id": "0dd5", "project": "a/b", "entity": "e"}',
        b'{"id": "0dd5", "project": "p", "entity": "\\u001b[1m"}', b'{"id": 1, "project": "p", "entity": null}',
    ],
)  # fmt: skip
def test_a_place_that_no_run_of_ours_remembers(tmp_path: Path, place: bytes) -> None:
    (tmp_path / KEPT).parent.mkdir()
    (tmp_path / KEPT).write_bytes(place)
    assert Tracker(str(tmp_path))._remembered() == {}


def test_what_a_link_brings_in_is_not_sent(tmp_path: Path) -> None:
    """A stranger's run folder must not make the user publish files of their own."""
    (tmp_path / "secret").write_text("secret")
    samples = tmp_path / "run" / "samples"
    samples.mkdir(parents=True)
    (samples / "a.flac").touch()
    (samples / "a.txt").symlink_to(tmp_path / "secret")
    (samples / "b.flac").symlink_to(tmp_path / "secret")
    os.mkfifo(samples / "c.flac")
    assert kept_audio(tmp_path / "run") == [samples / "a.flac"]
    assert read_caption(samples / "a.flac", tmp_path / "run") == ""


def test_without_an_account_nothing_starts(overrides, tmp_path, monkeypatch, refused):
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    wanted = "run `wandb login` once, or go on without it: WANDB_MODE=offline, or logger=csv"
    assert refused("train", *overrides, "logger=wandb") == f"not logged in to Weights & Biases; {wanted}"
    monkeypatch.setenv("WANDB_API_KEY", "not a key")
    wandb.teardown()
    line = refused("train", *overrides, "logger=wandb")
    assert "WANDB_API_KEY invalid" in line and line.endswith("WANDB_MODE=offline, or logger=csv")
    assert not list(tmp_path.glob(f"*/{LAST}"))


def test_an_unknown_option_is_one_line(overrides, refused):
    line = refused("train", *overrides, "logger=wandb", "+logger.colour=red")
    assert "colour" in line and "logger=csv" in line


def test_a_dead_service_ends_no_training(overrides, tmp_path, monkeypatch):
    original = WallClock.on_train_batch_end

    def kill(callback, trainer, *rest):
        original(callback, trainer, *rest)
        if trainer.global_step == 5:
            for process in services():
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)

    monkeypatch.setattr(WallClock, "on_train_batch_end", kill)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        assert train.main([*overrides, *LOGGED]) == 0
    lines = [str(warning.message) for warning in told if "Weights & Biases" in str(warning.message)]
    assert len(lines) == 1 and lines[0].endswith("the run goes on, and its folder holds logs and record")
    folder = only_folder(tmp_path)
    assert read_record(folder / RECORD)["training"]["steps"] == 20
    (log,) = folder.glob("logs/version_0/metrics.csv")
    assert log.read_text().splitlines()[-1].split(",").count("19") == 1
    assert "WANDB_SERVICE" not in os.environ and wandb.run is None, "nothing is left that fails when Python ends"


def test_a_full_disk_of_wandb_keeps_the_record(trained_run, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(wandb, "Audio", full)
    before = (trained_run / RECORD).read_bytes()
    tracked = Tracker(str(trained_run), project="p", id="full")
    with pytest.warns(UserWarning, match="No space left on device") as told:
        tracked.publish(trained_run / RECORD)
        tracked.publish(trained_run / RECORD)
        tracked.finish(0)
    close()
    assert len(told) == 1
    assert (trained_run / RECORD).read_bytes() == before
    (file,) = run_files(trained_run)
    assert file.summary["metrics"]["fad"] > 0, "what was sent before is kept"


def test_disabled_does_nothing(trained_run, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    wandb.teardown()
    tracked = Tracker(str(trained_run), project="p", id="none")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        tracked.publish(trained_run / RECORD)
        tracked.finish(0)
    assert not (trained_run / "wandb").exists()


@pytest.mark.parametrize("folder", ["wandb", ".wandb"])
def test_settings_of_a_stranger_s_folder_do_not_get_the_key(overrides, refused, tmp_path, monkeypatch, folder):
    place = tmp_path / "elsewhere" / folder
    place.mkdir(parents=True)
    monkeypatch.chdir(place.parent)
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setattr(wandb, "setup", lambda *_: pytest.fail("W&B read its settings"))
    monkeypatch.setattr(wandb, "login", lambda *_, **__: pytest.fail("W&B was given the key"))
    table = ["table", HERE.parents[1] / "results" / "demo", "--output", tmp_path / "table"]
    for text, message in (("[default]\nbase_url = http://a.b\n", "sets base_url"), ("\0[", "no settings file")):
        (place / "settings").write_text(text)
        assert message in refused("train", *overrides, *LOGGED)
        assert message in refused(*table, "--wandb", "me/music")
        assert message in refused(*table, "--log", "me/music")


def test_settings_of_a_folder_may_name_the_project(overrides, tmp_path, monkeypatch):
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text("[default]\nentity = me\nproject = music\n")
    monkeypatch.chdir(tmp_path)
    assert train.main([*overrides, *LOGGED]) == 0
