"""Trainings that were interrupted, moved or torn go on as if nothing had happened, or say why not."""

import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from musicbench.errors import UserError
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.runs.folder import BEST, LAST
from musicbench.training.checkpoints import AtomicCheckpoints
from musicbench.training.computation import Computation
from musicbench.training.fit import WallClock
from tests.helpers.compare import assert_equal_runs
from tests.helpers.fitting import fit
from tests.helpers.observed import Recorder, StopError, assert_equal, best_score, load, validation_curve

FAMILIES = {
    "autoregressive": ["family.level_dropout=0.3"],
    "magnet": ["family=magnet", "decode=magnet_10s"],
    "hybrid": ["family=hybrid", "decode=hybrid_10s"],
}


@pytest.mark.parametrize(
    ("family", "accumulate"), [("autoregressive", 1), ("autoregressive", 2), ("magnet", 1), ("hybrid", 2)]
)
def test_k_and_k_steps_are_two_k_steps(make_run, tmp_path, monkeypatch, family, accumulate):
    """Interrupted half of the way, training ends at the very same numbers: data order, dropout, averages."""
    overrides = (
        *FAMILIES[family],
        f"training.accumulate={accumulate}",
        "model.dropout=0.3",
        "training.steps=6",
        "training.save_every=3",
        "training.length_warmup=[{steps:2,seconds:0.5},{steps:2,seconds:1}]",
    )
    whole = Recorder(monkeypatch)
    fit(make_run(*overrides), tmp_path / "whole")
    monkeypatch.undo()

    first = Recorder(monkeypatch)
    recording = WallClock.on_train_batch_end

    def stop_in_the_middle(callback, trainer, module, outputs, batch, batch_idx):
        recording(callback, trainer, module, outputs, batch, batch_idx)
        if trainer.global_step == 4:  # one step after the checkpoint: it must be done again
            raise StopError

    monkeypatch.setattr(WallClock, "on_train_batch_end", stop_in_the_middle)
    with pytest.raises(StopError):
        fit(make_run(*overrides), tmp_path / "halves")
    monkeypatch.undo()
    assert load(tmp_path / "halves" / LAST)["global_step"] == 3
    assert first.clips == whole.clips[: 4 * accumulate]

    second = Recorder(monkeypatch)
    torch.rand(5)  # resuming must not lean on the global random stream
    fit(make_run(*overrides), tmp_path / "halves")
    assert second.clips == whole.clips[3 * accumulate :]
    assert load(tmp_path / "halves" / LAST)["global_step"] == 6
    assert_equal_runs(tmp_path / "whole", tmp_path / "halves")


def test_a_folder_that_was_moved_keeps_its_best(make_run, tmp_path):
    """Going on elsewhere, a worse score is no reason to write over the best checkpoint."""
    overrides = ("training.save_every=1", "optimiser.lr=0.1", "training.validate_every=1")
    fit(make_run(*overrides, "training.steps=6"), tmp_path / "whole")
    curve = validation_curve(tmp_path / "whole")
    best = min(curve, key=curve.get)
    assert best < 6, "else the best would not be lost"
    fit(make_run(*overrides, "training.steps=6"), tmp_path / "first")
    moved = (tmp_path / "first").rename(tmp_path / "second")
    before = (moved / BEST).read_bytes()
    fit(make_run(*overrides, "training.steps=8"), moved)
    later = validation_curve(moved)
    assert len(later) == 8
    assert load(moved / BEST)["global_step"] == min(later, key=later.get)
    if min(later, key=later.get) == best:
        assert (moved / BEST).read_bytes() == before
    assert best_score(moved) == pytest.approx(min(later.values()), rel=1e-6)


def test_what_was_logged_before_a_checkpoint_is_on_disk_with_it(make_run, tmp_path, monkeypatch):
    """A killed process flushes nothing, and what comes before the checkpoint is not done again."""
    rows = []
    original = AtomicCheckpoints.save_checkpoint

    def save(self, checkpoint, path, storage_options=None):
        if Path(path).name == LAST:
            rows.append((checkpoint["global_step"], len(validation_curve(tmp_path / "run"))))
        original(self, checkpoint, path, storage_options)

    monkeypatch.setattr(AtomicCheckpoints, "save_checkpoint", save)
    fit(make_run("training.steps=6", "training.save_every=1"), tmp_path / "run")
    assert rows == [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (6, 3)]


def test_interrupting_is_a_keyboard_interrupt_and_can_go_on(make_run, tmp_path, monkeypatch):
    def interrupt(callback, trainer, module, outputs, batch, batch_idx):
        if trainer.global_step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(WallClock, "on_train_batch_end", interrupt)
    handler = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            fit(make_run(), tmp_path / "run")
    finally:
        signal.signal(signal.SIGINT, handler)  # Lightning ignores further interrupts while it ends
    monkeypatch.undo()
    assert load(tmp_path / "run" / LAST)["global_step"] == 2
    fit(make_run(), tmp_path / "run")
    assert load(tmp_path / "run" / LAST)["global_step"] == 4


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("stop", "lr"), [(2, 0.1), (4, 0.003), (6, 0.003)])
def test_interrupted_while_validating(make_run, tmp_path, monkeypatch, accumulate, stop, lr):
    """The validation that was broken off is made up for, and a best score there is kept."""
    overrides = ("training.steps=6", "training.save_every=1", f"optimiser.lr={lr}", f"training.accumulate={accumulate}")
    fit(make_run(*overrides), tmp_path / "whole")
    curve = validation_curve(tmp_path / "whole")
    assert list(curve) == [2, 4, 6]
    if stop != 4:
        assert min(curve, key=curve.get) == stop, "else the best would not be lost"

    original = AutoregressiveLM.validation_step

    def interrupt(module, batch, batch_idx):
        original(module, batch, batch_idx)
        if module.trainer.global_step == stop:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        patch.setattr(AutoregressiveLM, "validation_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fit(make_run(*overrides), tmp_path / "halves")
    signal.signal(signal.SIGINT, handler)
    assert load(tmp_path / "halves" / LAST)["global_step"] == stop - 1
    fit(make_run(*overrides), tmp_path / "halves")

    assert validation_curve(tmp_path / "halves") == curve
    for name in (BEST, LAST):
        one, other = load(tmp_path / "whole" / name), load(tmp_path / "halves" / name)
        assert one["global_step"] == other["global_step"]
        assert_equal(one["state_dict"], other["state_dict"])
    scores = [best_score(tmp_path / name) for name in ("whole", "halves")]
    assert scores[0] == scores[1] == pytest.approx(min(curve.values()), rel=1e-6)


@pytest.mark.parametrize("damage", ["truncated", "empty"])
def test_a_torn_checkpoint_is_named(make_run, tmp_path, damage):
    run = make_run("training.steps=2")
    fit(run, tmp_path / "run")
    last = tmp_path / "run" / LAST
    content = last.read_bytes()
    last.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    with pytest.raises(UserError, match=LAST):
        fit(make_run("training.steps=2"), tmp_path / "run")


@pytest.mark.parametrize("steps", [5, 7])
def test_the_last_checkpoint_is_that_of_the_last_step(make_run, tmp_path, steps):
    """Also when the number of steps is no multiple of save_every, or below it."""
    for save_every in (2, 100):
        folder = tmp_path / f"{save_every}"
        fit(make_run(f"training.steps={steps}", f"training.save_every={save_every}"), folder)
        assert load(folder / LAST)["global_step"] == steps


def test_wall_clock_adds_up(tmp_path):
    clock = WallClock()
    clock.load_state_dict({"seconds": 5.0})
    clock.on_train_start(None, None)
    clock.on_train_batch_end(None, None, None, None, 0)
    assert 5.0 < clock.state_dict()["seconds"] < 6.0


def test_who_computed_a_training_is_kept_over_interruptions():
    def start(callback: Computation, processes: int) -> None:
        callback.on_train_start(SimpleNamespace(world_size=processes, strategy=alone), None)

    alone = SimpleNamespace(root_device=torch.device("cpu"))
    state: dict = {"stretches": []}
    for processes in (1, 1, 2):
        callback = Computation()
        callback.load_state_dict(state)
        start(callback, processes)
        state = callback.state_dict()
    assert state["stretches"] == [{"processes": 1, "device": "cpu"}, {"processes": 2, "device": "cpu"}]
