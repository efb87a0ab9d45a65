"""What an offline run of Weights & Biases keeps for `wandb sync`."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import wandb
import yaml
from lightning.pytorch.loggers import WandbLogger

from musicbench.commands import evaluate, train
from musicbench.runs.compose import compose
from musicbench.runs.folder import RECORD
from musicbench.runs.run import Run
from musicbench.study.headline import headline
from musicbench.study.records import read_record, write_record
from musicbench.tracking.loggers import make_loggers, tracker
from musicbench.tracking.wandb_run import KEPT, Tracker
from musicbench.training.fit import WallClock
from tests.helpers.wandb_file import RunFile, run_files
from tests.tracking.offline import HERE, LOGGED, close, only_folder


class StopError(Exception):
    """Ends a training in the middle."""


_resumed: list[Path] = []


@pytest.fixture
def resumed(overrides, tmp_path, tmp_path_factory, monkeypatch) -> Path:
    """Folder of a run that was stopped after 10 steps, resumed, and evaluated once more; made once for all tests."""
    if not _resumed:
        original = WallClock.on_train_batch_end

        def stop(callback, trainer, *rest):
            original(callback, trainer, *rest)
            if trainer.global_step == 15:
                raise StopError

        with monkeypatch.context() as patch:
            patch.setattr(WallClock, "on_train_batch_end", stop)
            with pytest.raises(StopError):
                train.main([*overrides, *LOGGED])
        close()
        train.main([*overrides, *LOGGED])
        close()
        folder = only_folder(tmp_path)
        shutil.copyfile(folder / RECORD, folder / "first.json")
        evaluate.main([f"run={folder}"])
        close()
        _resumed.append(Path(shutil.move(folder, tmp_path_factory.mktemp("tracked") / folder.name)))
    return _resumed[0]


def test_a_resumed_and_evaluated_run_is_one_wandb_run(resumed):
    files, record = run_files(resumed), read_record(resumed / RECORD)
    assert [file.run.run_id for file in files] == [record["id"]] * 3
    # A resumed run, not a new one of the same id.
    assert all(file.run.resume and file.run.project == "musicbench" for file in files)
    assert {(file.run.display_name, file.run.run_group) for file in files} == {(f"delay-{record['id']}", "delay")}
    assert list(files[0].run.tags) == ["autoregressive", "delay"]
    assert [file.exit_code for file in files] == [1, 0, 0]


def test_curves_and_configuration(resumed):
    first, second, third = run_files(resumed)
    assert [step for step, _ in first.curve("train/bits_per_frame")] == [9]
    for name in ("train/bits_per_frame", "validation/bits_per_frame"):
        assert [step for step, _ in second.curve(name)] == [19]
        assert 0 < second.curve(name)[0][1] < 20
    assert third.curve("validation/bits_per_frame") == []
    resolved = yaml.safe_load((resumed / "config.yaml").read_text())
    del resolved["logger"]
    for file in (first, second, third):
        del file.config["_wandb"]
        assert file.config == json.loads(json.dumps(resolved)) | {
            "row": "delay",
            "id": read_record(resumed / RECORD)["id"],
        }
    assert len(list(resumed.glob("logs/version_*/metrics.csv"))) == 2, "the CSV log is kept too"


def test_summary_has_the_names_and_intervals_of_tables(resumed):
    files = run_files(resumed)
    for file, name in ((files[1], "first.json"), (files[2], RECORD)):
        expected = headline(read_record(resumed / name))
        assert expected["metrics"]["fad_low"] <= expected["metrics"]["fad_high"]
        assert expected["speed"]["1"]["rtf"] > 0
        assert {key: file.summary[key] for key in expected} == expected
    assert files[1].summary["speed"] != files[2].summary["speed"]


def test_audio_and_record_lie_in_the_run_folder(resumed):
    """So that `wandb sync` finds them wherever it runs, and not what a later evaluation made of them."""
    files = run_files(resumed)
    for file, name in ((files[1], "first.json"), (files[2], RECORD)):
        (row,) = [row["samples"] for row in file.history if "samples" in row]
        for sound, sample in zip(row["audio"], sorted((resumed / "samples").glob("*.flac")), strict=True):
            assert (file.folder / "files" / sound["path"]).read_bytes() == sample.read_bytes()
            assert sound["caption"] == sample.with_suffix(".txt").read_text().strip()
        (artifact,) = file.artifacts
        record = read_record(resumed / name)
        assert (artifact.type, artifact.name) == ("record", f"delay-{record['id']}")
        assert json.loads(artifact.metadata) == {
            "id": record["id"], "row": "delay", "seed": 0, "kind": "trained", "schema": record["schema"],
        }  # fmt: skip
        (entry,) = artifact.manifest.contents
        assert entry.path == RECORD
        kept = file.folder / "files" / RECORD
        assert Path(entry.local_path).parts[-4:] == kept.parts[-4:]
        assert kept.read_bytes() == (resumed / name).read_bytes()


def test_offline_by_the_logger(overrides, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE")
    wandb.teardown()
    run = Run(compose("train", [*overrides, "logger=wandb", "logger.offline=true", "logger.tags=[mine]"]))
    tracked = tracker(make_loggers(run, tmp_path / "run"))
    tracked.start()
    tracked.finish(0)
    close()
    assert "WANDB_MODE" not in os.environ
    (file,) = run_files(tmp_path / "run")
    assert list(file.run.tags) == ["mine", "autoregressive", "delay"]


def test_in_a_sweep_the_run_is_the_agents(overrides, trained_run, monkeypatch, capsys):
    """Also a run that was finished before; and what is evaluated later, without the agent, goes on in it."""
    parameters = trained_run / "parameters.yaml"
    parameters.write_text("wandb_version: 1\npattern:\n  value: delay\nseed:\n  value: 0\n")
    agent = {"SWEEP_ID": "sw33p", "RUN_ID": "agents", "PROJECT": "theirs", "SWEEP_PARAM_PATH": str(parameters)}
    with monkeypatch.context() as patch:
        for name, value in agent.items():
            patch.setenv(f"WANDB_{name}", value)
        wandb.teardown()
        assert train.main([*overrides, "logger=wandb"]) == 0
        close()
    assert "finished already" in capsys.readouterr().out
    (file,) = run_files(trained_run)
    record = read_record(trained_run / RECORD)
    assert (file.run.run_id, file.run.sweep_id, file.run.project) == ("agents", "sw33p", "theirs")
    assert file.run.display_name == f"delay-{record['id']}"
    assert (file.config["id"], file.config["row"], file.config["pattern"]) == (record["id"], "delay", "delay")
    assert file.summary["metrics"]["fad"] == record["metrics"]["fad"]["value"]

    tracked = Tracker(str(trained_run), project="musicbench", id=record["id"])
    tracked.start()
    tracked.finish(0)
    close()
    assert [(file.run.run_id, file.run.project) for file in run_files(trained_run)] == [("agents", "theirs")] * 2
    assert json.loads((trained_run / KEPT).read_text())["id"] == "agents"


def test_baselines_and_finished_runs_are_sent_once(overrides, tmp_path):
    """A table made from a project needs the rows that nobody trains, too."""
    for _ in range(2):
        evaluate.main([*overrides, "system=unigram"])
        (folder,) = tmp_path.glob("unigram-*")
        assert not run_files(folder)
    for _ in range(2):
        evaluate.main([*overrides, "system=unigram", "logger=wandb"])
    close()
    (file,) = run_files(folder)
    record = read_record(folder / RECORD)
    assert (file.run.run_id, file.run.run_group, list(file.run.tags)) == (record["id"], "unigram", [])
    assert [artifact.name for artifact in file.artifacts] == [f"unigram-{record['id']}"]
    assert file.summary["metrics"]["bits_per_frame"] == record["metrics"]["bits_per_frame"]["value"]


def test_two_processes_are_one_wandb_run(tiny_overrides, tmp_path):
    arguments = [*tiny_overrides, "trainer=ddp_cpu", "training.validate_every=4", "logger=wandb"]
    environment = {key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "NODE_RANK")}
    done = subprocess.run(
        [sys.executable, str(HERE / "ddp_script.py"), str(HERE), json.dumps([[str(tmp_path / "two"), [], arguments]])],
        capture_output=True, text=True, timeout=240, check=False, env=environment | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    (file,) = run_files(tmp_path / "two")
    assert file.run.run_id == json.loads((tmp_path / "two" / KEPT).read_text())["id"] == "0dd5"
    assert len(file.curve("validation/bits_per_frame")) == 1
    assert not (tmp_path / "wandb").exists()


def test_names_that_artifacts_cannot_have(trained_run):
    record = read_record(trained_run / RECORD) | {"row": "magnet.span-3+é" + "x" * 150}
    write_record(trained_run / RECORD, record)
    tracked = Tracker(str(trained_run), project="p", id="long")
    tracked.publish(trained_run / RECORD)
    tracked.finish(0)
    close()
    (artifact,) = RunFile(next(trained_run.glob("wandb/offline-run-*/*.wandb"))).artifacts
    assert artifact.name.startswith("magnet.span-3__xx") and len(artifact.name) <= 128


def test_a_tracker_owns_its_run(tmp_path):
    """Opened by the first thing that is logged, if not before; it has nothing of Lightning's own W&B logger."""
    tracked = Tracker(str(tmp_path), project="p", id="0dd5", name="mine")
    assert not isinstance(tracked, WandbLogger)
    assert (tracked.name, tracked.version) == (None, None)
    tracked.log_metrics({"loss": 2.0}, step=3)
    tracked.start()
    tracked.log_metrics({"loss": 1.0}, step=4)
    assert (tracked.name, tracked.version) == ("p", "0dd5")
    tracked.finish(0)
    tracked.finish(0)
    close()
    (file,) = run_files(tmp_path)
    assert file.curve("loss") == [(3, 2.0), (4, 1.0)]
    assert (file.run.run_id, file.run.display_name, file.exit_code) == ("0dd5", "mine", 0)
