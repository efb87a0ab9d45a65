"""Two gloo processes with half a batch each are one process with the whole batch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from musicbench.commands.checkpoints import BEST, LAST
from musicbench.commands.fit import fit

HERE = Path(__file__).parent


def best_score(folder: Path) -> float:
    callbacks = torch.load(folder / LAST, weights_only=True)["callbacks"]
    (state,) = [state for name, state in callbacks.items() if name.startswith("BestCheckpoint")]
    return float(state["best_model_score"])


@pytest.mark.parametrize(
    "family",
    [
        ["pattern=stack_delay"],
        ["family=magnet", "decode=magnet_10s", "training.steps=5"],
        ["family=hybrid", "decode=hybrid_10s", "training.steps=5"],
    ],
    ids=["autoregressive", "magnet", "hybrid"],
)
def test_two_processes_equal_one(make_run, tiny_overrides, tmp_path, family):
    """Three validation clips: the ranks have unequal numbers of batches, and each clip counts once."""
    overrides = ["model.dropout=0", "training.steps=3", "training.validate_every=1"]
    overrides += family
    # The first two steps on crops of 0.6 s, three for each of 2 s.
    overrides += ["training.length_warmup=[{steps:2,seconds:0.6}]"]
    fit(make_run(*overrides), tmp_path / "one")
    launcher = ["trainer=ddp_cpu", "training.batch_size=4"]
    # One clip per batch: two validation batches on the first rank, one on the second.
    accumulate = ["training.accumulate=2"]
    arguments = [*tiny_overrides, *overrides, *launcher, *accumulate]
    environment = {key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "NODE_RANK")}
    done = subprocess.run(
        [sys.executable, str(HERE / "ddp_script.py"), str(HERE), str(tmp_path / "two"), *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        env=environment | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in (LAST, BEST):
        one, two = (torch.load(tmp_path / side / name, weights_only=True) for side in ("one", "two"))
        assert one["global_step"] == two["global_step"]
        for key in ("current_model_state", "state_dict"):
            for weight, value in one[key].items():
                torch.testing.assert_close(two[key][weight], value, atol=1e-4, rtol=0, msg=f"{name} {weight}")
    assert abs(best_score(tmp_path / "one") - best_score(tmp_path / "two")) < 1e-3
