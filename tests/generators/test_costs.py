"""Operations and memory that follow from sizes, against torch's own counts of real passes."""

from contextlib import nullcontext

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.generators.batch import Batch
from musicbench.generators.hybrid import HybridModel
from musicbench.generators.masked import MagnetLM
from musicbench.generators.objectives import masked_nats, pattern_nats
from musicbench.models import kernels
from musicbench.models.conditions import Conditions
from musicbench.models.cost import Pass, training_flops
from musicbench.models.footprint import FULL, activation_bytes

LEVELS, SIZE, TEXT_DIM, CLIPS, TOKENS = 4, 256, 48, 2, 7
SIZES = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": TEXT_DIM, "dim": 64, "layers": 3, "heads": 4}
PREPENDS = {"text_fusion": "prepend", "text_padding": "zeros"}
OPTIMISER = {"lr": 1e-3, "total_steps": 10}
CASES = ["parallel", "delay", "flat", "coarse_first", "stack", "stack_delay", "level 0", "level 1"]


def make(case: str, frames: int) -> AutoregressiveLM | MagnetLM:
    torch.manual_seed(0)
    if case.startswith("level"):
        return MagnetLM(model=SIZES, optimiser=OPTIMISER)
    pattern, sizes = case.removesuffix(" behind text"), SIZES | (PREPENDS if case.endswith(" behind text") else {})
    return AutoregressiveLM(model=sizes, pattern={"pattern": pattern}, frames=frames, optimiser=OPTIMISER)


def nats(module: AutoregressiveLM | MagnetLM, case: str, frames: int) -> torch.Tensor:
    """Loss of a training pass over random clips."""
    random = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.randint(SIZE, (CLIPS, LEVELS, frames), generator=random),
        Conditions.of_text(
            torch.randn(CLIPS, TOKENS, TEXT_DIM, generator=random), torch.ones(CLIPS, TOKENS, dtype=torch.bool)
        ),
        torch.arange(CLIPS),
    )
    if isinstance(module, AutoregressiveLM):
        return pattern_nats(module.lm, module.tables, batch).mean()
    masked_BT = torch.ones(CLIPS, frames, dtype=torch.bool)
    return masked_nats(module.lm, batch, int(case.split()[1]), masked_BT).mean()


def computed_pairs(module: AutoregressiveLM | MagnetLM, case: str, frames: int) -> int:
    """Pairs whose scores come from a matrix product, seen or not: more than the mask lets through."""
    if case == "level 0":
        return frames**2
    if case == "level 1":  # blocks of 32 queries and the keys within 5 frames of them
        return -(-frames // 32) * 32 * (32 + 2 * 5)
    plan = module.tables.plan(frames)
    if plan.causal:
        return plan.positions**2
    kept = int((plan.expires > plan.step).sum())  # neighbours within a step are met without a matrix product
    return plan.positions * kept


def counted(module: AutoregressiveLM | MagnetLM, case: str, frames: int) -> tuple[int, Pass, Pass]:
    """Operations of a training pass by torch's count, the pass, and the pass with the pairs that are computed."""
    # The counter knows torch's own operations only.
    with kernels.using("plain"), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        nats(module, case, frames).backward()
    (work,) = module.passes(frames)
    return counter.get_total_flops(), work, work._replace(pairs=computed_pairs(module, case, frames))


@pytest.mark.parametrize("case", CASES)
def test_operations(case):
    """Exactly those of the matrix products, forward and backward, once attention is counted as it is computed."""
    frames = 20
    module = make(case, frames)
    flops, work, computed = counted(module, case, frames)
    assert flops == CLIPS * training_flops(module.lm.shape, [computed], TOKENS)
    if not case.startswith("level"):
        assert work.pairs == module.tables.plan(frames).mask().sum() <= computed.pairs


@pytest.mark.parametrize("case", ["delay behind text", "stack_delay behind text"])
def test_operations_behind_a_text(case):
    module = make(case, frames=20)
    flops, _, computed = counted(module, case, 20)
    wanted, dim, layers = training_flops(module.lm.shape, [computed], TOKENS), SIZES["dim"], SIZES["layers"]
    hidden_pairs = 4 * dim * (TOKENS**2 - TOKENS * (TOKENS + 1) // 2)  # of the text; computed, although not seen
    wanted += 3 * layers * hidden_pairs
    # Nobody reads the text's rows behind the last layer's keys and values, so the rest of it has no backward pass.
    wanted -= 2 * (2 * dim**2 * (1 + 4 + 4) * TOKENS + 4 * dim * TOKENS**2)
    assert flops == CLIPS * wanted


@pytest.mark.parametrize("context", [None, 0, 1, 5, 100])
@pytest.mark.parametrize("frames", [1, 4, 40])
def test_pairs_of_the_masked_model(context, frames):
    module = MagnetLM(model=SIZES, optimiser=OPTIMISER, context=context)
    distance = (torch.arange(frames)[:, None] - torch.arange(frames)).abs()
    near = int((distance <= (frames if context is None else context)).sum())
    (work,) = module.passes(frames)
    assert work.pairs == pytest.approx((frames**2 + (LEVELS - 1) * near) / LEVELS)


def test_the_hybrid_is_the_mean_of_its_steps():
    pattern = {"pattern": "flat"}
    module = HybridModel(SIZES, pattern, 20, OPTIMISER, autoregressive_share=0.25)
    shape, passes = module.lm.shape, module.passes(20)
    assert sum(work.share for work in passes) == 1
    parts = [training_flops(shape, make(case, 20).passes(20), TOKENS) for case in ("flat", "level 0")]
    assert training_flops(shape, passes, TOKENS) == pytest.approx(0.25 * parts[0] + 0.75 * parts[1])
    assert module.positions(20) == round(0.25 * 80 + 0.75 * 20)


@pytest.mark.parametrize("mixed", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("case", ["delay", "flat", "stack", "stack_delay", "level 1", "delay behind text"])
def test_what_passes_keep_for_the_backward(case, mixed):
    """Bytes of all tensors that autograd holds, each storage once, but for the weights and their copies."""
    frames = 96
    module = make(case, frames)
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    held: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage().data_ptr()
        if place not in weights:
            held[place] = tensor  # alive, so that no other storage gets its place
        return tensor

    with torch.autocast("cpu", torch.bfloat16) if mixed else nullcontext(), saved_tensors_hooks(keep, lambda t: t):
        nats(module, case, frames)
    measured = sum(tensor.untyped_storage().nbytes() for tensor in held.values())
    working = 2 if mixed else FULL
    copied = sum(p.numel() for name, p in module.named_parameters() if "heads_KVD" not in name)
    copies = working * copied if mixed else 0
    (work,), (saved,) = module.passes(frames), module.saved(frames)
    formula = activation_bytes(module.lm.shape, work, saved, TOKENS, working)
    # Under bf16 torch's band attention keeps its weights, as its fused kernels do not.
    near = 0.25 if mixed and case.startswith("level") else 0.1
    assert CLIPS * formula == pytest.approx(measured - copies, rel=near)
