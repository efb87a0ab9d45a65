"""A condition as a prefix of the sequence, in all ways of decoding, against one pass over prefix and music together."""

import numpy as np
import pytest
import torch
from torch import Tensor

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive.decode import Decoding, sample
from musicbench.models.autoregressive.rescore import PatternRescorer
from musicbench.models.conditions import Conditions, States
from musicbench.models.cost import Pass, behind_prefix
from musicbench.models.fast.graphed_frames import GraphedFrames
from musicbench.models.guidance import Scales
from musicbench.models.hybrid import HybridSampling, decode_hybrid
from musicbench.models.masked import decode as masked_decode
from musicbench.models.masked.decode import FramesNetwork, decode_masked
from musicbench.models.masked.lm import MASKED_MODE
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.positions import rotated
from musicbench.models.sampling import Sampling
from musicbench.models.transformer import MaskedAttention
from tests.helpers.decoding_ways import decoding_by, guided
from tests.helpers.recorder import Recorder
from tests.models.masked_reference import slow

FRAMES, LEVELS, SIZE, WIDTH, PER_FRAME = 13, 3, 11, 4, 0.3
ROWS = 4  # of 13 frames
PREFIX = {"prefixes": {"melody": {"width": WIDTH, "per_frame": PER_FRAME}}}


def melody(lengths: list[int], seed: int = 0) -> States:
    """Random states; the padding holds rubbish."""
    states_BLE = torch.randn(len(lengths), max(lengths), WIDTH, generator=torch.Generator().manual_seed(seed))
    mask_BL = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    return States(states_BLE.masked_fill(~mask_BL[..., None], 50.0), mask_BL)


@pytest.fixture
def told(make_captions):
    """``told()`` -> three clips with captions and melodies of unequal length; the third has none."""

    def make(text_seed: int = 0, melody_seed: int = 0) -> Conditions:
        captions = make_captions([5, 1, 3], seed=text_seed)
        return Conditions({**captions.named, "melody": melody([ROWS, 2, 0], melody_seed)})

    return make


@pytest.fixture
def codes_BKT() -> Tensor:
    return torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(1))


def joint(lm, x_BPD, tables, mask_PP, rows_BMD, frame_of_row, text, causal_prefix) -> Tensor:
    """The transformer over prefix and positions side by side, from the definition: output of the positions."""
    code_PD, turn_P2F = tables
    if code_PD is not None:
        rows_BMD = rows_BMD + code_PD[frame_of_row]
    both = torch.cat([rows_BMD, x_BPD], 1)
    rows, positions = rows_BMD.shape[1], x_BPD.shape[1]
    mask = torch.zeros(rows + positions, rows + positions, dtype=torch.bool)
    mask[:rows, :rows] = torch.ones(rows, rows).tril().bool() if causal_prefix else True
    mask[rows:, :rows], mask[rows:, rows:] = True, mask_PP
    attend = MaskedAttention(mask)
    if turn_P2F is not None:
        attend = rotated(attend, torch.cat([turn_P2F[frame_of_row], turn_P2F]))
    return lm.transformer(both, attend, text)[:, rows:]


def rows_of(lm, conditions) -> Tensor:
    """Projected states, and the null vector where there are none."""
    part, (states_BLE, mask_BL) = lm.conditioner.prefixes["melody"], conditions.named["melody"]
    rows_BMD = part.null_D.repeat(len(conditions), ROWS, 1)
    for b in range(len(conditions)):
        for i in range(int(mask_BL[b].sum())):
            rows_BMD[b, i] = part.project(states_BLE[b, i])
    return rows_BMD


