"""Run folders of before code was named by its option still open, and say the same numbers."""

from pathlib import Path
from typing import Any

import torch
import yaml

from musicbench import cli, torch_files
from musicbench.runs.compose import compose, plain, run_configuration
from musicbench.runs.folder import BEST, LAST, TRAINED
from musicbench.runs.identity import former_training_id, recorded_config, run_id, training_id
from musicbench.runs.old_paths import MOVED, former, renewed
from musicbench.runs.run import Run
from musicbench.seals import sealed_text, unsealed_text
from musicbench.study.records import read_record


def age(folder: Path) -> None:
    """Make a run folder what that version would have written."""
    run = Run(run_configuration(folder))
    old = former_training_id(run.precise, run.contents.trained_on)
    content = yaml.safe_load(unsealed_text((folder / "config.yaml").read_text()))
    (folder / "config.yaml").write_text(sealed_text(yaml.safe_dump(former(content), sort_keys=False)))
    (folder / TRAINED).write_text(f"{old}\n")
    for name in (BEST, LAST):
        checkpoint = torch.load(folder / name, weights_only=True)
        assert checkpoint["musicbench_training"] != old
        torch_files.save({**checkpoint, "musicbench_training": old}, folder / name)


def test_an_old_folder_is_evaluated_and_generates(trained_run: Path, tmp_path: Path) -> None:
    before = read_record(trained_run / "record.json")
    age(trained_run)
    text = (trained_run / "config.yaml").read_text()
    assert "uses_pattern" not in text and "musicbench.text.encoder.TransformersEncoder" in text
    assert cli.main(["evaluate", f"run={trained_run}"]) == 0
    assert cli.main(["generate", "tune", "--run", str(trained_run), "--seconds", "1", "--output", str(tmp_path)]) == 0
    after = read_record(trained_run / "record.json")
    assert after["metrics"] == before["metrics"] and after["config"] == before["config"]


def test_every_old_name_leads_to_code_that_is_there() -> None:
    for then, now in MOVED.items():
        module, _, name = now.rpartition(".")
        assert then != now
        assert hasattr(__import__(module, fromlist=[name]), name)
    for family, uses_pattern in (("autoregressive", True), ("hybrid", True), ("magnet", False)):
        config = plain(compose("train", [f"family={family}"]))
        assert renewed(former(config)) == config and config["family"]["uses_pattern"] == uses_pattern


def test_keys_that_a_folder_lacks_are_null() -> None:
    config = plain(compose("train", []))
    lacking = {**config, "data": dict(config["data"]), "evaluation": dict(config["evaluation"])}
    lacking["training"] = {key: value for key, value in config["training"].items() if value is not None}
    for group in ("data", "evaluation"):
        del lacking[group]["melody"]
    assert lacking != config and renewed(lacking) == config


def test_moving_a_class_changes_no_id(monkeypatch: Any) -> None:
    contents = {"tokens": "a"}
    config = plain(compose("train", ["family=hybrid", "decode=hybrid_10s"]))
    recorded = recorded_config(config)
    assert "_target_" not in str(recorded) and recorded["family"]["name"] == "hybrid"
    before = run_id(config, contents), training_id(config, contents)
    moved = {"musicbench.generators.hybrid.HybridModel": "elsewhere.Hybrid"}
    from musicbench.runs import identity, old_paths

    options_of = identity.options_of
    names = {now: then for then, now in moved.items()}
    monkeypatch.setattr(identity, "options_of", lambda group, target: options_of(group, names.get(target, target)))
    config = old_paths._renamed(config, moved)
    assert (run_id(config, contents), training_id(config, contents)) == before
    assert identity.row_label(config).startswith("hybrid.")


def test_code_of_one_s_own_counts_by_its_name() -> None:
    config = plain(compose("train", []))
    own = {**config, "codec": {"_target_": "mine.Codec", "size": 3}}
    assert recorded_config(own)["codec"] == {"code": "mine.Codec", "size": 3}
    assert recorded_config(config)["codec"] == {"name_or_folder": "mini"}
    decode = {**config["decode"], "_target_": "mine.Sampling"}
    assert run_id({**config, "decode": decode}, {}) != run_id(config, {})
