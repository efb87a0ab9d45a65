"""What makes bits per frame comparable: no token sees itself or later ones, and all grids sum to one."""

import itertools

import numpy as np
import pytest
import torch

from musicbench import plans
from musicbench.plans.build import PATTERNS

PLANS = [
    (pattern, schedule, same_step)
    for pattern in PATTERNS
    for schedule in ("sequential", "block_1", "block_2")
    for same_step in (True, False)
]


@pytest.mark.parametrize(("pattern", "schedule", "same_step"), PLANS)
def test_a_token_changes_only_what_is_drawn_after_it(pattern, schedule, same_step, make_lm, make_captions, full_logits):
    levels, frames, size = 3, 6, 7
    plan = plans.build(pattern, frames, levels, schedule, same_step=same_step)
    lm = make_lm(levels, size)
    base_KT = torch.randint(0, size, (levels, frames), generator=torch.Generator().manual_seed(0))
    tokens = [(k, t) for k in range(levels) for t in range(frames)]
    codes_BKT = base_KT.repeat(1 + len(tokens), 1, 1)
    for row, (k, t) in enumerate(tokens, start=1):
        codes_BKT[row, k, t] = (codes_BKT[row, k, t] + 1 + row % (size - 1)) % size
    conditions = make_captions([3])[[0] * len(codes_BKT)]
    logits_BKTV = full_logits(lm, plan, codes_BKT, conditions)
    change_BKT = (logits_BKTV[1:] - logits_BKTV[:1]).abs().amax(-1)
    step_KT = torch.from_numpy(plan.step[plan.source])
    last_step = int(step_KT.max())
    reached = 0
    for row, (k, t) in enumerate(tokens):
        own = step_KT[k, t]
        assert change_BKT[row][step_KT <= own].max() < 1e-5, f"token (t={t}, k={k}) leaks backwards"
        if own < last_step:
            reached += bool(change_BKT[row][step_KT > own].max() > 1e-3)
    # Almost every token matters to some later one; the exact set is the plan's context.
    assert reached >= 0.6 * len(tokens)


@pytest.mark.parametrize(("pattern", "schedule", "same_step"), PLANS)
@pytest.mark.parametrize(("size", "levels", "frames"), [(2, 2, 2), (3, 2, 2), (2, 2, 3), (2, 3, 2)])
def test_probabilities_of_all_grids_sum_to_one(
    pattern, schedule, same_step, size, levels, frames, make_lm, make_captions, full_logits
):
    plan = plans.build(pattern, frames, levels, schedule, same_step=same_step)
    total, probabilities_B = _sum_over_all_grids(make_lm(levels, size), plan, make_captions, full_logits)
    assert total == pytest.approx(1, abs=1e-4)
    assert probabilities_B.std() > 0.2 * probabilities_B.mean(), "the model is not uniform"


def test_control_a_leak_breaks_the_sum(make_lm, make_captions, full_logits, monkeypatch):
    plan = plans.build("flat", 3, 2)
    everything = lambda self: np.ones((self.positions, self.positions), dtype=bool)  # noqa: E731
    monkeypatch.setattr(plans.Plan, "causal", False)
    monkeypatch.setattr(plans.Plan, "mask", everything)
    total, _ = _sum_over_all_grids(make_lm(2, 2), plan, make_captions, full_logits)
    assert abs(total - 1) > 1e-2


def _sum_over_all_grids(lm, plan, make_captions, full_logits):
    cells = plan.levels * plan.frames
    grids = list(itertools.product(range(lm.codebook_size), repeat=cells))
    codes_BKT = torch.tensor(grids).view(-1, plan.levels, plan.frames)
    logits = full_logits(lm, plan, codes_BKT, make_captions([2])[[0] * len(grids)])
    chosen_BKT = logits.double().log_softmax(-1).gather(-1, codes_BKT[..., None]).squeeze(-1)
    probabilities_B = chosen_BKT.sum((1, 2)).exp()
    return float(probabilities_B.sum()), probabilities_B
