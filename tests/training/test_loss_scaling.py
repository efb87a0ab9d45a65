"""fp16's loss scaling, by the real scaler on the CPU: steps that it skips keep all counters in step."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision

from musicbench.errors import UserError
from musicbench.runs.folder import LAST
from musicbench.training import fit as fit_module
from musicbench.training.fit import WallClock
from tests.helpers.fitting import fit

STEPS = 12


@pytest.fixture
def scaled(monkeypatch: pytest.MonkeyPatch) -> list[torch.amp.GradScaler]:
    """Trainings are in fp16 with a loss scale that overflows at first and grows again after two good steps."""
    scalers: list[torch.amp.GradScaler] = []

    class ScaledTrainer(pl.Trainer):
        def __init__(self, *, precision: str, plugins: list, **options) -> None:
            scalers.append(torch.amp.GradScaler("cpu", init_scale=2.0**22, growth_interval=2))
            super().__init__(plugins=[*plugins, MixedPrecision("16-mixed", "cpu", scalers[-1])], **options)

    monkeypatch.setattr(fit_module.pl, "Trainer", ScaledTrainer)
    return scalers


def checkpoint(folder) -> dict:
    return torch.load(folder / LAST, weights_only=True)


def updates(state: dict) -> set[int]:
    """How often the optimiser has changed each parameter."""
    (optimiser,) = state["optimizer_states"]
    return {int(moments["step"]) for moments in optimiser["state"].values()}


def test_skipped_steps_keep_the_counters_together(make_run, scaled, tmp_path, monkeypatch):
    weights, finite = [], []
    check = fit_module.NonFiniteGuard.on_before_optimizer_step

    def see(guard, trainer, module, optimizer):
        finite.append(all(bool(p.grad.isfinite().all()) for p in module.parameters()))
        weights.append({name: value.clone() for name, value in module.state_dict().items()})
        check(guard, trainer, module, optimizer)

    monkeypatch.setattr(fit_module.NonFiniteGuard, "on_before_optimizer_step", see)
    fit(make_run(f"training.steps={STEPS}", "training.max_nonfinite=20"), tmp_path / "run")
    state = checkpoint(tmp_path / "run")
    skipped = finite.count(False)
    assert 0 < skipped < STEPS and len(finite) == STEPS
    assert updates(state) == {STEPS - skipped}, "Adam counts what it did"
    assert state["global_step"] == STEPS
    assert state["lr_schedulers"][0]["last_epoch"] == STEPS, "the schedule follows the steps, skipped or not"
    assert int(state["averaging_state"]["n_averaged"]) == STEPS
    for before, after, good in zip(weights, weights[1:], finite, strict=False):
        changed = any(not torch.equal(before[name], after[name]) for name in before)
        assert changed == good
    average = weights[1]
    for one in [*weights[2:], state["current_model_state"]]:
        average = {name: 0.6 * average[name] + 0.4 * one[name] for name in average}
    for name, value in average.items():
        torch.testing.assert_close(state["state_dict"][name], value, atol=1e-6, rtol=0)
    (curve,) = (tmp_path / "run").glob("logs/*/metrics.csv")
    assert "train/nonfinite_in_a_row" in curve.read_text().splitlines()[0]


def test_k_and_k_steps_are_two_k_steps(make_run, scaled, tmp_path, monkeypatch):
    """The loss scale goes on where it was, so the same steps are skipped."""
    overrides = (f"training.steps={STEPS}", "training.max_nonfinite=20", "training.save_every=3")
    fit(make_run(*overrides), tmp_path / "whole")
    original = WallClock.on_train_batch_end

    def stop(callback, trainer, *rest):
        original(callback, trainer, *rest)
        if trainer.global_step == 7:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(WallClock, "on_train_batch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            fit(make_run(*overrides), tmp_path / "halves")
    fit(make_run(*overrides), tmp_path / "halves")
    one, other = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "halves")
    assert one["MixedPrecision"] == other["MixedPrecision"]
    assert one["MixedPrecision"]["scale"] != 2.0**22
    assert updates(one) == updates(other) != {STEPS}
    for key in ("current_model_state", "state_dict"):
        assert all(torch.equal(value, other[key][name]) for name, value in one[key].items())


def test_too_many_in_a_row_stop_the_run(make_run, scaled, tmp_path):
    with pytest.raises(UserError, match="2 steps in a row had gradients that are not finite"):
        fit(make_run(f"training.steps={STEPS}", "training.max_nonfinite=2", "training.save_every=1"), tmp_path / "run")
    assert checkpoint(tmp_path / "run")["global_step"] == 1


def test_fp16_without_a_gpu_is_refused(make_run, tmp_path):
    """Lightning would train in bf16 instead, and the record say fp16."""
    with pytest.raises(UserError, match="16-mixed needs a GPU; use bf16-mixed or 32-true"):
        fit(make_run("trainer.precision=16-mixed"), tmp_path / "run")
