"""The guard against gradients that are not finite, in a real Trainer."""

import lightning.pytorch as pl
import pytest
import torch
from torch.utils.data import DataLoader

from musicbench.errors import UserError
from musicbench.generators.captioned import CaptionedLM
from musicbench.training import guard
from musicbench.training.guard import NonFiniteGuard


class Scripted(pl.LightningModule):
    """One weight per item of its script; a step's loss is finite or not as the script says."""

    def __init__(self, script: list[float], fused: bool) -> None:
        super().__init__()
        self.script, self.fused = script, fused
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.seen: list[list[float]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(self.weight.detach().tolist())
        return (self.weight * self.script[batch_idx]).sum()

    def configure_optimizers(self):
        return torch.optim.AdamW(self.parameters(), lr=0.1, weight_decay=0.1, fused=self.fused)

    # Lightning clips no fused optimiser; the families clip by themselves.
    configure_gradient_clipping = CaptionedLM.configure_gradient_clipping


@pytest.fixture(params=["plain", "fused", "fused on a device"])
def fused(request, monkeypatch) -> bool:
    """Whether the optimiser is fused; on a device the host looks at a step's flag one step later."""
    if request.param == "fused on a device":
        monkeypatch.setattr(guard, "_known", lambda flag: False)
    return request.param != "plain"


def train(script: list[float], limit: int, tmp_path, fused=False, **options) -> tuple[Scripted, NonFiniteGuard]:
    module, guard = Scripted(script, fused), NonFiniteGuard(limit)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=len(script),
        callbacks=[guard],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
        **options,
    )
    trainer.fit(module, DataLoader(torch.zeros(len(script), 1), batch_size=1))
    return module, guard


BAD = [float("nan"), float("inf"), float("-inf")]


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("clip", [None, 1.0])
def test_a_bad_step_changes_nothing(bad, clip, fused, tmp_path):
    module, guard = train([1.0, bad, 1.0, 1.0], 3, tmp_path, fused, gradient_clip_val=clip)
    after_good, after_bad = module.seen[1], module.seen[2]
    assert after_bad == after_good
    assert module.seen[3] != after_bad, "training goes on"
    assert torch.isfinite(module.weight).all()
    assert guard.in_a_row == 0


@pytest.mark.parametrize("bad", BAD[:2])
def test_a_bad_step_leaves_the_moments_alone(bad, fused, tmp_path):
    """The same good steps with and without a bad one between them end at the same weights."""
    with_bad, _ = train([1.0, -2.0, bad, 0.5, 3.0], 3, tmp_path, fused)
    without, _ = train([1.0, -2.0, 0.5, 3.0], 3, tmp_path, fused)
    assert torch.equal(with_bad.weight, without.weight)


def test_stops_after_so_many_in_a_row(fused, tmp_path):
    nan = float("nan")
    with pytest.raises(UserError, match=r"3 steps in a row .* lower optimiser.lr") as error:
        train([1.0, nan, nan, 1.0, nan, nan, nan, 1.0], 3, tmp_path, fused)
    assert "\n" not in str(error.value)
    assert "step 6" in str(error.value), "two in a row did not stop it"


def test_the_last_step_counts_too(fused, tmp_path):
    nan = float("nan")
    with pytest.raises(UserError, match=r"2 steps in a row .*step 3"):
        train([1.0, 1.0, nan, nan], 2, tmp_path, fused)


def test_a_checkpoint_counts_the_step_before_it(fused, tmp_path):
    """Also one that the host has not looked at yet."""
    counted = []

    class Saves(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            trainer.save_checkpoint(tmp_path / "state")
            counted.append(torch.load(tmp_path / "state", weights_only=True)["callbacks"]["NonFiniteGuard"]["in_a_row"])

    module, guard = Scripted([1.0, float("nan"), float("nan"), 1.0], fused), NonFiniteGuard(3)
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=4,
        callbacks=[guard, Saves()],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(module, DataLoader(torch.zeros(4, 1), batch_size=1))
    assert counted == [0, 1, 2, 0]


def test_the_count_survives_a_checkpoint():
    guard, other = NonFiniteGuard(5), NonFiniteGuard(5)
    guard.in_a_row = 4
    other.load_state_dict(guard.state_dict())
    assert other.in_a_row == 4
