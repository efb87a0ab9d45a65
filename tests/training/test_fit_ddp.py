"""Two gloo processes are one process with the whole batch, whatever the family; and they fail together."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from musicbench.runs.folder import BEST, LAST
from tests.helpers.compare import validation_curves
from tests.helpers.fitting import fit
from tests.helpers.observed import best_score
from tests.helpers.probe import gradients, install
from tests.helpers.real_run import environment

HERE = Path(__file__).parent.parent / "helpers"
FAMILIES = {
    "autoregressive": ["pattern=stack_delay", "training.steps=3"],
    "magnet": ["family=magnet", "decode=magnet_10s", "training.steps=5"],
    "hybrid": ["family=hybrid", "decode=hybrid_10s", "training.steps=5"],
}
COMMON = [
    "model.dropout=0.3",
    "training.validate_every=1",
    # The first two steps on crops of 0.6 s, three for each of 2 s.
    "training.length_warmup=[{steps:2,seconds:0.6}]",
]


CASES = [("autoregressive", 1), ("autoregressive", 2), ("magnet", 1), ("hybrid", 1)]
"""Families, and batches that a step accumulates."""


def train_in_two(*trainings: tuple[Path, Sequence[int], Sequence[str]]) -> subprocess.CompletedProcess[str]:
    """Two processes of Lightning's launcher; each training has a folder, steps of NaN and overrides."""
    told = [
        (str(folder), nan_steps, [*overrides, "trainer=ddp_cpu", "trainer.timeout=200"])
        for folder, nan_steps, overrides in trainings
    ]
    return subprocess.run(
        [sys.executable, str(HERE / "ddp_script.py"), str(HERE), json.dumps(told)],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env=environment(),
    )


_in_two: list[tuple[Path, subprocess.CompletedProcess[str]]] = []


@pytest.fixture
def in_two(tiny_overrides: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the trainings of all ``CASES`` by two processes, which start once for all of them."""
    if not _in_two:
        folder = tmp_path_factory.mktemp("two")
        trainings = [
            (folder / f"{family}-{accumulate}", [],
             [*tiny_overrides, *COMMON, *FAMILIES[family], f"training.accumulate={accumulate}"])
            for family, accumulate in CASES
        ]  # fmt: skip
        _in_two.append((folder, train_in_two(*trainings)))
    folder, done = _in_two[0]
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize(("family", "accumulate"), CASES)
def test_two_processes_equal_one(make_run, in_two, tmp_path, monkeypatch, family, accumulate):
    """Three validation clips: the ranks have unequal numbers of batches, and each clip counts once.

    One process that accumulates twice as many batches sees the same ones, each with the same masks and dropout.
    """
    sides = one, two = tmp_path / "one", in_two / f"{family}-{accumulate}"
    install(one / "gradients", put=monkeypatch.setattr)
    fit(make_run(*COMMON, *FAMILIES[family], f"training.accumulate={2 * accumulate}"), one)

    whole = gradients(one / "gradients", 0, 0)
    first, second = (gradients(two / "gradients", rank, 0) for rank in (0, 1))
    assert whole.keys() == first.keys()
    for name, value in whole.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=1e-6 * float(value.abs().max()) + 1e-9, rtol=1e-4, msg=name)
    assert any(value.abs().max() > 0 for value in whole.values())

    curves = [validation_curves(side) for side in sides]
    assert curves[0].keys() == curves[1].keys() != set()
    for name, curve in curves[0].items():
        assert len(curve) >= 3 and curves[1][name] == pytest.approx(curve, rel=1e-4)
    computed = [torch.load(side / LAST, weights_only=True)["callbacks"] for side in sides]
    assert [state["Computation"]["stretches"] for state in computed] == [
        [{"processes": processes, "device": "cpu"}] for processes in (1, 2)
    ]
    for name in (LAST, BEST):
        alone, shared = (torch.load(side / name, weights_only=True) for side in sides)
        assert alone["global_step"] == shared["global_step"]
        for key in ("current_model_state", "state_dict"):
            for weight, value in alone[key].items():
                torch.testing.assert_close(shared[key][weight], value, atol=1e-4, rtol=0, msg=f"{name} {weight}")
    assert abs(best_score(one) - best_score(two)) < 1e-3


@pytest.mark.parametrize("family", FAMILIES)
def test_accumulated_gradients_are_those_of_the_whole_batch(make_run, tmp_path, monkeypatch, family):
    """With one process: however many batches the clips of a step come in, their gradient is the same."""
    found = []
    for accumulate in (1, 2, 4):
        folder = tmp_path / f"{accumulate}"
        with monkeypatch.context() as patch:
            install(folder, put=patch.setattr)
            settings = (f"training.accumulate={accumulate}", "model.dropout=0", "training.steps=2")
            fit(make_run(*FAMILIES[family], *settings), folder / "run")
        found.append(gradients(folder, 0, 0))
    for other in found[1:]:
        for name, value in found[0].items():
            torch.testing.assert_close(other[name], value, atol=1e-6, rtol=1e-4, msg=name)


def test_one_ranks_nan_is_skipped_by_both(tiny_overrides, tmp_path):
    """Steps 1 and 2 are bad on the second rank alone, and both skip them; training goes on from step 0's weights."""
    done = train_in_two((tmp_path / "run", [1, 2], [*tiny_overrides, "training.steps=6", "training.max_nonfinite=3"]))
    assert done.returncode == 0, done.stderr[-3000:]
    for step in range(6):
        first, second = (gradients(tmp_path / "run" / "gradients", rank, step) for rank in (0, 1))
        finite = [all(bool(value.isfinite().all()) for value in rank.values()) for rank in (first, second)]
        assert finite == [step not in (1, 2)] * 2, step
        if finite[0]:
            assert all(torch.equal(first[name], second[name]) for name in first), "they still have the same weights"
    last = torch.load(tmp_path / "run" / LAST, weights_only=True)
    assert last["global_step"] == 6
    (optimiser,) = last["optimizer_states"]
    assert {int(moments["step"]) for moments in optimiser["state"].values()} == {4}, "two updates were left out"
    assert all(value.isfinite().all() for value in last["current_model_state"].values())
    (path,) = (tmp_path / "run").glob("logs/*/metrics.csv")
    with path.open(newline="") as file:
        logged = [(int(row["step"]), row.get("train/nonfinite_in_a_row")) for row in csv.DictReader(file)]
    assert [(step, float(value)) for step, value in logged if value] == [(1, 1.0), (2, 2.0)]
    assert done.stderr.count("is skipped: its gradients are not finite") >= 2


def test_nan_of_one_rank_for_ever_stops_both_and_keeps_the_checkpoint(tiny_overrides, tmp_path):
    settings = ["training.steps=9", "training.max_nonfinite=3", "training.save_every=1"]
    done = train_in_two((tmp_path / "run", [4, 5, 6, 7, 8], [*tiny_overrides, *settings]))
    assert done.returncode not in (0, None)
    assert "3 steps in a row had gradients that are not finite" in done.stderr
    last = torch.load(tmp_path / "run" / LAST, weights_only=True)
    assert 4 <= last["global_step"] <= 6
    assert all(value.isfinite().all() for value in last["current_model_state"].values())
    ranks = {path.name for path in (tmp_path / "run" / "gradients").iterdir()}
    assert {"0-6.pt", "1-6.pt"} <= ranks and not ranks & {"0-7.pt", "1-7.pt"}, "both stopped at the same step"
