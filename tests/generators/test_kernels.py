"""The fast kernels compute what torch's own do: losses, gradients, trainings and masked tokens of every family."""

from collections.abc import Iterator

import pytest
import torch

from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.batch import Batch
from musicbench.generators.captioned import CaptionedLM
from musicbench.generators.hybrid import HybridModel
from musicbench.generators.masked import MagnetLM
from musicbench.models import kernels, products
from musicbench.models.conditions import Conditions
from musicbench.models.masked.decode import decode_masked
from musicbench.models.masked.sampling import MaskedSampling

LEVELS, FRAMES, SIZE, TEXT_DIM = 3, 40, 50, 24
MODEL = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": TEXT_DIM, "dim": 64, "layers": 2, "heads": 4}
OPTIMISER = {"lr": 1e-2, "total_steps": 20}
CASES = ["delay", "flat", "stack_delay", "magnet", "hybrid"]


def make(case: str) -> CaptionedLM:
    torch.manual_seed(3)
    if case == "magnet":
        module: CaptionedLM = MagnetLM(model=MODEL, optimiser=OPTIMISER)
    elif case == "hybrid":
        module = HybridModel(model=MODEL, pattern={"pattern": "delay"}, frames=FRAMES, optimiser=OPTIMISER)
    else:
        module = AutoregressiveLM(model=MODEL, pattern={"pattern": case}, frames=FRAMES, optimiser=OPTIMISER)
    module.log = lambda *_, **__: None
    return module


def batch(number: int) -> Batch:
    random = torch.Generator().manual_seed(number)
    return Batch(
        torch.randint(SIZE, (4, LEVELS, FRAMES), generator=random),
        Conditions.of_text(
            torch.randn(4, 20, TEXT_DIM, generator=random), torch.arange(20) < torch.tensor([20, 3, 7, 12])[:, None]
        ),
        torch.arange(4 * number, 4 * number + 4),
    )


def ways() -> Iterator[products.Ways]:
    here = products.ways()
    yield here
    if here.setting:
        yield here._replace(setting=False)


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradients(case, monkeypatch):
    def found(kind: kernels.Kernels) -> dict[str, torch.Tensor]:
        module = make(case)
        with kernels.using(kind):
            loss = module.training_step(batch(0), 0)
            loss.backward()
        return {"loss": loss.detach(), **{name: p.grad for name, p in module.named_parameters()}}

    plain = found("plain")
    for way in ways():
        monkeypatch.setattr(products, "_ways", way)
        for name, value in found("auto").items():
            error = torch.linalg.vector_norm(value.double() - plain[name].double())
            assert error <= 1e-5 * torch.linalg.vector_norm(plain[name].double()), name


@pytest.mark.parametrize("case", CASES)
def test_the_fast_kernels_are_used(case, monkeypatch):
    """Else the other tests would compare torch with itself."""
    if not products.ways().operation:
        pytest.skip("torch's own products are the fastest here")
    seen = []
    operation = products._operation
    monkeypatch.setattr(products, "_operation", lambda *a: seen.append(a[1].shape) or operation(*a))
    module = make(case)
    module.training_step(batch(0), 0).backward()
    wanted = {(192, 64), (64, 64), (256, 64), (64, 256), (128, 64), (64, TEXT_DIM), (SIZE, 64)}
    assert wanted <= {tuple(shape) for shape in seen}


@pytest.mark.parametrize("case", ["delay", "magnet"])
def test_a_short_training_stays_close(case):
    def trained(kind: kernels.Kernels) -> list[float]:
        module, losses = make(case), []
        with kernels.using(kind):
            optimiser = module.settings.configure(module, fused=kernels.fast())["optimizer"]
            for number in range(10):
                optimiser.zero_grad()
                loss = module.training_step(batch(number), number)
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
        return losses

    plain = trained("plain")
    assert trained("auto") == pytest.approx(plain, rel=1e-3)
    assert len(set(plain)) == 10


@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
def test_masked_tokens_are_the_same(position):
    torch.manual_seed(4)
    lm = MagnetLM(model={**MODEL, "position": position}, optimiser=OPTIMISER).lm.eval()
    conditions = batch(1).conditions
    drawn = []
    for kind in ("auto", "plain"):
        with kernels.using(kind):
            drawn.append(decode_masked(lm, conditions, 50, [1, 2, 3, 4], MaskedSampling((6, 3, 3))))
    assert torch.equal(*drawn)
    assert len(drawn[0].unique()) > SIZE // 2
