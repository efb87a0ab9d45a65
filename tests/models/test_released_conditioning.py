"""The released null caption and text padding, zero vectors both, on every way through the network."""

import pytest
import torch

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive import decode as decoding
from musicbench.models.autoregressive.network import StepNetwork
from musicbench.models.autoregressive.rescore import PatternRescorer
from musicbench.models.conditioning import TextConditioner
from musicbench.models.conditions import Conditions
from musicbench.models.fast import step_rows
from musicbench.models.fast.graphed_frames import GraphedFrames
from musicbench.models.fast.graphs import GraphedSteps
from musicbench.models.fast.steps import FastSteps
from musicbench.models.hybrid import HybridSampling, decode_hybrid
from musicbench.models.masked import decode as masked_decode
from musicbench.models.masked.decode import FramesNetwork, decode_masked
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from tests.helpers.recorder import Recorder
from tests.models.masked_reference import slow

FRAMES, LEVELS, SIZE = 9, 3, 11
LENGTHS = [4, 0, 7, 1]
RELEASED = {"null_caption": "zeros", "text_padding": "zeros"}
CHOICES = [RELEASED, {"null_caption": "zeros"}, {"text_padding": "zeros"}]


def codes_of(clips: int) -> torch.Tensor:
    return torch.randint(SIZE, (clips, LEVELS, FRAMES), generator=torch.Generator().manual_seed(2))


def plan_of(pattern: str = "delay") -> plans.Plan:
    return plans.build(pattern, FRAMES, LEVELS)


def first(captions, length: int, clip: int = 0):
    """A caption cut or left padded to a length."""
    return captions.each(lambda tensor: tensor[clip : clip + 1, :length])


@pytest.mark.parametrize("choice", [{}, *CHOICES], ids=str)
def test_what_each_position_of_a_caption_holds(choice, make_captions):
    torch.manual_seed(0)
    conditioner = TextConditioner(6, 8, **choice)
    states = make_captions([4, 0, 7, 1, 5]).without(torch.tensor([False] * 4 + [True])).text
    text_BLD, seen_B11L = conditioner(states)
    null_D = torch.zeros(8) if "null_caption" in choice else conditioner.null_D
    for b, length in enumerate([4, 0, 7, 1, 0]):
        for i in range(7):
            real = i < max(length, 1)
            assert bool(seen_B11L[b, 0, 0, i]) == (real or "text_padding" in choice)
            if real:
                wanted_D = conditioner.project(states.states_BLE[b, i]) if length else null_D
                torch.testing.assert_close(text_BLD[b, i], wanted_D)
            elif "text_padding" in choice:
                assert text_BLD[b, i].abs().max() == 0
    assert ("null_D" in dict(conditioner.named_parameters())) == ("null_caption" not in choice)


def test_an_unknown_choice_is_refused():
    with pytest.raises(ValueError, match="null_caption must be zeros, or null; got 'ones'"):
        TextConditioner(6, 8, null_caption="ones")
    with pytest.raises(ValueError, match="text_padding must be zeros, or null; got 'seen'"):
        TextConditioner(6, 8, text_padding="seen")


@pytest.mark.parametrize("padding", [None, "zeros"])
def test_the_cross_attention_of_a_dropped_clip_adds_nothing(padding, make_lm, make_captions, full_logits):
    lm = make_lm(LEVELS, SIZE, null_caption="zeros", text_padding=padding)
    captions, codes_BKT = make_captions([5, 2]), codes_of(2)
    dropped = full_logits(lm, plan_of(), codes_BKT, captions, dropped=True)
    told = full_logits(lm, plan_of(), codes_BKT, captions)
    for block in lm.transformer.blocks:
        torch.nn.init.zeros_(block.cross_out.weight)
    torch.testing.assert_close(dropped, full_logits(lm, plan_of(), codes_BKT, captions), atol=1e-5, rtol=0)
    assert (told - dropped).abs().max() > 0.02


def test_seen_padding_is_as_real_tokens_whose_projection_is_zero(make_lm, make_captions, full_logits):
    usual, released = make_lm(LEVELS, SIZE), make_lm(LEVELS, SIZE, text_padding="zeros")
    for lm in (usual, released):
        torch.nn.init.zeros_(lm.conditioner.project.bias)
    conditions = make_captions(LENGTHS[::2])
    states_BLE, mask_BL = conditions.text
    everything = Conditions.of_text(states_BLE.where(mask_BL[..., None], 0.0), torch.ones_like(mask_BL))
    wanted = full_logits(usual, plan_of(), codes_of(2), everything)
    found = full_logits(released, plan_of(), codes_of(2), conditions)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("padding", [None, "zeros"])
