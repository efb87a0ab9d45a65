"""The text as a prefix without cross-attention, and a melody of a fixed length, as in the released MusicGen-melody.

Against one pass over prefix and music together, whose position codes count through both.
"""

import pytest
import torch
from torch import Tensor

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive import decode as decoding
from musicbench.models.autoregressive.choose import by_seeds
from musicbench.models.autoregressive.decode import Decoding, sample
from musicbench.models.autoregressive.pattern_lm import PatternLM
from musicbench.models.autoregressive.rescore import PatternRescorer
from musicbench.models.autoregressive.stream import stream
from musicbench.models.conditions import Conditions, States
from musicbench.models.context import Context
from musicbench.models.fast import step_rows
from musicbench.models.fast.graphs import GraphedSteps
from musicbench.models.guidance import Scales
from musicbench.models.masked.lm import MaskedLM
from musicbench.models.positions import prefix_tables, rotated
from musicbench.models.sampling import Sampling
from musicbench.models.transformer import MaskedAttention
from tests.helpers.decoding_ways import decoding_by, guided
from tests.helpers.recorder import Recorder

FRAMES, LEVELS, SIZE, WIDTH, ROWS = 13, 3, 11, 4, 5
TEXT = {"text_fusion": "prepend", "text_padding": "zeros", "null_caption": "zeros"}
RELEASED = {**TEXT, "prefixes": {"melody": {"width": WIDTH, "per_frame": 0.3, "length": ROWS}}}
CASES = [
    ("delay", "sequential", "sinusoidal"),
    ("delay", "sequential", "rotary"),
    ("stack_delay", "block_4", "both"),
    ("flat", "stride_3", "sinusoidal"),
    ("coarse_first", "sequential", "both"),
]


def melody(states: int, clips: int = 3, seed: int = 0) -> States:
    """One-hot classes; the last clip has none, and of the first the second is missing. What is not there is rubbish."""
    random = torch.Generator().manual_seed(seed)
    classes_BL = torch.randint(WIDTH, (clips, states), generator=random)
    mask_BL = torch.ones(clips, states, dtype=torch.bool)
    mask_BL[0, 1:2], mask_BL[-1] = False, False
    one_hot = torch.nn.functional.one_hot(classes_BL, WIDTH).float()
    return States(one_hot.masked_fill(~mask_BL[..., None], 50.0), mask_BL)


@pytest.fixture
def told(make_captions):
    """``told(states)`` -> three clips with captions of unequal length, the second without, and melodies."""

    def make(states: int = 3, text_seed: int = 0, melody_seed: int = 0) -> Conditions:
        captions = make_captions([5, 0, 3], seed=text_seed)
        return Conditions({**captions.named, "melody": melody(states, seed=melody_seed)})

    return make


@pytest.fixture
def codes_BKT() -> Tensor:
    return torch.randint(0, SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(1))


def rows_of(lm: PatternLM, conditions: Conditions) -> Tensor:
    """All rows before the music, row by row: melody, then text, whose padding is zero."""
    (text_BLE, told_BL), dim = conditions.text, lm.dim
    states = conditions.named.get("melody")
    rows_BMD = torch.zeros(len(conditions), ROWS + text_BLE.shape[1], dim)
    for b in range(len(conditions)):
        for i in range(ROWS):
            state_E = torch.eye(WIDTH)[0]
            if states is not None and states.mask_BL.shape[1]:
                j = i % states.mask_BL.shape[1]
                state_E = states.states_BLE[b, j] if states.mask_BL[b, j] else state_E
            rows_BMD[b, i] = lm.conditioner.prefixes["melody"].project(state_E)
        for i in range(int(told_BL[b].sum())):
            rows_BMD[b, ROWS + i] = lm.conditioner.project(text_BLE[b, i])
    return rows_BMD