@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
@pytest.mark.parametrize("schedule", ["sequential", "block_2"])
@pytest.mark.parametrize("pattern", ["delay", "flat", "stack", "stack_delay", "coarse_first"])
def test_the_plain_forward_is_one_pass_over_prefix_and_positions(
    pattern, schedule, position, make_lm, told, codes_BKT, full_logits
):
    lm, plan, conditions = make_lm(LEVELS, SIZE, position=position, **PREFIX), None, told()
    plan = plans.build(pattern, FRAMES, LEVELS, schedule)
    found = full_logits(lm, plan, codes_BKT, conditions)
    tables = lm.tensors(plan)
    padded = torch.cat([codes_BKT, torch.full((3, LEVELS, 1), SIZE)], 2)
    ids_BPK = torch.stack([padded[:, k, tables.reads_PK[:, k]] for k in range(LEVELS)], -1)
    beside = [int(plan.source[0, min(round(i / PER_FRAME), FRAMES - 1)]) for i in range(ROWS)]
    with torch.inference_mode():
        text = lm.plan_context(conditions, plan, tables.positions)
        x_BPD, mask_PP = lm.embed(ids_BPK, tables.code_PD), torch.from_numpy(plan.mask())
        hidden = joint(lm, x_BPD, tables.positions, mask_PP, rows_of(lm, conditions), beside, text, True)
        wanted = torch.stack([hidden[:, tables.source_KT[k]] @ lm.heads_KVD[k].T for k in range(LEVELS)], 1)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("scales", [Scales(), Scales(3.0), Scales(3.0, 2.0)], ids=["plain", "simple", "nested"])
@pytest.mark.parametrize("way", ["torch", "compiled", "recorded"])
@pytest.mark.parametrize(
    ("pattern", "schedule", "position"),
    [("delay", "sequential", "rotary"), ("stack_delay", "block_4", "both"), ("flat", "stride_3", "sinusoidal")],
)
def test_cached_decoding_equals_the_full_forward(
    pattern, schedule, position, way, scales, make_lm, told, codes_BKT, decode_logits, full_logits, monkeypatch
):
    lm, conditions = make_lm(LEVELS, SIZE, position=position, **PREFIX), told()
    plan = plans.build(pattern, FRAMES, LEVELS, schedule)
    wanted = guided(lambda given: full_logits(lm, plan, codes_BKT, given), conditions, scales)
    with decoding_by(way, monkeypatch):
        found = decode_logits(lm, plan, codes_BKT, conditions, scales.cfg, scales.inner)
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("way", ["auto", "plain"])
def test_captions_and_melodies_both_change_the_logits(way, make_lm, told, codes_BKT, decode_logits):
    lm, plan = make_lm(LEVELS, SIZE, **PREFIX), plans.build("stack_delay", FRAMES, LEVELS)
    with kernels.using(way):
        usual, text, tune = (
            decode_logits(lm, plan, codes_BKT, conditions, 3.0) for conditions in (told(), told(1), told(0, 1))
        )
    assert (text - usual).abs().amax((1, 2, 3)).min() > 0.02
    moved_B = (tune - usual).abs().amax((1, 2, 3))
    assert moved_B[:2].min() > 0.02 and moved_B[2] == 0, "the third clip has no melody"


@pytest.mark.parametrize("way", ["auto", "plain"])
def test_a_clip_depends_on_no_melody_beside_it(way, make_lm, told, codes_BKT, decode_logits):
    lm, plan, conditions = make_lm(LEVELS, SIZE, **PREFIX), plans.build("delay", FRAMES, LEVELS), told()
    with kernels.using(way):
        together = decode_logits(lm, plan, codes_BKT, conditions, 3.0)
        for b, (words, notes) in enumerate(((5, ROWS), (1, 2), (3, 0))):
            text, tune = conditions.named["text"], conditions.named["melody"]
            own = {
                "text": States(*(part[b : b + 1, :words] for part in text)),
                "melody": States(*(part[b : b + 1, :notes] for part in tune)),
            }
            if not notes:
                del own["melody"]  # a model that knows melodies takes clips without
            alone = decode_logits(lm, plan, codes_BKT[b : b + 1], Conditions(own), 3.0)
            torch.testing.assert_close(alone[0], together[b], atol=2e-5 if way == "plain" else 0, rtol=0)


