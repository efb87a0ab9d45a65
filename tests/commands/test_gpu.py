"""What only a GPU can show; skipped without one."""

from collections.abc import Iterator

import pytest
import torch

from musicbench.assessment.adapters import sampling
from musicbench.runs.folder import LAST
from musicbench.runs.weights import load_trained
from tests.helpers.fitting import fit

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

FAMILIES = {
    "autoregressive": ["pattern=stack_delay"],
    "magnet": ["family=magnet", "decode=magnet_10s", "decode.iterations=[4,4]"],
    "hybrid": ["family=hybrid", "decode=hybrid_10s", "decode.masked.iterations=[4,4]"],
}
GREEDY = {
    "autoregressive": ["decode.temperature=0"],
    "magnet": ["decode.temperature=0"],
    "hybrid": ["decode.autoregressive.temperature=0", "decode.masked.temperature=0"],
}


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The process group and the launcher's variables are gone after the test."""
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    yield
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


@pytest.mark.parametrize("family", FAMILIES)
def test_fp16_ddp_with_one_process(make_run, tmp_path, alone, family):
    """NCCL, autocast, loss scaling, clipping and the average of weights in one training that learns."""
    settings = ["trainer=ddp", "trainer.accelerator=gpu", "trainer.devices=1", "trainer.precision=16-mixed"]
    fit(make_run(*FAMILIES[family], *settings, "training.steps=30", "training.validate_every=30"), tmp_path / "run")
    state = torch.load(tmp_path / "run" / LAST, map_location="cpu", weights_only=True)
    assert state["global_step"] == 30
    assert state["lr_schedulers"][0]["last_epoch"] == 30
    (optimiser,) = state["optimizer_states"]
    (updates,) = {int(moments["step"]) for moments in optimiser["state"].values()}
    assert 15 <= updates <= 30
    assert state["MixedPrecision"]["scale"] == pytest.approx(65536 / 2 ** (30 - updates))
    for key in ("state_dict", "current_model_state"):
        assert all(value.isfinite().all() for value in state[key].values())


def test_fp16_is_near_fp32(make_run, tmp_path):
    """A few steps without dropout, at a small learning rate: the losses on validation agree."""
    settings = ["trainer.accelerator=gpu", "model.dropout=0", "optimiser.lr=0.001"]
    bits = []
    for precision in ("32-true", "16-mixed", "bf16-mixed"):
        fit(make_run(*settings, f"trainer.precision={precision}"), tmp_path / precision)
        callbacks = torch.load(tmp_path / precision / LAST, map_location="cpu", weights_only=True)["callbacks"]
        (best,) = [state for name, state in callbacks.items() if name.startswith("BestCheckpoint")]
        bits.append(float(best["best_model_score"]))
    assert bits[1] == pytest.approx(bits[0], rel=0.02)
    assert bits[2] == pytest.approx(bits[0], rel=0.02)


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_codes_are_those_of_the_cpu(make_run, tmp_path, family):
    """But for near ties, after which a clip goes its own way: so the first frames, and most codes."""
    run = make_run(*FAMILIES[family], *GREEDY[family], "training.steps=40", "training.validate_every=40")
    fit(run, tmp_path / "run")
    module = load_trained(run, tmp_path / "run").eval()
    captions = [clip.captions[0] for clip in run.parts.store.clips]
    conditions = run.parts.known(captions)
    found = []
    for device in ("cpu", "cuda"):
        module.to(device)
        told = conditions.each(lambda part, device=device: part.to(device))
        codes_BKT = module.generate(told, 20, [0] * len(captions), sampling(run))
        found.append(codes_BKT.cpu())
    assert (found[0] == found[1]).float().mean() > 0.9
    if family == "autoregressive":
        assert torch.equal(found[0][:, :, 0], found[1][:, :, 0])
