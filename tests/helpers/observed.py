"""What a training left in its folder, and what it did step by step."""

from pathlib import Path

import pytest
import torch

from musicbench.runs.folder import LAST
from musicbench.training.fit import WallClock
from tests.helpers.compare import validation_curves

Weights = dict[str, torch.Tensor]


def load(path: Path) -> dict:
    return torch.load(path, map_location="cpu", weights_only=True)


def assert_equal(one: Weights, other: Weights) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


def validation_curve(folder: Path) -> dict[int, float]:
    """Validation bits by optimiser step, over all starts of a run."""
    return validation_curves(folder).get("validation/bits_per_frame", {})


def best_score(folder: Path) -> float:
    """What the best checkpoint's keeper believes at the end of training."""
    callbacks = load(folder / LAST)["callbacks"]
    (state,) = [state for name, state in callbacks.items() if name.startswith("BestCheckpoint")]
    return float(state["best_model_score"])


class Recorder:
    """What training does, seen from the module's own methods: weights after each step, clips of each batch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.weights: list[Weights] = []
        self.clips: list[list[int]] = []
        original = WallClock.on_train_batch_end

        def record(callback, trainer, module, outputs, batch, batch_idx):
            self.weights.append({name: value.clone() for name, value in module.state_dict().items()})
            self.clips.append(batch.index_B.tolist())
            original(callback, trainer, module, outputs, batch, batch_idx)

        monkeypatch.setattr(WallClock, "on_train_batch_end", record)


class StopError(Exception):
    """Ends a training in the middle."""
