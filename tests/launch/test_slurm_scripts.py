"""The job scripts of sweeps/README.md, with a `srun` that only says what it is asked to run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from musicbench.launch.sweep_file import expand
from musicbench.runs.compose import compose
from tests.readmes import job_scripts

ROOT = Path(__file__).parents[2]
BLOCKS = [block.text for block in job_scripts(ROOT / "sweeps" / "README.md")]
SWEEP = "sweeps/patterns_10s.yaml"


@pytest.fixture
def submitted(tmp_path: Path):
    """``submitted(script, SLURM_ARRAY_TASK_ID="2")`` -> the words that follow srun's own options."""
    (tmp_path / "commands").mkdir()
    programs = {
        "srun": 'printf "%s\\n" "$@"',
        "musicbench": f'exec {sys.executable} -m musicbench.cli "$@"',
    }
    for name, line in programs.items():
        path = tmp_path / "commands" / name
        path.write_text(f"#!/bin/bash\n{line}\n")
        path.chmod(0o755)

    def run(script: str, **variables: str) -> list[str]:
        lines = [line for line in script.splitlines() if not line.startswith("source ")]
        done = subprocess.run(
            ["bash", "-c", "\n".join(lines)],
            cwd=ROOT,
            env={**os.environ, **variables, "PATH": f"{tmp_path / 'commands'}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
        )
        words = done.stdout.splitlines()
        return words[words.index("musicbench") :]

    return run


def test_each_task_of_the_array_is_a_run_of_the_sweep(submitted):
    (script,) = [block for block in BLOCKS if "--array" in block]
    assert SWEEP in script
    runs = list(expand(ROOT / SWEEP))
    assert f"--array=1-{len(runs)} " in script
    for task in (1, len(runs)):
        words = submitted(script, SLURM_ARRAY_TASK_ID=str(task))
        assert words[: 2 + len(runs[task - 1])] == ["musicbench", "train", *runs[task - 1]]
        compose("train", words[2:])


def test_the_job_of_several_nodes_agrees_with_itself(submitted):
    (script,) = [block for block in BLOCKS if "--nodes" in block]
    words = submitted(script)
    config = compose("train", words[2:])
    options = dict(re.findall(r"--([a-z-]+)=(\S+)", script))
    assert config.trainer.num_nodes == int(options["nodes"])
    assert options["ntasks-per-node"] == options["gpus-per-node"], "one process for each GPU"
    assert config.trainer.devices == -1
    assert yaml.safe_load((ROOT / "conf" / "trainer" / "ddp.yaml").read_text())["precision"] == "16-mixed"
