"""The decisive test: cached decoding, step by step, gives the logits of one masked forward over all positions."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch

from musicbench import named_code, plans
from musicbench.models import kernels
from musicbench.models.autoregressive import network
from musicbench.models.autoregressive.cache import KeyValueCache
from musicbench.models.fast import steps as fast_steps
from musicbench.plans import NEVER
from musicbench.plans.build import PATTERNS as NAMES

FRAMES, SIZE = 19, 11
POISON = 1e6
PATTERNS = {name: {} for name in NAMES} | {
    "uneven_delay": {"pattern": "delay", "delays": [2, 0, 7, 3, 1, 1, 0, 4]},
    "stack_stride_of_3": {"pattern": "stack_stride", "stride": 3},
    "stack_delay_newest": {"pattern": "stack_delay", "stream_0": "newest"},
}


class PoisonedCache(KeyValueCache):
    """Every slot that a step is not meant to see holds a huge number while the step runs."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.keys.fill_(POISON)
        self.values.fill_(POISON)

    def enter(self, written, live, mask_QS):
        super().enter(written, live, mask_QS)
        spared = torch.zeros(self.keys.shape[3], dtype=torch.bool)
        spared[: self.live] = True if self.mask_QS is None else self.mask_QS.any(0)
        spared[self.written] = True
        self.keys[:, :, :, ~spared] = POISON
        self.values[:, :, :, ~spared] = POISON


def build(name: str, levels: int, schedule: str, same_step: bool, frames: int = FRAMES) -> plans.Plan:
    options = {"pattern": name, **PATTERNS[name]}
    if "delays" in options:
        options["delays"] = options["delays"][:levels]
    if "stride" in options:
        options["stride"] = min(options["stride"], levels)
    return plans.build(frames=frames, levels=levels, schedule=schedule, same_step=same_step, **options)


@pytest.fixture(params=["auto", "plain"], autouse=True)
def chosen(request):
    """Torch's own operations, and the compiled ones."""
    with kernels.using(request.param):
        yield request.param


@pytest.fixture
def poisoned(monkeypatch):
    monkeypatch.setattr(network, "KeyValueCache", PoisonedCache)


@pytest.fixture
def example(make_lm, make_captions):
    """Model, codes and captions of unequal length for a number of levels."""

    def make(levels: int, frames: int = FRAMES, position: str = "sinusoidal"):
        lm = make_lm(levels, SIZE, position=position)
        codes_BKT = torch.randint(0, SIZE, (3, levels, frames), generator=torch.Generator().manual_seed(1))
        return lm, codes_BKT, make_captions([5, 1, 3])

    return make


@pytest.mark.parametrize("levels", [1, 2, 4, 8])
@pytest.mark.parametrize(
    ("schedule", "position"),
    [
        ("sequential", "sinusoidal"),
        ("block_4", "sinusoidal"),
        ("stride_3", "sinusoidal"),
        ("block_4", "rotary"),
        ("block_2", "both"),
    ],
)
@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("name", PATTERNS)
def test_same_logits(name, schedule, levels, same_step, position, example, decode_logits, full_logits, poisoned):
    lm, codes_BKT, conditions = example(levels, position=position)
    plan = build(name, levels, schedule, same_step)
    decoded = decode_logits(lm, plan, codes_BKT, conditions)
    full = full_logits(lm, plan, codes_BKT, conditions)
    assert full.std() > 0.1
    torch.testing.assert_close(decoded, full, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["delay", "stack", "stack_delay"])
@pytest.mark.parametrize("frames", [1, 2, 3])
def test_same_logits_of_very_short_clips(name, frames, example, decode_logits, full_logits, poisoned):
    lm, codes_BKT, conditions = example(4, frames)
    plan = build(name, 4, "block_4", True, frames)
    decoded = decode_logits(lm, plan, codes_BKT, conditions)
    torch.testing.assert_close(decoded, full_logits(lm, plan, codes_BKT, conditions), atol=1e-4, rtol=0)


