"""The command line: help, unknown commands, and errors as one line with exit code 2."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from musicbench import cli, plans
from musicbench.errors import UserError


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    output = capsys.readouterr()
    return code, output.out, output.err


def test_help_lists_every_command_without_importing_torch():
    script = "import sys; from musicbench.cli import main; main([]); main(['--help']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    for name in cli.COMMANDS:
        (line,) = {line for line in done.stdout.splitlines() if line.strip().startswith(f"{name} ")}
        assert len(line.split()) > 3, "says what it does"


def test_every_command_has_a_main():
    for name in cli.COMMANDS:
        assert callable(importlib.import_module(f"musicbench.commands.{name}").main)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["trian", "seed=1"],
        ["plan", "dealy", "--frames", "10"],
        ["plan", "delay", "--frames", "0"],
        ["plan", "delay", "--frames", "10", "--levels", "9"],
        ["plan", "delay", "--frames", "10", "--schedule", "zigzag"],
        ["plan", "delay", "--frames", "10", "--delays", "0,1"],
        ["plan", "delay", "--frames", "10", "--delays", "a,b,c,d"],
        ["plan", "delay", "--frames", "10", "--delays", "0,1,,2"],
        ["plan", "flat", "--frames", "10", "--delays", "0,1,2,3"],
        ["plan", "delay", "--frames", "10", "--draw", "plan.txt"],
        ["plan", "delay", "--frames", "10", "--draw", "/proc/nowhere/plan.png"],
        ["train", "pattern=dealy"],
        ["train", "nothing=1"],
        ["train", "data.store=no/such/folder"],
        ["train", "training.steps=abc"],
        ["train", "seed=-1"],
        ["evaluate", "run=no/such/run", "seed=1"],
        ["evaluate"],
        ["evaluate", "system=nothing"],
        ["evaluate", "system=uniform", "run=somewhere"],
        ["evaluate", "run=no/such/run"],
        ["generate", "a waltz", "--run", "no/such/run"],
        ["generate", "  ", "--run", "no/such/run"],
        ["generate", "a waltz", "--run", "x", "--seconds", "0"],
        ["generate", "a waltz", "--run", "x", "--seconds", "nan"],
        ["generate", "a waltz", "--run", "x", "--seed", "-1"],
        ["sweep", "no/such/sweep.yaml"],
        ["table", "no/such/table"],
        ["answers"],
        ["answers", "no/such/sheet.csv"],
        ["answers", "sheet.csv", "--table", "no/such/table"],
        ["prepare", "stages=[nothing]"],
        ["plan"],
        ["plan", "delay"],
        ["plan", "delay", "--frames", "x"],
        ["generate"],
        ["bench"],
        ["bench", "evalute"],
        ["bench", "evaluate", "clips=0"],
        ["bench", "evaluate", "seconds=0"],
        ["bench", "evaluate", "seconds=2.5"],
        ["bench", "evaluate", "judges=papper"],
    ],
    ids=" ".join,
)
def test_mistakes_end_with_code_2_and_one_line(capsys, arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert err.startswith("musicbench: error: ")
    assert err.count("\n") == 1
    assert "Traceback" not in out + err


def test_user_errors_of_several_lines_become_one(capsys, monkeypatch):
    def fail(argv):
        raise UserError("first line\n  second line")

    monkeypatch.setattr("musicbench.commands.plan.main", fail)
    assert run(capsys, "plan")[::2] == (2, "musicbench: error: first line second line\n")


def test_interruption_is_code_130(capsys, monkeypatch):
    def interrupt(argv):
        raise KeyboardInterrupt

    monkeypatch.setattr("musicbench.commands.plan.main", interrupt)
    code, _, err = run(capsys, "plan")
    assert code == 130
    assert "goes on where it was" in err


@pytest.mark.parametrize(
    "arguments", ["plan flat --frames 3000 --json", "--help", "time --help", "train --help", "plan flat --frames 9"]
)
def test_a_closed_pipe_is_no_error(arguments):
    # The reader has gone before anything is written.
    command = f"{sys.executable} -m musicbench.cli {arguments} | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["delay", "--frames", "7"], {"pattern": "delay", "frames": 7}),
        (
            ["stack_delay", "--frames", "12", "--schedule", "block_2", "--levels", "3", "--no-same-step"],
            {"pattern": "stack_delay", "frames": 12, "schedule": "block_2", "levels": 3, "same_step": False},
        ),
        (
            ["delay", "--frames", "5", "--delays", "0,1,1,1", "--positional", "frame"],
            {"pattern": "delay", "frames": 5, "delays": [0, 1, 1, 1], "positional": "frame"},
        ),
        (["flat", "--frames", "1", "--levels", "1"], {"pattern": "flat", "frames": 1, "levels": 1}),
    ],
)
def test_plan_json_is_the_plan(capsys, arguments, options):
    code, out, err = run(capsys, "plan", *arguments, "--json")
    assert (code, err) == (0, "")
    dump, plan = json.loads(out), plans.build(**options)
    for name in ("step", "reads", "predicts", "expires", "frame_in", "frame_out"):
        np.testing.assert_array_equal(np.array(dump[name], dtype=np.int64), getattr(plan, name))
    for name in ("frames", "levels", "same_step", "positional", "steps", "positions", "peak_cache"):
        assert dump[name] == getattr(plan, name)


def test_plan_prints_the_step_of_each_token(capsys):
    code, out, _ = run(capsys, "plan", "delay", "--frames", "3", "--levels", "2")
    assert code == 0
    assert "steps 4   positions 4   peak cache 4" in out
    lines = out.splitlines()
    assert [line.split("|")[1].split() for line in lines[-2:]] == [["1", "2", "3"], ["0", "1", "2"]]


def test_plan_draws(capsys, tmp_path: Path):
    code, _, err = run(capsys, "plan", "stack_delay", "--frames", "12", "--draw", str(tmp_path / "deep" / "plan.png"))
    assert (code, err) == (0, "")
    assert (tmp_path / "deep" / "plan.png").stat().st_size > 1000


def test_nothing_is_written_by_a_failed_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(capsys, "plan", "dealy", "--frames", "5", "--draw", "plan.png")
    run(capsys, "train", "data.store=nowhere")
    assert os.listdir(tmp_path) == []
