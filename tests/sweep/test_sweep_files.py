"""The shipped sweeps: each line is a configuration, here and under W&B's agent, and a row of the sweep's table."""

import itertools
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser

from musicbench.launch.sweep_file import command_of, expand
from musicbench.runs.compose import compose, plain, shipped_folder
from musicbench.runs.identity import row_label
from musicbench.study.table_spec import read_spec

SWEEPS = sorted(shipped_folder("sweeps").glob("*.yaml"))


def served(value: Any) -> Any:
    """A value as W&B's server sends it on: its numbers know no difference between 3.0 and 3."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [served(item) for item in value]
    return json.loads(json.dumps(value))


@pytest.fixture
def agent_command(monkeypatch, tmp_path):
    """``agent_command(sweep, point)``: the words that W&B's own agent would start."""
    from wandb import wandb_agent

    monkeypatch.setenv("WANDB_DIR", str(tmp_path))  # where it keeps a run's parameters
    monkeypatch.setenv("WANDB_RUN_ID", "")
    monkeypatch.setenv("WANDB_SWEEP_PARAM_PATH", "")
    started: list[list[str]] = []

    class Process:
        def __init__(self, command, **options) -> None:
            started.append(command)

    monkeypatch.setattr(wandb_agent, "AgentProcess", Process)

    def words(sweep: dict[str, Any], point: dict[str, Any]) -> list[str]:
        agent = SimpleNamespace(
            _in_jupyter=False, _function=None, _forward_signals=False, _run_processes={},
            _sweep_command=list(sweep["command"]),
        )  # fmt: skip
        arguments = {name: {"value": served(value)} for name, value in point.items()}
        wandb_agent.Agent._command_run(agent, {"run_id": "r", "program": sweep["program"], "args": arguments})
        return started[-1]

    return words


def points(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    """The grid of a sweep file."""
    values = [spec["values"] if "values" in spec else [spec["value"]] for spec in sweep["parameters"].values()]
    return [dict(zip(sweep["parameters"], point, strict=True)) for point in itertools.product(*values)]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_lines_are_rows_of_the_table(path, agent_command):
    """Under W&B's agent and here alike."""
    from wandb.sdk.launch.sweeps.utils import load_sweep_config

    sweep = load_sweep_config(str(path))
    assert sweep == yaml.safe_load(path.read_text(encoding="utf-8")), "`wandb sweep` takes the file as it is"
    lines, labels = expand(path), []
    assert len(lines) == len(points(sweep))
    for point, ours in zip(points(sweep), lines, strict=True):
        environment, program, command, *theirs, logger = agent_command(sweep, point)
        assert (environment, program, command, logger) == (
            "/usr/bin/env", "musicbench", command_of(path), "logger=wandb"
        )  # fmt: skip
        assert parsed(theirs) == parsed(ours)
        config = plain(compose(command, [*theirs, logger]))
        # A run that is evaluated again has its row in its folder, which is called alike here.
        label = Path(config["run"]).name if config.get("run") else row_label(config)
        labels.append((label, config["seed"]))
    assert len(set(labels)) == len(labels)
    table = re.search(r"--table (results/\w+)", path.read_text(encoding="utf-8"))
    if table:
        rows = [row["row"] for row in read_spec(Path(table[1]) / "table.yaml")["rows"]]
        assert {row for row, _ in labels} <= set(rows)


def parsed(line: list[str]) -> list[tuple[str, str, Any]]:
    """Keys and values as Hydra reads them; 3 is not 3.0."""
    overrides = OverridesParser.create().parse_overrides(line)
    return [(override.key_or_group, repr(override.value()), override.type) for override in overrides]


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_wandbs_server_reads_the_same_grid(path):
    sweeps = pytest.importorskip("sweeps", reason="the package `sweeps` (dev extra) is not installed")
    sweep = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert sweeps.schema_violations_from_proposed_config(sweep) == []
    runs = [run for run in sweeps.next_runs(sweep, [], validate=True, n=1000) if run is not None]
    found = [{name: entry["value"] for name, entry in run.config.items()} for run in runs]
    assert sorted(map(spelled, found)) == sorted(map(spelled, points(sweep)))


def spelled(point: dict[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_baselines_compose_under_the_same_protocol(path):
    line = [o for o in expand(path)[0] if o.startswith("experiment=")]
    compose("evaluate", [*line, "system=unigram"])


def test_every_table_has_its_sweep():
    tables = {match[1] for path in SWEEPS for match in re.finditer(r"--table results/(\w+)", path.read_text("utf-8"))}
    # The demo's table is made by its own command.
    assert tables | {"demo"} == {path.parent.name for path in Path("results").glob("*/table.yaml")}
