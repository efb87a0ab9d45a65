"""What of a training step is on the host: torch's meta device, whose numbers nobody can read, stands in for a GPU."""

import pytest
import torch

from musicbench.generators.batch import Batch
from musicbench.models import kernels

META = torch.device("meta")


@pytest.fixture(params=["delay", "stack_delay", "dropped levels", "magnet", "hybrid first", "hybrid second"])
def module(request, make_module, make_masked, monkeypatch):
    """A module of each family on the device, in training mode."""
    match request.param.split():
        case ["magnet"]:
            made = make_masked()
        case ["hybrid", part]:
            made = make_masked(hybrid=True, autoregressive_share=float(part == "first"))
        case ["dropped", _]:
            made = make_module(level_dropout=0.5)
        case [pattern]:
            made = make_module(pattern)
    monkeypatch.setattr(type(made), "global_step", 0)
    made.log = lambda *_, **__: None
    return made.train().to(META)


def test_a_step_reads_nothing_from_the_device(module, make_batch):
    """Forwards and backwards; a batch's numbers, from which its random choices follow, stay on the host."""
    batch = module.transfer_batch_to_device(make_batch([4, 2, 3]), META, 0)
    assert isinstance(batch, Batch)
    parts = (batch.codes_BKT, *batch.conditions.text, batch.index_B)
    assert [part.device.type for part in parts] == ["meta", "meta", "meta", "cpu"]
    with kernels.using("plain"):
        module.training_step(batch, 0).backward()
    assert all(weight.grad.device == META for weight in module.parameters() if weight.grad is not None)
    assert any(weight.grad is not None for weight in module.parameters())


def test_control_reading_is_noticed(make_module, make_batch):
    module = make_module().to(META)
    batch = make_batch([4, 2])
    with pytest.raises(RuntimeError, match="meta"):
        told = batch.conditions.each(lambda part: part.to(META))
        module.training_step(Batch(batch.codes_BKT.to(META), told, batch.index_B.to(META)), 0)
