"""Sweep files, overrides and places that name code, variables and paths: nothing of it is run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from musicbench import cli, named_code
from tests.helpers.real_run import environment
from tests.runs.hostile.edits import CANARY

SWEPT = [
    ("codec._target_", "os.getcwd", "codec._target_ names os.getcwd"),
    ("+codec.x", {"_target_": "os.getcwd"}, "codec.x._target_ names os.getcwd"),
    ("+training.x", [{"_target_": "os.getcwd"}], "names os.getcwd"),
    ("codec", {"_target_": "os.getcwd"}, "codec._target_ names os.getcwd"),
    ("++judges.fad._target_", "os.getcwd", "judges.fad._target_ names os.getcwd"),
    ("pattern.pattern", "stranger.spiral", "pattern.pattern names stranger.spiral"),
    ("pattern.pattern", "str(stranger.spiral)", "pattern.pattern names stranger.spiral"),
    ("row", "${oc.env:SECRET}", "interpolations are for files of conf"),
    ("row", r"$\{oc.env:SECRET\}", "interpolations are for files of conf"),
    ("codec", "${oc.env:SECRET}", "interpolations are for files of conf"),
    ("label", ["${seed}"], "interpolations are for files of conf"),
    ("hydra.searchpath", ["file:///tmp"], "Hydra's own settings"),
    ("+hydra/launcher", "basic", "Hydra's own settings"),
    ("experiment", "../../../stranger/evil", "write no path"),
    ("+experiment", ["demo", "../evil"], "write no path"),
    ("decode.cfg", "[2", "is no override"),
    ("seed", "1,2", "is no override"),
]


@pytest.mark.parametrize(("key", "value", "message"), SWEPT, ids=[f"{key}={value}" for key, value, _ in SWEPT])
@pytest.mark.parametrize("options", [["--dry-run"], [], ["--estimate"]], ids=["dry", "run", "estimate"])
def test_a_sweep_file_is_checked_before_anything_starts(refused, untouched, tmp_path, key, value, message, options):
    path = tmp_path / "sweep.yaml"
    parameters = {"pattern": {"values": ["delay"]}, key: {"value": value}}
    path.write_text(yaml.safe_dump({"method": "grid", "parameters": parameters}), encoding="utf-8")
    line = refused("sweep", path, *([*options, "--output", tmp_path / "out"] if options != ["--estimate"] else options))
    assert message in line
    untouched(line)
    assert not (tmp_path / "out").exists()


def test_a_file_of_settings_for_an_estimate(refused, untouched, tmp_path):
    sweep, scale = tmp_path / "sweep.yaml", tmp_path / "scale.yaml"
    sweep.write_text("method: grid\nparameters:\n  pattern: {values: [delay]}\n", encoding="utf-8")
    scale.write_text("pattern.pattern: stranger.spiral\n", encoding="utf-8")
    line = refused("sweep", sweep, "--estimate", "--at", scale)
    assert "pattern.pattern names stranger.spiral" in line
    scale.write_text("decode.cfg: '[2'\n", encoding="utf-8")
    assert "is no override" in refused("sweep", sweep, "--estimate", "--at", scale)


def test_a_demo_of_a_stranger_s_sweep(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sweep.yaml").write_text("method: grid\nparameters:\n  codec._target_: {value: os.getcwd}\n", encoding="utf-8")
    assert "codec._target_ names os.getcwd" in refused("demo", "--sweep", "sweep.yaml")
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "lines",
    [
        ["command: 3"],
        ["method: random", "run_cap: 1000000000000"],
        ["method: random", "run_cap: 2", "parameters: {seed: {distribution: [a]}}"],
        ["method: random", "run_cap: 2", "parameters: {seed: {distribution: q_uniform, min: 0, max: .inf}}"],
        ["method: random", "run_cap: 2", "parameters: {seed: {values: [1], probabilities: [a]}}"],
        ["method: random", "run_cap: 2", f"parameters: {{seed: {{min: 0, max: 1{'0' * 400}}}}}"],
        ["parameters: {" + ", ".join(f"p{n}: {{values: {list(range(99))}}}" for n in range(9)) + "}"],
        ["parameters: {'': {value: 3}}"],
    ],
    ids=["command", "cap", "kind", "infinite", "chances", "huge", "grid", "empty key"],
)
def test_a_sweep_file_that_cannot_be_counted(refused, tmp_path, lines):
    content = {"method": "grid", "parameters": {"seed": {"value": 3}}}
    content |= yaml.safe_load("\n".join(lines))
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    refused("sweep", tmp_path / "sweep.yaml", "--dry-run")


@pytest.mark.parametrize("command", ["train", "evaluate", "prepare", "doctor", "bench evaluate"])
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("decode.cfg=[2", "is no override"),
        ("row=${oc.env:SECRET}", "interpolations are for files of conf"),
        (r"row=$\{oc.env:SECRET\}", "interpolations are for files of conf"),
        ("hydra.searchpath=[file:///tmp]", "Hydra's own settings"),
        ("codec=../../evil", "codec"),
        ("+zzz=3", "unknown key zzz"),
    ],
)
def test_overrides_that_mean_no_good(refused, untouched, command, override, message):
    line = refused(*command.split(), override)
    assert message in line
    untouched(line)


@pytest.mark.parametrize(
    "override",
    [
        "decode.cfg=[2",
        "row=${oc.env:SECRET}",
        "hydra.x=3",
        "+seed=3",
        "~seed",
        "zzz=3",
        "decode={cfg: 3}",
        "seed=1,2",
        "=3",
    ],
)
def test_overrides_of_a_trained_run_that_mean_no_good(refused, untouched, trained_run, override):
    untouched(refused("generate", "tune", "--run", trained_run, "--", override))


@pytest.mark.parametrize("name", ["WORLD_SIZE", "RANK", "LOCAL_RANK", "SLURM_NTASKS", "SLURM_PROCID"])
@pytest.mark.parametrize("value", ["", " ", "two", "1.5", "-1", "٣"])
def test_variables_of_a_launcher(refused, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    line = refused("train", "pattern=dealy")
    if value.strip():
        assert line.startswith(f"{name}={value} in the environment is no number")
    else:
        assert "dealy" in line
        assert name not in os.environ


@pytest.mark.parametrize("command", [["train", "pattern=dealy"], ["plan", "delay", "--frames", "3"]])
@pytest.mark.parametrize("started", ["command", "-m"])
def test_nothing_in_the_current_folder_is_imported(tmp_path, command, started):
    """Hydra looks for plugins, and packages that may be missing are tried, wherever Python looks for modules."""
    for name in ("hydra_plugins/evil/__init__.py", "yaml.py", "hydra/__init__.py", "numpy.py", "sitecustomise.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"open(r'{tmp_path / CANARY}', 'w')\n", encoding="utf-8")
    where = {**environment(), "PYTHONPATH": str(named_code.PACKAGE.parent)}
    script = "import sys; from musicbench.cli import main; sys.exit(main())"
    words = ["-m", "musicbench.cli"] if started == "-m" else ["-P", "-c", script]
    done = subprocess.run([sys.executable, *words, *command], cwd=tmp_path, env=where, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    assert done.returncode == (2 if command[0] == "train" else 0)
    assert not (tmp_path / CANARY).exists()


def test_children_import_nothing_from_the_current_folder_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    assert cli.main(["plan", "delay", "--frames", "3"]) == 0
    assert os.environ["PYTHONSAFEPATH"] == "1"
    assert sys.path == before