def test_a_prompt_is_continued_as_if_it_had_been_drawn(make_lm, told):
    lm, plan, conditions = make_lm(LEVELS, SIZE, **PREFIX), plans.build("stack_delay", FRAMES, LEVELS), told()
    with kernels.using("plain"):
        whole = sample(lm, plan, conditions, [1, 2, 3], Sampling(top_k=0))
        prompt = torch.full_like(whole, -1)
        prompt[:, :, :6] = whole[:, :, :6]
        assert torch.equal(sample(lm, plan, conditions, [1, 2, 3], Sampling(top_k=0), prompt), whole)


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("position", ["sinusoidal", "rotary", "both"])
@pytest.mark.parametrize("context", [1, None])
def test_masked_models_see_the_whole_prefix_at_every_level(context, position, level, make_hybrid, told, codes_BKT):
    lm, conditions = make_hybrid(LEVELS, SIZE, position=position, context=context, **PREFIX), told()
    ids_BKT = codes_BKT.clone()
    ids_BKT[:, level, ::2], ids_BKT[:, level + 1 :] = SIZE, SIZE
    apart = (torch.arange(FRAMES)[:, None] - torch.arange(FRAMES)).abs()
    mask_TT = torch.ones(FRAMES, FRAMES).bool() if context is None or not level else apart <= context
    beside = [min(round(i / PER_FRAME), FRAMES - 1) for i in range(ROWS)]
    with torch.inference_mode():
        text = lm.frame_context(conditions, FRAMES)
        found = lm.frame_hidden(ids_BKT, level, text)
        tables, _ = lm.frames(FRAMES, level, torch.device("cpu"))
        x_BTD = lm.embed(ids_BKT.transpose(1, 2).contiguous(), tables.code_PD, MASKED_MODE)
        wanted = joint(lm, x_BTD, tables, mask_TT, rows_of(lm, conditions), beside, text, False)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize("recorded", [FramesNetwork, GraphedFrames])
def test_masked_decoding_equals_the_slow_loop(recorded, make_hybrid, told, monkeypatch):
    monkeypatch.setattr(masked_decode, "_network", lambda device: recorded)
    monkeypatch.setattr(GraphedFrames, "capture", staticmethod(lambda device: Recorder()))
    lm, sampling = make_hybrid(LEVELS, SIZE, **PREFIX), MaskedSampling(iterations=(4, 2, 1), temperature=1.0)
    conditions = told()
    with kernels.using("plain"), torch.inference_mode():
        drawn = decode_masked(lm, conditions, FRAMES, [3, 4, 5], sampling)
        for b, own in enumerate(conditions.clips()):
            assert torch.equal(drawn[b], slow(lm, own, FRAMES, 3 + b, sampling))
        for others in (told(1), told(0, 1)):
            assert not torch.equal(drawn, decode_masked(lm, others, FRAMES, [3, 4, 5], sampling))


def test_nested_guidance_of_masked_decoding(make_hybrid, told):
    """Greedy first tokens of one iteration, by the formula."""
    lm, conditions = make_hybrid(LEVELS, SIZE, **PREFIX), told()
    sampling = MaskedSampling(iterations=(1, 1, 1), temperature=0, cfg=4.0, cfg_final=1.0, cfg_inner=2.5)
    everybody, masked = torch.ones(3, dtype=torch.bool), torch.full((3, LEVELS, FRAMES), SIZE)
    with kernels.using("plain"), torch.inference_mode():
        drawn = decode_masked(lm, conditions, FRAMES, [3, 4, 5], sampling)
        a, w, n = (
            lm.frame_hidden(masked, 0, lm.frame_context(given, FRAMES)) @ lm.heads_KVD[0].T
            for given in (conditions, conditions.without(everybody, ["text"]), conditions.without(everybody))
        )
    guided = n + 4.0 * (w + 2.5 * (a - w) - n)
    assert torch.equal(drawn[:, 0], guided.argmax(-1))