@torch.inference_mode()
def slow_logits(lm: PatternLM, plan: plans.Plan, codes_BKT: Tensor, conditions: Conditions) -> Tensor:
    """Logits [B, K, T, V] of the transformer over prefix and positions side by side, from the definition."""
    rows_BMD = rows_of(lm, conditions)
    rows, count = rows_BMD.shape[1], rows_BMD.shape[1] + plan.positions
    shape = lm.position, lm.dim, lm.transformer.heads
    coded = [plan.step] if plan.positional == "step" else [plan.frame_in + 1, plan.frame_out + 1]
    table = prefix_tables(rows + max(int(c.max()) for c in coded) + 1, plans.build("delay", 1, LEVELS), *shape)
    assert len(coded) == 1, "else halves of the width would have codes of their own"
    code_PD, turn_P2F = table.at(torch.cat([torch.arange(rows), torch.from_numpy(coded[0].copy()) + rows]))
    tables = lm.tensors(plan)
    padded = torch.cat([codes_BKT, torch.full((len(codes_BKT), LEVELS, 1), SIZE)], 2)
    ids_BPK = torch.stack([padded[:, k, tables.reads_PK[:, k]] for k in range(LEVELS)], -1)
    both = torch.cat([rows_BMD, lm.embed(ids_BPK, None)], 1)
    mask = torch.zeros(count, count, dtype=torch.bool)
    mask[:rows, :rows], mask[rows:, :rows] = torch.ones(rows, rows).tril().bool(), True
    mask[rows:, rows:] = torch.from_numpy(plan.mask())
    attend = MaskedAttention(mask) if turn_P2F is None else rotated(MaskedAttention(mask), turn_P2F)
    nothing = Context([], torch.ones(len(codes_BKT), 1, 1, 0).bool(), None)
    hidden = lm.transformer(both if code_PD is None else both + code_PD, attend, nothing)[:, rows:]
    return torch.stack([hidden[:, tables.source_KT[k]] @ lm.heads_KVD[k].T for k in range(LEVELS)], 1)


def plan_of(pattern: str, schedule: str = "sequential") -> plans.Plan:
    return plans.build(pattern, FRAMES, LEVELS, schedule, positional="step")


@pytest.mark.parametrize("states", [0, 2, 5, 9])
@pytest.mark.parametrize(("pattern", "schedule", "position"), CASES)
def test_the_plain_forward_is_one_pass_over_prefix_and_positions(
    pattern, schedule, position, states, make_lm, told, codes_BKT, full_logits
):
    lm, plan = make_lm(LEVELS, SIZE, position=position, **RELEASED), plan_of(pattern, schedule)
    wanted = slow_logits(lm, plan, codes_BKT, told(states))
    torch.testing.assert_close(full_logits(lm, plan, codes_BKT, told(states)), wanted, atol=1e-4, rtol=0)
    assert wanted.std() > 0.1


@pytest.mark.parametrize("scales", [Scales(), Scales(3.0), Scales(3.0, 2.0)], ids=["plain", "simple", "nested"])
@pytest.mark.parametrize("way", ["torch", "compiled", "recorded"])
@pytest.mark.parametrize(("pattern", "schedule", "position"), CASES)
def test_cached_decoding_equals_the_pass_over_everything(
    pattern, schedule, position, way, scales, make_lm, told, codes_BKT, decode_logits, monkeypatch
):
    lm, plan = make_lm(LEVELS, SIZE, position=position, **RELEASED), plan_of(pattern, schedule)
    for conditions in (told(), told(2)[[2, 0, 1]]):  # the second batch takes over memory where there is any
        wanted = guided(lambda given: slow_logits(lm, plan, codes_BKT, given), conditions, scales)
        with decoding_by(way, monkeypatch):
            found = decode_logits(lm, plan, codes_BKT, conditions, scales.cfg, scales.inner)
        torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


def test_graphs_decode_captions_of_other_lengths(make_lm, make_captions, codes_BKT, decode_logits, monkeypatch):
    """Prefixes of other sizes need other memory, whose position codes differ."""
    monkeypatch.setattr(GraphedSteps, "capture", staticmethod(lambda device: Recorder()))
    monkeypatch.setattr(step_rows, "OFTEN", 2)
    monkeypatch.setattr(decoding, "_network", lambda model, device: GraphedSteps)
    lm, plan = make_lm(LEVELS, SIZE, **RELEASED), plan_of("delay")
    for lengths in ([5, 0, 3], [2, 2, 1], [5, 1, 1]):
        wanted = slow_logits(lm, plan, codes_BKT, make_captions(lengths))
        with kernels.using("plain"):
            found = decode_logits(lm, plan, codes_BKT, make_captions(lengths))
        torch.testing.assert_close(found, wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("way", ["auto", "plain"])
def test_captions_and_melodies_both_change_the_logits(way, make_lm, told, codes_BKT, decode_logits):
    lm, plan = make_lm(LEVELS, SIZE, **RELEASED), plan_of("delay")
    with kernels.using(way):
        usual, text, tune = (
            decode_logits(lm, plan, codes_BKT, conditions, 3.0) for conditions in (told(), told(3, 1), told(3, 0, 1))
        )
    moved_B = (text - usual).abs().amax((1, 2, 3))
    assert moved_B[[0, 2]].min() > 0.02 and moved_B[1] == 0, "the second clip has no caption"
    moved_B = (tune - usual).abs().amax((1, 2, 3))
    assert moved_B[:2].min() > 0.02 and moved_B[2] == 0, "the third clip has no melody"


def test_the_compiled_decoder_gives_a_clip_the_same_bits_beside_others(make_lm, told, codes_BKT, decode_logits):
    lm, plan, conditions = make_lm(LEVELS, SIZE, **RELEASED), plan_of("delay"), told()
    with kernels.using("auto"):
        together = decode_logits(lm, plan, codes_BKT, conditions, 3.0)
        for b in range(3):
            alone = decode_logits(lm, plan, codes_BKT[b : b + 1], conditions[b : b + 1], 3.0)
            assert torch.equal(alone[0], together[b])


@pytest.mark.parametrize("way", ["auto", "plain"])
def test_prompts_and_streams_are_continued_as_if_they_had_been_drawn(way, make_lm, told):
    lm, plan, seeds = make_lm(LEVELS, SIZE, **RELEASED), plan_of("stack_delay"), [1, 2, 3]
    with kernels.using(way):
        whole = sample(lm, plan, told(), seeds, Sampling(top_k=0))
        prompt = torch.full_like(whole, -1)
        prompt[:, :, :6] = whole[:, :, :6]
        assert torch.equal(sample(lm, plan, told(), seeds, Sampling(top_k=0), prompt), whole)
        choose = by_seeds(seeds, plan, Sampling(top_k=0), torch.device("cpu"))
        pieces = stream(Decoding(lm, plan, told(), Sampling().scales), choose, 2)
        assert torch.equal(torch.cat(list(pieces), 2), whole)


def test_a_rescorer_reads_captions_and_melodies(make_lm, told, codes_BKT):
    lm, plan = make_lm(LEVELS, SIZE, **RELEASED), plan_of("delay")
    logits = slow_logits(lm, plan, codes_BKT, told())[:, -1]
    wanted = torch.softmax(logits, -1).gather(-1, codes_BKT[:, -1, :, None]).squeeze(-1)
    found = PatternRescorer(lm, lm.tensors(plan), told())(codes_BKT, LEVELS - 1)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)