@pytest.mark.parametrize("schedule", ["sequential", "block_4"])
def test_same_logits_of_an_own_pattern_with_gaps_between_steps(
    schedule, example, decode_logits, full_logits, poisoned, tmp_path, monkeypatch
):
    """Even steps only, levels in falling order, and every third position forgotten after six steps."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "own_gappy_pattern.py").write_text(
        "from musicbench.plans import NEVER\n"
        "from musicbench.plans.plan import Position\n"
        "def pattern(frames, levels):\n"
        "    for i in range(frames * levels):\n"
        "        t, k = i // levels, levels - 1 - i % levels\n"
        "        reads = {j: t for j in range(k + 1, levels)}\n"
        "        yield Position(2 * i + 1, reads, {k: t}, 2 * i + 7 if i % 3 == 0 else NEVER)\n",
        encoding="utf-8",
    )
    lm, codes_BKT, conditions = example(2)
    named_code.allow("pattern", "own_gappy_pattern.pattern")
    plan = plans.build("own_gappy_pattern.pattern", FRAMES, 2, schedule)
    decoded = decode_logits(lm, plan, codes_BKT, conditions)
    torch.testing.assert_close(decoded, full_logits(lm, plan, codes_BKT, conditions), atol=1e-4, rtol=0)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["delay", "flat", "stack_delay"])
def test_same_logits_with_positions_of_any_lifetime(name, seed, example, decode_logits, full_logits, poisoned):
    """Slots are freed and taken again in no regular order."""
    lm, codes_BKT, conditions = example(4)
    plan = build(name, 4, "block_4", same_step=seed % 2 == 0)
    lives = np.random.default_rng(seed).choice([0, 1, 2, 5, 9, 1000], plan.positions)
    plan = dataclasses.replace(plan, expires=plan.step + lives)
    assert plan.peak_cache < plan.positions
    decoded = decode_logits(lm, plan, codes_BKT, conditions)
    torch.testing.assert_close(decoded, full_logits(lm, plan, codes_BKT, conditions), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["stack", "stack_delay"])
def test_control_forgotten_expiry_is_seen(name, example, decode_logits, full_logits):
    """Decoding that keeps partial stacks, or forgets a little too early, differs from the training mask."""
    lm, codes_BKT, conditions = example(4)
    plan = build(name, 4, "block_4", True)
    full = full_logits(lm, plan, codes_BKT, conditions)
    kept = dataclasses.replace(plan, expires=np.full_like(plan.expires, NEVER))
    later = dataclasses.replace(plan, expires=np.where(plan.expires == NEVER, NEVER, plan.expires + 1))
    early = dataclasses.replace(plan, expires=np.minimum(plan.expires, plan.step + 8))
    for wrong in (kept, later, early):
        decoded = decode_logits(lm, wrong, codes_BKT, conditions)
        assert (decoded - full).abs().max() > 0.01


def test_control_same_step_is_seen(example, decode_logits, full_logits):
    lm, codes_BKT, conditions = example(4)
    decoded = decode_logits(lm, build("stack_delay", 4, "block_4", True), codes_BKT, conditions)
    full = full_logits(lm, build("stack_delay", 4, "block_4", False), codes_BKT, conditions)
    assert (decoded - full).abs().max() > 0.01


def test_control_poison_reaches_the_logits_if_the_mask_is_dropped(
    example, decode_logits, full_logits, monkeypatch, chosen
):
    class Careless(PoisonedCache):
        def enter(self, written, live, mask_QS):
            super().enter(written, live, mask_QS)
            self.mask_QS = None

    tables = fast_steps._tables

    def careless(plan, prefix):
        return {first: table._replace(seen_QS=table.seen_QS[:0]) for first, table in tables(plan, prefix).items()}

    if chosen == "plain":
        monkeypatch.setattr(network, "KeyValueCache", Careless)
    else:
        monkeypatch.setattr(network, "KeyValueCache", PoisonedCache)
        monkeypatch.setattr(fast_steps, "_tables", careless)
    lm, codes_BKT, conditions = example(4)
    plan = build("stack_delay", 4, "sequential", False)
    decoded = decode_logits(lm, plan, codes_BKT, conditions)
    assert (decoded - full_logits(lm, plan, codes_BKT, conditions)).abs().max() > 0.01


@pytest.mark.parametrize("name", ["delay", "stack_delay"])
def test_guided_logits_are_those_of_two_separate_batches(name, example, decode_logits, full_logits, poisoned):
    lm, codes_BKT, conditions = example(4)
    plan = build(name, 4, "block_4", True)
    decoded = decode_logits(lm, plan, codes_BKT, conditions, cfg=3.0)
    conditional = full_logits(lm, plan, codes_BKT, conditions)
    unconditional = full_logits(lm, plan, codes_BKT, conditions, dropped=True)
    assert (conditional - unconditional).abs().max() > 0.05
    torch.testing.assert_close(decoded, unconditional + 3 * (conditional - unconditional), atol=3e-4, rtol=0)


def test_cache_has_as_many_slots_as_the_plan_says_and_doubles_for_guidance_only(example, decode_logits, monkeypatch):
    sizes = []

    class Watched(KeyValueCache):
        def __init__(self, layers, batch, heads, slots, head_dim, **kwargs):
            sizes.append((batch, slots))
            super().__init__(layers, batch, heads, slots, head_dim, **kwargs)

    monkeypatch.setattr(network, "KeyValueCache", Watched)
    lm, codes_BKT, conditions = example(4)
    for name, cfg in itertools.product(["stack", "stack_delay"], [1.0, 2.0]):
        plan = build(name, 4, "sequential", True)
        decode_logits(lm, plan, codes_BKT, conditions, cfg=cfg)
    assert sizes == [(3, FRAMES + 1), (6, FRAMES + 1), (3, FRAMES + 3), (6, FRAMES + 3)]
