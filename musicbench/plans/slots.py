"""Where each position's key and value live in a static cache; slots of expired positions are reused."""

import heapq

import numpy as np

from musicbench.plans.plan import Ints, Plan


def cache_slots(plan: Plan) -> Ints:
    """Slot of every position, int64 [P], all below ``plan.peak_cache``.

    The lowest free slot is taken first, so that the live entries of a step are a prefix of the cache with as
    few holes as possible.
    """
    slots = np.empty(plan.positions, dtype=np.int64)
    free = list(range(plan.peak_cache))
    occupied: list[tuple[int, int]] = []
    for p in range(plan.positions):
        while occupied and occupied[0][0] < plan.step[p]:
            heapq.heappush(free, heapq.heappop(occupied)[1])
        slots[p] = heapq.heappop(free)
        heapq.heappush(occupied, (int(plan.expires[p]), int(slots[p])))
    return slots
