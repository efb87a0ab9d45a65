"""What decoding does at each step, worked out before the first token: the token loop only indexes.

Shape suffixes: Q positions of one step, S cache slots.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from musicbench.plans import Plan, cache_slots
from musicbench.plans.plan import Ints


@dataclass(frozen=True)
class DecodeStep:
    """One network call of decoding.

    Attributes:
        positions: slice of the plan's positions computed here, Q of them.
        written: cache slots they take. live: length of the cache prefix that they see.
        mask_QS: bool [Q, live], or None if they see all of it.
        query_n, level_n, frame_n: int64, for each of the n tokens drawn: row of the step, level, frame.
        levels: the same levels as a slice where they are consecutive (a view of the heads instead of a copy).
    """

    positions: slice
    written: slice | Tensor
    live: int
    mask_QS: Tensor | None
    query_n: Tensor
    level_n: Tensor
    frame_n: Tensor
    levels: slice | Tensor


@lru_cache(maxsize=8)
def decode_steps(plan: Plan, device: torch.device) -> tuple[DecodeStep, ...]:
    """Tables of all steps of a plan that compute anything; kept, because a study decodes one plan many times."""
    slots = cache_slots(plan)
    tenant = np.full(plan.peak_cache, -1, dtype=np.int64)
    steps = []
    for s in range(plan.steps):
        first, end = int(plan.step_bounds[s]), int(plan.step_bounds[s + 1])
        if end == first:
            continue
        here = slice(first, end)
        tenant[slots[here]] = np.arange(first, end)
        seen = _visible(plan, tenant, np.arange(first, end))
        live = int(np.flatnonzero(seen.any(axis=0)).max()) + 1
        seen = seen[:, :live]
        query, level = np.nonzero(plan.predicts[here] >= 0)
        by_level = np.argsort(level, kind="stable")
        query, level = query[by_level], level[by_level]
        steps.append(
            DecodeStep(
                positions=here,
                written=_as_slice(slots[here], device),
                live=live,
                mask_QS=None if seen.all() else torch.from_numpy(seen).to(device),
                query_n=torch.from_numpy(query).to(device),
                level_n=torch.from_numpy(level).to(device),
                frame_n=torch.from_numpy(plan.predicts[here][query, level]).to(device),
                levels=_as_slice(level, device),
            )
        )
    return tuple(steps)


def _visible(plan: Plan, tenant: Ints, queries: Ints) -> np.ndarray:
    """Which slots the positions of one step see, bool [Q, slots]: the mask rule, applied to a slot's tenant."""
    step = plan.step[queries][:, None]
    key_step, expires = plan.step[tenant], plan.expires[tenant]
    seen = (tenant >= 0) & (key_step < step) & (step <= expires)
    same = key_step == step if plan.same_step else tenant == queries[:, None]
    return seen | ((tenant >= 0) & same)


def _as_slice(index: Ints, device: torch.device) -> slice | Tensor:
    if len(index) and np.all(np.diff(index) == 1):
        return slice(int(index[0]), int(index[-1]) + 1)
    return torch.from_numpy(index.copy()).to(device)
