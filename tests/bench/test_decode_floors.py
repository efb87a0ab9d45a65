"""Floors of real modules: which products are counted, for how many rows, by the plan and the sampling."""

import pytest
import torch

from musicbench.bench.decode_floors import DecodeFloors
from musicbench.bench.work import masked_passes, steps
from musicbench.models.cost import caption_flops, pass_flops
from musicbench.models.hybrid import HybridSampling
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from musicbench.plans import build

FRAMES, BATCH, TOKENS, SPEED = 30, 3, 5, 1e9
MASKED = MaskedSampling(iterations=(3, 2))
PLAIN = MaskedSampling(iterations=(3, 2), cfg=1.0)


class Scripted(DecodeFloors):
    """Floors whose large products all have one speed, and whose plans take a second for each call and row."""

    def __init__(self, shape, device="cpu"):
        super().__init__(shape, torch.float32, torch.device(device))
        self.asked = []

    @property
    def products(self):
        return self

    def seconds(self, calls, rows):
        self.asked.append((calls, rows))
        return float(calls.total() * rows)

    def _rate(self, rows):
        return SPEED


def captions(shape):
    """Seconds of the products that make keys and values of the captions."""
    return BATCH * sum(caption_flops(shape, TOKENS)) / SPEED


@pytest.mark.parametrize(("cfg", "rows"), [(3.0, 2 * BATCH), (1.0, BATCH)])
def test_a_pattern_has_the_calls_of_its_plan_and_guidance_doubles_the_rows(make_run, cfg, rows):
    module = make_run("pattern=delay").model()
    floors = Scripted(module.lm.shape)
    found = floors.of_module(module, Sampling(cfg=cfg), FRAMES, BATCH, TOKENS)
    assert floors.asked == [(steps(build("delay", FRAMES, 2)), rows)]
    assert found == pytest.approx((FRAMES + 1) * rows + captions(module.lm.shape))


@pytest.mark.parametrize(("sampling", "rows", "seen"), [(MASKED, 2 * BATCH, 3.0), (PLAIN, BATCH, 5.0)])
def test_masked_decoding_has_the_operations_of_its_iterations(make_run, sampling, rows, seen):
    module = make_run("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]").model()
    floors = Scripted(module.lm.shape)
    # With guidance half of the rows see five tokens of a caption and half see one: three on average.
    flops = sum(pass_flops(module.lm.shape, one, seen) for one in masked_passes(module.lm, FRAMES, sampling))
    found = floors.of_module(module, sampling, FRAMES, BATCH, TOKENS)
    assert found == pytest.approx(rows * flops / SPEED + captions(module.lm.shape)) and not floors.asked


@pytest.mark.parametrize("handover", [0.0, 0.5, 1.0])
def test_a_hybrid_has_both_parts(make_run, handover):
    lines = ("family=hybrid", "decode=hybrid_10s", "pattern=flat", "decode.masked.iterations=[3,2]")
    module = make_run(*lines).model()
    floors = Scripted(module.lm.shape)
    own = round(handover * FRAMES)
    expected = 0.0
    if own:
        expected += 2 * BATCH * 2 * own + captions(module.lm.shape)
    if own < FRAMES:
        passes = masked_passes(module.lm, FRAMES, MASKED, own)
        expected += 2 * BATCH * sum(pass_flops(module.lm.shape, one, 3.0) for one in passes) / SPEED
        expected += captions(module.lm.shape)
    sampling = HybridSampling(handover=handover, masked=MASKED)
    assert floors.of_module(module, sampling, FRAMES, BATCH, TOKENS) == pytest.approx(expected)


def test_a_plan_has_no_floor_on_a_gpu_and_other_families_have_none(make_run):
    module = make_run("pattern=delay").model()
    on_gpu = Scripted(module.lm.shape, "cuda")
    assert on_gpu.of_module(module, Sampling(), FRAMES, BATCH, TOKENS) is None and not on_gpu.asked
    assert Scripted(module.lm.shape).of_module(module, object(), FRAMES, BATCH, TOKENS) is None
