"""A sweep of tiny runs in this process: failures are listed, finished runs are kept, the table is filled."""

import json
import shlex
from pathlib import Path

import pytest

from musicbench import cli
from musicbench.commands import sweep, train
from musicbench.errors import UserError


@pytest.fixture
def file(overrides, tmp_path) -> Path:
    fixed = {o.partition("=")[0]: o.partition("=")[2] for o in overrides if not o.startswith("output=")}
    lines = [f"  {name}: {{value: {json.dumps(value)}}}" for name, value in fixed.items()]
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "\n".join(["method: grid", "parameters:", *lines, "  pattern: {values: [parallel, flat, stack]}"]),
        encoding="utf-8",
    )
    return path


@pytest.fixture
def started(monkeypatch) -> list[str]:
    """Patterns of the trainings that a sweep started; they run in this process, and stack fails."""
    patterns: list[str] = []

    def call(command: list[str]) -> int:
        assert command[1:4] == ["-m", "musicbench.cli", "train"]
        (pattern,) = [o.partition("=")[2] for o in command if o.startswith("pattern=")]
        patterns.append(pattern)
        return 2 if pattern == "stack" else train.main(command[4:])

    monkeypatch.setattr(sweep, "_call", call)
    return patterns


def test_dry_run_prints_commands_that_train_understands(file, tmp_path, capsys):
    from musicbench.commands.config import compose

    assert sweep.main([str(file), "--dry-run", "--output", str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line, pattern in zip(lines, ("parallel", "flat", "stack"), strict=True):
        words = shlex.split(line)
        assert words[:2] == ["musicbench", "train"]
        config = compose("train", words[2:])
        assert (config.pattern.pattern, config.output) == (pattern, str(tmp_path / "out"))


def test_a_failed_run_is_said_and_the_others_go_on(file, tmp_path, started, capsys):
    arguments = [str(file), "--output", str(tmp_path / "out")]
    assert sweep.main(arguments) == 1
    assert started == ["parallel", "flat", "stack"]
    assert "failed: exit code 2, see above" in capsys.readouterr().err
    assert len(list((tmp_path / "out").glob("*/record.json"))) == 2
    # Again: only what is missing.
    started.clear()
    assert sweep.main(arguments) == 1
    assert started == ["stack"]


def test_a_run_that_cannot_be_composed_is_a_failed_run(file, tmp_path, started, capsys):
    text = file.read_text(encoding="utf-8").replace("[parallel, flat, stack]", "[paralel, flat]")
    file.write_text(text, encoding="utf-8")
    assert sweep.main([str(file), "--output", str(tmp_path / "out")]) == 1
    assert started == ["flat"]
    *_, heading, failure = capsys.readouterr().err.splitlines()
    assert heading == "1 of 2 runs failed:"
    assert "pattern=paralel" in failure
    assert "did you mean parallel?" in failure


def test_the_reason_of_a_failure_is_kept_with_the_run(file, tmp_path, monkeypatch, capsys):
    def diverge(run, folder, loggers):
        folder.mkdir(parents=True)
        raise UserError("training diverged")

    def call(command: list[str]) -> int:
        return cli.main(command[3:])

    monkeypatch.setattr("musicbench.commands.fit.fit", diverge)
    monkeypatch.setattr(sweep, "_call", call)
    assert sweep.main([str(file), "--output", str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].endswith("exit code 2, training diverged")
    texts = [path.read_text() for path in (tmp_path / "out").glob("*/failed.txt")]
    assert texts == ["training diverged\n"] * 3


def test_a_mistaken_table_is_found_before_training(file, tmp_path, started):
    with pytest.raises(UserError, match="cannot read"):
        sweep.main([str(file), "--table", str(tmp_path / "nowhere")])
    assert started == []


def test_the_table_is_filled(file, tmp_path, started, capsys):
    table = tmp_path / "table"
    table.mkdir()
    (table / "table.yaml").write_text(
        "title: T\nprotocol: P\nreference_row: flat\n"
        "rows:\n  - {row: uniform, label: Uniform}\n  - {row: parallel, label: Par}\n  - {row: flat, label: Flat}\n"
        "columns:\n  Q:\n    - {key: metrics.bits_per_frame, label: Bits, decimals: 2, better: lower}\n",
        encoding="utf-8",
    )
    sweep.main([str(file), "--output", str(tmp_path / "out"), "--table", str(table)])
    names = sorted(path.name for path in (table / "records").glob("*.json"))
    assert names == ["flat-seed0.json", "parallel-seed0.json", "uniform-seed0.json"]
    text = (table / "table.md").read_text(encoding="utf-8")
    assert "7.17" in text, "uniform: 2 log2(12) bits a frame"
    page = (table / "listen.html").read_text(encoding="utf-8")
    assert page.count("<audio") == 3 * 2, "three rows, a prompt of each piece"


def test_interruption_stops_the_sweep(file, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(sweep, "_call", lambda command: calls.append(command) or 130)
    with pytest.raises(KeyboardInterrupt):
        sweep.main([str(file), "--output", str(tmp_path / "out")])
    assert len(calls) == 1
