"""Kernels that only a GPU has, against torch's plain operations on it; skipped without one."""

from contextlib import contextmanager

import pytest
import torch
from torch.nn import functional as F

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive import flex
from musicbench.models.autoregressive.choose import by_seeds
from musicbench.models.autoregressive.decode import Decoding, decode, sample
from musicbench.models.autoregressive.flex import FlexPlanAttention
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.conditions import Conditions
from musicbench.models.fast import lending
from musicbench.models.guidance import Scales
from musicbench.models.masked import decode as masked
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU, SAMPLING = torch.device("cuda"), Sampling(cfg=3.0, top_k=7)
NAMES = ["delay", "flat", "stack", "stack_delay"]
SIZES = {"levels": 4, "codebook_size": 50, "text_dim": 6, "dim": 64, "layers": 3, "heads": 4}
TOLERANCE = {torch.float32: 2e-3, torch.float16: 3e-2, torch.bfloat16: 2e-1}


@pytest.fixture
def lm():
    torch.manual_seed(0)
    return PatternLM(**SIZES).eval().to(GPU)


def captions(dtype=torch.float32, lengths=(5, 3), seed=0):
    random = torch.Generator().manual_seed(seed)
    states_BLE = torch.randn(len(lengths), max(lengths), 6, generator=random)
    mask_BL = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return Conditions.of_text(states_BLE.to(GPU, dtype), mask_BL.to(GPU))


@contextmanager
def no_waiting():
    """Whatever makes the host wait for the device is an error."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_logits_of_graphs_are_those_of_plain_steps(lm, name, same_step, dtype):
    """Over more than one length of the cache, and twice: the second batch only replays."""
    lm, plan = lm.to(dtype), plans.build(name, 150, 4, same_step=same_step)
    codes_BKT = torch.randint(0, 50, (2, 4, 150), device=GPU)

    def logits() -> torch.Tensor:
        found = torch.full((*codes_BKT.shape, 50), torch.nan, device=GPU)

        def choose(logits_BnV, step):
            found[:, step.level_n, step.frame_n] = logits_BnV.float()
            return codes_BKT[:, step.level_n, step.frame_n]

        decode(lm, plan, captions(dtype), choose, Scales(3.0))
        return found

    with kernels.using("plain"):
        wanted = logits()
    with kernels.using("auto"):
        first, second = logits(), logits()
    assert all(space.recordings.repeat for space in lending._idle[lm].values())
    for found in (first, second):
        torch.testing.assert_close(found, wanted, atol=TOLERANCE[dtype], rtol=TOLERANCE[dtype])


@pytest.mark.parametrize("name", NAMES)
def test_codes_of_graphs_are_those_of_plain_steps(lm, name):
    """But for tokens whose random number lies within rounding of a neighbour's, after which a clip goes its own way."""
    plan, lm = plans.build(name, 60, 4), lm.double()
    found = []
    for choice in ("plain", "auto", "auto"):
        with kernels.using(choice):
            found.append(sample(lm, plan, captions(torch.float64), [1, 2], SAMPLING))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@pytest.mark.parametrize("choice", ["plain", "auto"])
@pytest.mark.parametrize("name", NAMES)
def test_the_host_waits_for_no_step(lm, name, choice):
    plan = plans.build(name, 60, 4)
    choose = by_seeds([0, 1], plan, SAMPLING, GPU)
    with kernels.using(choice):
        decode(lm, plan, captions(), choose, SAMPLING.scales)  # tables are made, and graphs
        running = Decoding(lm, plan, captions(), SAMPLING.scales)
        with torch.inference_mode(), no_waiting():
            assert len(list(running.run(choose))) > 50


def test_the_host_waits_for_no_iteration_of_masked_decoding(monkeypatch):
    torch.manual_seed(0)
    lm = MaskedLM(**SIZES).eval().to(GPU)
    draw = masked._draw_level

    def watched(*arguments):
        with no_waiting():
            draw(*arguments)

    arguments = lm, captions(), 40, [0, 1], MaskedSampling(iterations=(4, 3, 3, 3))
    masked.decode_masked(*arguments)
    monkeypatch.setattr(masked, "_draw_level", watched)
    masked.decode_masked(*arguments)


@pytest.mark.parametrize("width", [8, 16, 24, 64])
@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("name", ["stack", "stack_delay"])
def test_flex_attention_and_its_gradients_are_those_of_the_dense_mask(name, same_step, width):
    assert flex.runs_on(GPU), "Triton needs a C compiler and Python's headers"
    plan = plans.build(name, 150, 4, same_step=same_step)
    random = torch.Generator().manual_seed(0)
    wanted = [torch.randn(2, 3, plan.positions, width, generator=random).to(GPU).requires_grad_() for _ in range(3)]
    parts = [part.detach().clone().requires_grad_() for part in wanted]
    output = FlexPlanAttention(plan, GPU)(0, *parts)
    dense = F.scaled_dot_product_attention(*wanted, attn_mask=torch.from_numpy(plan.mask()).to(GPU))
    weight = torch.randn(output.shape, generator=random).to(GPU)
    (output * weight).sum().backward()
    (dense * weight).sum().backward()
    torch.testing.assert_close(output, dense, atol=5e-3, rtol=0)
    for one, other in zip(parts, wanted, strict=True):
        torch.testing.assert_close(one.grad, other.grad, atol=2e-2, rtol=0)
