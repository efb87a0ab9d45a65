"""Compiled decoding steps against torch's own operations: logits, tokens, bits in any company, and when they serve."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive.decode import Decoding, sample
from musicbench.models.autoregressive.network import StepNetwork
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.conditions import Conditions
from musicbench.models.fast.steps import FastSteps
from musicbench.models.guidance import Scales
from musicbench.models.sampling import Sampling, invert

FRAMES, LEVELS, TEXT_DIM = 10, 4, 24


def wide_lm(position: str = "sinusoidal", size: int = 130, **options: int) -> PatternLM:
    torch.manual_seed(0)
    shape = {"dim": 72, "layers": 3, "heads": 3, **options}
    return PatternLM(LEVELS, size, TEXT_DIM, position=position, **shape).eval()


def captions(lengths: list[int]) -> Conditions:
    states_BLE = torch.randn(len(lengths), max(lengths), TEXT_DIM, generator=torch.Generator().manual_seed(1))
    return Conditions.of_text(states_BLE, torch.arange(max(lengths)) < torch.tensor(lengths)[:, None])


def all_logits(lm, plan, conditions, cfg, codes_BKT) -> torch.Tensor:
    """Logits [B, K, T, V] while given codes are drawn."""
    found = torch.full((*codes_BKT.shape, lm.codebook_size), torch.nan, dtype=lm.heads_KVD.dtype)
    decoding = Decoding(lm, plan, conditions, Scales(cfg))

    def choose(logits_BnV, step):
        found[:, step.level_n, step.frame_n] = logits_BnV.to(found.dtype)
        return codes_BKT[:, step.level_n, step.frame_n]

    for _ in decoding.run(choose):
        pass
    return found


def codes_of(clips: int, size: int = 130) -> torch.Tensor:
    return torch.randint(size, (clips, LEVELS, FRAMES), generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("pattern", ["delay", "flat", "stack_delay", "parallel"])
def test_logits_are_those_of_torch(pattern, cfg, position):
    lm, plan = wide_lm(position), plans.build(pattern, FRAMES, LEVELS, "block_2")
    shown = captions([3, 7, 0]), cfg, codes_of(3)
    precise = Conditions.of_text(shown[0].text.states_BLE.double(), shown[0].text.mask_BL)
    with torch.inference_mode():
        assert isinstance(Decoding(lm, plan, shown[0], Scales(cfg)).network, FastSteps)
        fast = all_logits(lm, plan, *shown)
        with kernels.using("plain"):
            slow = all_logits(lm, plan, *shown)
            exact = all_logits(lm.double(), plan, precise, *shown[1:])
    assert slow.std() > 0.1
    torch.testing.assert_close(fast, slow, atol=1e-5 * float(slow.abs().max()), rtol=0)
    ours, torchs = ((found - exact).abs().max() for found in (fast, slow))
    assert ours < 4 * torchs, "no less exact than torch's fp32"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("pattern", ["delay", "flat"])
def test_seeded_draws_are_the_same_tokens(pattern, seed):
    lm, plan, seeds = wide_lm(), plans.build(pattern, FRAMES, LEVELS), [seed, seed + 10]
    found = sample(lm, plan, captions([3, 5]), seeds, Sampling(top_k=50))
    with kernels.using("plain"):
        assert torch.equal(found, sample(lm, plan, captions([3, 5]), seeds, Sampling(top_k=50)))


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("pattern", ["delay", "stack_delay"])
def test_a_clips_logits_are_the_same_bits_in_any_batch_with_any_number_of_threads(pattern, cfg):
    lm, plan = wide_lm(), plans.build(pattern, FRAMES, LEVELS)
    lengths, codes_BKT, threads = [3, 7, 1, 7, 2], codes_of(5), torch.get_num_threads()
    conditions = captions(lengths)
    with torch.inference_mode():
        together = all_logits(lm, plan, conditions, cfg, codes_BKT)
        try:
            torch.set_num_threads(1)
            for b, length in enumerate(lengths):
                own = conditions.each(lambda tensor, b=b, length=length: tensor[b : b + 1, :length])
                alone = all_logits(lm, plan, own, cfg, codes_BKT[b : b + 1])
                assert torch.equal(alone[0], together[b])
        finally:
            torch.set_num_threads(threads)


def test_caption_states_may_have_holes():
    lm, plan = wide_lm(), plans.build("delay", FRAMES, LEVELS)
    conditions = captions([6, 6])
    states_BLE, mask_BL = conditions.text
    mask_BL[0, [0, 2]] = False
    poisoned = Conditions.of_text(states_BLE.where(mask_BL[..., None], 1e6), mask_BL)
    with torch.inference_mode():
        fast = all_logits(lm, plan, poisoned, 3.0, codes_of(2))
        with kernels.using("plain"):
            slow = all_logits(lm, plan, conditions, 3.0, codes_of(2))
    torch.testing.assert_close(fast, slow, atol=1e-4, rtol=0)


def test_changed_weights_count_at_once():
    """Nothing of the weights is kept from one decoding to the next."""
    lm, plan = wide_lm(), plans.build("delay", FRAMES, LEVELS)
    with torch.inference_mode():
        before = all_logits(lm, plan, captions([3]), 1.0, codes_of(1))
        for weight in lm.parameters():
            weight.data.mul_(1.1)
        after = all_logits(lm, plan, captions([3]), 1.0, codes_of(1))
        with kernels.using("plain"):
            slow = all_logits(lm, plan, captions([3]), 1.0, codes_of(1))
    assert (before - after).abs().max() > 0.1
    torch.testing.assert_close(after, slow, atol=1e-4, rtol=0)


def test_reading_an_undrawn_token_is_an_error():
    decoding = Decoding(wide_lm(), plans.build("delay", FRAMES, LEVELS), captions([3]))
    with torch.inference_mode(), pytest.raises(IndexError, match="not drawn yet"):
        for _ in decoding.run(lambda logits_BnV, step: torch.full(logits_BnV.shape[:2], -(2**40))):
            pass


def test_other_models_run_on_torch():
    plan, shown = plans.build("delay", FRAMES, LEVELS), captions([3])
    precise = Conditions.of_text(shown.text.states_BLE.double(), shown.text.mask_BL)
    assert isinstance(Decoding(wide_lm(), plan, shown).network, FastSteps)
    narrow = Decoding(wide_lm(dim=60, heads=10), plan, shown).network
    double = Decoding(wide_lm().double(), plan, precise).network
    with torch.autocast("cpu", torch.bfloat16):
        mixed = Decoding(wide_lm(), plan, shown).network
    with kernels.using("plain"):
        asked = Decoding(wide_lm(), plan, shown).network
    assert [type(network) for network in (narrow, double, mixed, asked)] == [StepNetwork] * 4
    with pytest.raises(ValueError, match="auto, plain"), kernels.using("fastest"):  # type: ignore[arg-type]
        pass


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.sampled_from([4, 7, 130, 2048]),
    top_k=st.sampled_from([0, 1, 3, 250]),
    top_p=st.sampled_from([0.05, 0.5, 0.9, 1.0]),
    coarse=st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_draws_are_those_of_torch(seed, size, top_k, top_p, coarse):
    """Also where many codes are equally likely."""
    random = np.random.default_rng(seed)
    logits_BnV = torch.from_numpy(random.normal(size=(2, 3, size)).astype(np.float32) * 3)
    if coarse and top_p == 1:  # Else equally likely codes may be kept or not, as rounding has it.
        logits_BnV = logits_BnV.round()
    uniform_Bn = torch.from_numpy(random.random((2, 3), dtype=np.float32))
    found = invert(logits_BnV, uniform_Bn, top_k, top_p)
    with kernels.using("plain"):
        assert torch.equal(found, invert(logits_BnV, uniform_Bn, top_k, top_p))


def test_torch_keeps_its_number_of_threads():
    """In a process of its own, because numba starts its threads once."""
    code = (
        "import torch\n"
        "from musicbench.models.sampling import Sampling, draw\n"
        "torch.set_num_threads(1)\n"
        "draw(torch.zeros(1, 1, 8), torch.zeros(1, 1), Sampling())\n"
        "print(torch.get_num_threads())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr
