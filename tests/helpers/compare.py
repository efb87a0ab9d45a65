"""Two runs that must have come to the very same numbers."""

import csv
from pathlib import Path
from typing import Any

import torch

from musicbench.runs.folder import BEST, LAST


def validation_curves(folder: Path) -> dict[str, dict[int, float]]:
    """Each validated quantity by optimiser step, over all starts of a run."""
    curves: dict[str, dict[int, float]] = {}
    for path in sorted(folder.glob("logs/version_*/metrics.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, text in row.items():
                    if name.startswith("validation/") and text:
                        curve, step = curves.setdefault(name, {}), int(row["step"]) + 1
                        assert curve.setdefault(step, float(text)) == float(text), "done again, it is the same"
    return curves


def checkpoints(folder: Path) -> dict[str, Any]:
    """All that a run's checkpoints hold, by dotted name, but for the time spent and the folder's own name."""
    found: dict[str, Any] = {}

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                walk(f"{name}.{str(key).replace(str(folder), '')}", item)
        elif isinstance(value, list | tuple):
            for number, item in enumerate(value):
                walk(f"{name}.{number}", item)
        elif ".WallClock." not in name:
            found[name] = value.replace(str(folder), "") if isinstance(value, str) else value

    for name in (LAST, BEST):
        walk(name, torch.load(folder / name, map_location="cpu", weights_only=True))
    return found


def assert_equal_runs(one: Path, other: Path) -> None:
    """Bit for bit: weights, averages, optimiser, schedule, counters, the best score, and the validation curves."""
    first, second = checkpoints(one), checkpoints(other)
    assert first.keys() == second.keys()
    parts = {name.removeprefix(f"{LAST}.").partition(".")[0] for name in first}
    assert parts >= {"state_dict", "current_model_state", "averaging_state", "optimizer_states", "loops", "callbacks"}
    different = [
        name
        for name, value in first.items()
        if not (torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name])
    ]
    assert different == []
    assert validation_curves(one) == validation_curves(other) != {}