def test_the_hybrid_tells_its_first_part_of_the_beginning_of_the_melody(make_hybrid, told):
    lm, conditions = make_hybrid(LEVELS, SIZE, **PREFIX), told()
    sampling = HybridSampling(0.5, Sampling(top_k=0), MaskedSampling(iterations=(2, 1, 1)))
    plan = plans.build("delay", sampling.frames(FRAMES), LEVELS)
    drawn = decode_hybrid(lm, plan, conditions, FRAMES, [1, 2, 3], sampling)
    tune = conditions.named["melody"]
    begun = Conditions({**conditions.named, "melody": States(*(part[:, :2] for part in tune))})
    assert torch.equal(drawn[:, :, : plan.frames], sample(lm, plan, begun, [1, 2, 3], sampling.autoregressive))
    for others in (told(1), told(0, 1)):
        changed = decode_hybrid(lm, plan, others, FRAMES, [1, 2, 3], sampling) != drawn
        assert changed[:2, :, : plan.frames].any() and changed[:2, :, plan.frames :].any()


def test_a_rescorer_hears_the_melody(make_lm, told, codes_BKT, full_logits):
    lm, plan = make_lm(LEVELS, SIZE, **PREFIX), plans.build("delay", FRAMES, LEVELS)
    logits = full_logits(lm, plan, codes_BKT, told())[:, -1]
    wanted = torch.softmax(logits, -1).gather(-1, codes_BKT[:, -1, :, None]).squeeze(-1)
    found = PatternRescorer(lm, lm.tensors(plan), told())(codes_BKT, LEVELS - 1)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_a_condition_that_would_be_ignored_is_refused(make_lm, make_hybrid, told, make_captions):
    plan = plans.build("delay", FRAMES, LEVELS)
    with pytest.raises(ValueError, match="trained without melody"):
        Decoding(make_lm(LEVELS, SIZE), plan, told())
    with pytest.raises(ValueError, match="trained without melody"):
        decode_masked(make_hybrid(LEVELS, SIZE), told(), FRAMES, [1, 2, 3], MaskedSampling(iterations=(1, 1, 1)))
    too_long = Conditions({**make_captions([1]).named, "melody": melody([ROWS + 1])})
    with pytest.raises(ValueError, match="5 states are more than the 4 of 13 frames"):
        Decoding(make_lm(LEVELS, SIZE, **PREFIX), plan, too_long)


@pytest.mark.parametrize("dropped", [(), ("text",), ("melody",), ("text", "melody")])
def test_every_parameter_gets_a_gradient_at_every_step(dropped, make_lm, make_hybrid, told, codes_BKT):
    everybody = torch.ones(3, dtype=torch.bool)
    conditions = told().without(everybody, dropped)
    lm = make_hybrid(LEVELS, SIZE, **PREFIX).train()
    for masked in (False, True):
        lm.zero_grad()
        if masked:
            hidden = lm.frame_hidden(codes_BKT, 1, lm.frame_context(conditions, FRAMES))
            (hidden @ lm.heads_KVD.sum(0).T).logsumexp(-1).sum().backward()
        else:
            plan = plans.build("stack_delay", FRAMES, LEVELS)
            lm(codes_BKT, lm.tensors(plan), conditions).logsumexp(-1).sum().backward()
        assert [name for name, weight in lm.named_parameters() if weight.grad is None] == []
        assert all(torch.isfinite(weight.grad).all() for weight in lm.parameters())


@pytest.mark.parametrize("causal", [True, False])
def test_operations_of_a_prefix_are_those_of_a_longer_mask(causal):
    plan = plans.build("delay", FRAMES, LEVELS)
    mask = np.ones((ROWS + plan.positions, ROWS + plan.positions), dtype=bool)
    mask[:ROWS, :ROWS] = np.tril(mask[:ROWS, :ROWS]) if causal else True
    mask[:ROWS, ROWS:], mask[ROWS:, ROWS:] = False, plan.mask()
    found = behind_prefix(Pass(0.5, plan.positions, plan.pairs, 39), ROWS, causal)
    assert found == Pass(0.5, len(mask), int(mask.sum()), 39)
    assert behind_prefix(found, 0, causal) == found
