"""The moving average against its formula and against Lightning's own."""

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from torch.utils.data import DataLoader

from musicbench.training.averaging import averaging


class Walk(pl.LightningModule):
    """Weights that move in every step; an integer buffer stays out of the average."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(5, 3)
        self.register_buffer("table", torch.arange(4))
        self.path: list[torch.Tensor] = []

    def training_step(self, batch, batch_idx):
        return self.layer(batch).square().mean()

    def on_train_batch_end(self, *_):
        self.path.append(self.layer.weight.detach().clone())

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.3)


def averaged(callback: pl.Callback, tmp_path, steps: int = 9) -> Walk:
    module = Walk()
    trainer = pl.Trainer(
        accelerator="cpu",
        max_steps=steps,
        callbacks=[callback],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    data = torch.randn(steps, 5, generator=torch.Generator().manual_seed(1))
    trainer.fit(module, DataLoader(data, batch_size=1))
    return module


@pytest.mark.parametrize("every", [None, 1, 3])
def test_formula_and_lightnings_own(every, tmp_path):
    module = averaged(averaging({"ema_decay": 0.7, "ema_every": every}), tmp_path)
    average = module.path[0].double()
    for step, weight in enumerate(module.path[1:], start=1):
        if step % (every or 1) == 0:
            average = 0.7 * average + 0.3 * weight.double()
    torch.testing.assert_close(module.layer.weight.double(), average, rtol=1e-5, atol=1e-7)
    peer = averaged(EMAWeightAveraging(decay=0.7, use_buffers=False, update_every_n_steps=every or 1), tmp_path)
    torch.testing.assert_close(module.layer.bias, peer.layer.bias, rtol=1e-5, atol=1e-7)
    assert torch.equal(module.table, torch.arange(4))
    assert not torch.allclose(module.layer.weight, module.path[-1])
