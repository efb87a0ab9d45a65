"""A training goes on with other kernels than it began with."""

import pytest

from musicbench.models import kernels
from musicbench.training.fit import WallClock
from tests.helpers.fitting import fit
from tests.helpers.observed import StopError


@pytest.mark.parametrize(("first", "second"), [("plain", "auto"), ("auto", "plain")])
def test_the_optimiser_computes_as_this_process_does(make_run, tmp_path, monkeypatch, first, second):
    run = make_run("training.steps=6", "training.save_every=3")
    step, fused = WallClock.on_train_batch_end, []

    def stopped(clock, trainer, *rest):
        step(clock, trainer, *rest)
        if trainer.global_step == 4:
            raise StopError

    def seen(clock, trainer, *rest):
        step(clock, trainer, *rest)
        fused.extend(group["fused"] for group in trainer.optimizers[0].param_groups)

    monkeypatch.setattr(WallClock, "on_train_batch_end", stopped)
    with kernels.using(first), pytest.raises(StopError):
        fit(run, tmp_path / "run")
    monkeypatch.setattr(WallClock, "on_train_batch_end", seen)
    with kernels.using(second):
        fit(make_run("training.steps=6", "training.save_every=3"), tmp_path / "run")
    assert set(fused) == {second == "auto"}
