"""Real `musicbench train` processes ended by SIGKILL: the same command goes on, and ends at the very same numbers.

Nothing here waits for a time: a child is killed when its progress bar shows a step, or by itself inside a write.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch

from musicbench.runs.folder import BEST, LAST
from musicbench.study.records import read_record
from tests.helpers.compare import assert_equal_runs, validation_curves
from tests.helpers.real_run import TRAIN, environment, make_store

DIE_IN = (sys.executable, str(Path(__file__).parent.parent / "helpers" / "die_in.py"))
STEPS, SAVE, VALIDATE = 16, 3, 5
NUMBERS = (f"training.steps={STEPS}", f"training.save_every={SAVE}", f"training.validate_every={VALIDATE}")
BAR = re.compile(rb"(?:Training|Epoch 0):[^|\r]*\|[^|\r]*\| (\d+)/")

NOT_SHARED = ("training.wall_seconds", "speed", "git")
"""Fields of a record that two runs of one command need not share: how long things took, and the state of the checkout,
which somebody may edit meanwhile."""


class Moment(NamedTuple):
    """When a child dies: its bar shows so many steps (0: it has not begun), or inside the n-th write of a file."""

    step: int = 0
    file: str = ""
    writes: int = 0


def killed(overrides: Sequence[str], moment: Moment) -> list[int]:
    """Run the command until the moment; the steps that its progress bar showed."""
    words = [*DIE_IN, moment.file, str(moment.writes), "train"] if moment.file else [*TRAIN]
    child = subprocess.Popen([*words, *overrides], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    assert child.stdout is not None
    text = b""
    while piece := os.read(child.stdout.fileno(), 1 << 16):
        text += piece
        begun = max(shown(text), default=0) >= moment.step if moment.step else b"run folder:" in text
        if begun and not moment.file:
            child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, text[-3000:].decode()
    return shown(text)


def shown(text: bytes) -> list[int]:
    """Steps in the order in which a progress bar showed them, but for its empty beginning."""
    return [int(step) for step in BAR.findall(text) if int(step)]


def finished(overrides: Sequence[str]) -> list[int]:
    """Run the command to its end; the steps that its progress bar showed."""
    done = subprocess.run([*TRAIN, *overrides], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment())
    assert done.returncode == 0, done.stdout[-3000:].decode()
    return shown(done.stdout)


def run_folder(output: Path) -> Path:
    (folder,) = [path for path in output.iterdir() if (path / "config.yaml").exists() or (path / LAST).exists()]
    return folder


def saved_step(output: Path) -> int:
    """Step to resume from."""
    found = list(output.glob(f"*/{LAST}"))
    return torch.load(found[0], weights_only=True)["global_step"] if found else 0


def record(folder: Path) -> dict[str, Any]:
    """The record without ``NOT_SHARED``."""
    content: dict[str, Any] = json.loads(json.dumps(read_record(folder / "record.json")))
    for field in NOT_SHARED:
        *groups, last = field.split(".")
        part = content
        for group in groups:
            part = part[group]
        del part[last]
    return content


def assert_same_run(one: Path, other: Path) -> None:
    assert_equal_runs(one, other)
    assert sorted(validation_curves(one)["validation/bits_per_frame"]) == list(range(VALIDATE, STEPS + 1, VALIDATE))
    assert record(one) == record(other)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    """Overrides without the output folder, and the folder of a run that nobody disturbed."""
    place = tmp_path_factory.mktemp("real")
    overrides = [*make_store(place), *NUMBERS]
    assert max(finished([*overrides, f"output={place / 'runs'}"])) == STEPS
    return overrides, run_folder(place / "runs")


def survive(overrides: list[str], output: Path, moments: Sequence[Moment]) -> Path:
    """Kill a run at all of these moments, each time going on with the same command, and let it end."""
    command = [*overrides, f"output={output}", f"cache={output / 'cache'}"]
    saved = 0
    for moment in moments:
        steps = killed(command, moment)
        assert not steps or steps[0] in (saved, saved + 1), "goes on where it was saved"
        before, saved = saved, saved_step(output) if output.exists() else 0
        assert before <= saved
        # What must be done again is at most one interval between checkpoints.
        assert max(steps, default=saved) - saved <= SAVE
    steps = finished(command)
    assert steps == [] if saved == STEPS else steps[0] in (saved, saved + 1)
    folder = run_folder(output)
    assert not list(folder.glob(".*.ckpt")), "what a killed process left of a write is cleared away"
    return folder


def test_killed_three_times(undisturbed, tmp_path):
    """Before the first checkpoint, inside a later one, and in the evaluation, which leaves the training alone."""
    overrides, whole = undisturbed
    moments = [Moment(step=2), Moment(file=LAST, writes=1), Moment(file="record.json")]
    assert_same_run(whole, survive(overrides, tmp_path / "runs", moments))


@pytest.mark.kill
@pytest.mark.parametrize("seed", [0, 1])
def test_killed_ten_times(undisturbed, tmp_path, seed):
    """At random moments: half of them before the first checkpoint, one in a checkpoint, one in the evaluation."""
    overrides, whole = undisturbed
    random = np.random.default_rng(seed)
    early = [Moment(step=int(step)) for step in random.integers(0, SAVE, 5)]
    late = [Moment(step=int(step)) for step in sorted(random.integers(SAVE + 1, STEPS + 1, 3))]
    write = Moment(file=(LAST, BEST)[seed], writes=int(random.integers(1, 3)))
    assert_same_run(whole, survive(overrides, tmp_path / "runs", [*early, write, *late, Moment(file="record.json")]))