def test_frames_of_plans_that_code_them_count_through_too(make_lm, told, codes_BKT, decode_logits, full_logits):
    lm, plan = make_lm(LEVELS, SIZE, **TEXT), plans.build("flat", FRAMES, LEVELS, "stride_3", positional="frame")
    captions = Conditions({"text": told().text})
    with kernels.using("plain"):
        found = decode_logits(lm, plan, codes_BKT, captions)
    torch.testing.assert_close(found, full_logits(lm, plan, codes_BKT, captions), atol=2e-4, rtol=0)
    alone, behind = lm.positions(plan), lm.positions_behind(Context([], torch.zeros(0), None), plan, lm.positions(plan))
    assert torch.equal(alone.code_PD, behind.code_PD)
    context = lm.plan_context(captions, plan, alone)
    moved = lm.positions_behind(context, plan, alone).code_PD
    later = {(int(i), int(o)): row for i, o, row in zip(plan.frame_in, plan.frame_out, alone.code_PD, strict=True)}
    same = [
        (later[i + context.rows, o + context.rows], row)
        for i, o, row in zip(plan.frame_in, plan.frame_out, moved, strict=True)
        if (i + context.rows, o + context.rows) in later
    ]
    assert same and all(torch.allclose(theirs, row, atol=1e-5) for theirs, row in same)


def test_there_is_no_cross_attention_and_no_learned_null(make_lm):
    names = [name for name, _ in make_lm(LEVELS, SIZE, **RELEASED).named_parameters()]
    assert [name for name in names if "cross" in name or "null" in name] == []
    usual = [name for name, _ in make_lm(LEVELS, SIZE).named_parameters()]
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in usual if name not in names} == {
        "conditioner", "norm_cross", "cross_q", "cross_kv", "cross_out",
    }  # fmt: skip


@pytest.mark.parametrize("dropped", [(), ("text",), ("melody",), ("text", "melody")])
def test_every_parameter_gets_a_gradient_at_every_step(dropped, make_lm, told, codes_BKT):
    lm = make_lm(LEVELS, SIZE, **RELEASED).train()
    conditions = told().without(torch.ones(3, dtype=torch.bool), dropped)
    lm(codes_BKT, lm.tensors(plan_of("delay")), conditions).logsumexp(-1).sum().backward()
    assert [name for name, weight in lm.named_parameters() if weight.grad is None] == []
    assert all(torch.isfinite(weight.grad).all() for weight in lm.parameters())


def test_what_cannot_be_is_refused(make_lm):
    with pytest.raises(ValueError, match="text_fusion=prepend needs text_padding=zeros"):
        make_lm(LEVELS, SIZE, text_fusion="prepend")
    with pytest.raises(ValueError, match="text_fusion must be prepend, or null; got 'sum'"):
        make_lm(LEVELS, SIZE, text_fusion="sum", text_padding="zeros")
    sizes = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": 6, "dim": 32, "layers": 1, "heads": 2}
    with pytest.raises(ValueError, match="text_fusion=prepend is for autoregressive models alone"):
        MaskedLM(**sizes, **TEXT)