def test_a_longer_neighbour_changes_logits_only_if_its_padding_is_seen(padding, make_lm, make_captions, full_logits):
    lm, captions = make_lm(LEVELS, SIZE, text_padding=padding), make_captions([3, 12])
    beside = full_logits(lm, plan_of(), codes_of(1), first(captions, 12))
    alone = full_logits(lm, plan_of(), codes_of(1), first(captions, 3))
    assert (beside - alone).abs().max() > 0.02 if padding else torch.allclose(beside, alone, atol=1e-5)


def guided(full_logits, lm, plan, codes_BKT, captions, cfg):
    null = full_logits(lm, plan, codes_BKT, captions, dropped=True)
    return null + cfg * (full_logits(lm, plan, codes_BKT, captions) - null)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("pattern", ["delay", "stack_delay"])
@pytest.mark.parametrize("network", [FastSteps, StepNetwork, GraphedSteps])
def test_cached_decoding_equals_the_full_forward(
    network, pattern, cfg, choice, make_lm, make_captions, decode_logits, full_logits, monkeypatch
):
    monkeypatch.setattr(GraphedSteps, "capture", staticmethod(lambda device: Recorder()))
    monkeypatch.setattr(step_rows, "OFTEN", 2)
    monkeypatch.setattr(decoding, "_network", lambda model, device: network)
    lm, plan, codes_BKT, captions = (
        make_lm(LEVELS, SIZE, **choice),
        plan_of(pattern),
        codes_of(4),
        make_captions(LENGTHS),
    )
    captions.text.mask_BL[2, [1, 3]] = False  # a caption with holes
    wanted = full_logits(lm, plan, codes_BKT, captions)
    if cfg != 1:
        wanted = guided(full_logits, lm, plan, codes_BKT, captions, cfg)
    with kernels.using("auto" if network is FastSteps else "plain"):
        found = decode_logits(lm, plan, codes_BKT, captions, cfg=cfg)
    torch.testing.assert_close(found, wanted, atol=5e-5, rtol=0)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("network", [FramesNetwork, GraphedFrames])
def test_masked_decoding_equals_the_slow_loop(network, choice, make_hybrid, make_captions, monkeypatch):
    monkeypatch.setattr(GraphedFrames, "capture", staticmethod(lambda device: Recorder()))
    monkeypatch.setattr(masked_decode, "_network", lambda device: network)
    lm, captions = make_hybrid(LEVELS, SIZE, **choice), make_captions(LENGTHS)
    sampling = MaskedSampling(iterations=(5, 1, 3))
    with kernels.using("plain"), torch.inference_mode():
        drawn = decode_masked(lm, captions, FRAMES, [1, 2, 3, 4], sampling)
        for clip in range(len(LENGTHS)):
            own = first(captions, 7, clip)
            assert torch.equal(drawn[clip], slow(lm, *own, FRAMES, clip + 1, sampling))


def test_the_hybrid_draws_the_same_codes_by_both_kinds_of_kernels(make_hybrid, make_captions):
    lm, captions = make_hybrid(LEVELS, SIZE, **RELEASED), make_captions(LENGTHS)
    sampling = HybridSampling(0.5, Sampling(cfg=3.0), MaskedSampling(iterations=(3, 2, 2)))
    plan, drawn = plans.build("delay", sampling.frames(FRAMES), LEVELS), []
    for name in ("auto", "plain"):
        with kernels.using(name):
            drawn.append(decode_hybrid(lm, plan, captions, FRAMES, [1, 2, 3, 4], sampling))
    assert torch.equal(*drawn)


def test_the_rescorer_sees_its_own_padding(make_lm, make_captions, full_logits):
    lm, captions, codes_BKT = make_lm(LEVELS, SIZE, text_padding="zeros"), make_captions([3, 12]), codes_of(2)
    logits_BKTV = full_logits(lm, plan_of(), codes_BKT, captions)
    wanted = torch.softmax(logits_BKTV[:, -1], -1).gather(-1, codes_BKT[:, -1, :, None]).squeeze(-1)
    found = PatternRescorer(lm, lm.tensors(plan_of()), captions)(codes_BKT, LEVELS - 1)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)


@pytest.mark.parametrize("dropped", [[False, False], [True, True], [True, False]])
def test_every_parameter_gets_a_gradient_at_every_step(dropped, make_lm, make_captions):
    """Else distributed training would wait for a gradient that never comes."""
    lm = make_lm(LEVELS, SIZE, **RELEASED).train()
    lm(codes_of(2), lm.tensors(plan_of()), make_captions([3, 2]).without(torch.tensor(dropped))).logsumexp(
        -1
    ).sum().backward()
    assert [name for name, p in lm.named_parameters() if p.grad is None] == []
    assert all(torch.isfinite(p.grad).all() for p in lm.parameters())
