"""Decoding plans: codebook patterns under time-step schedules, as integers only (no torch)."""

from musicbench.plans.build import build
from musicbench.plans.plan import NEVER, Plan
from musicbench.plans.slots import cache_slots

__all__ = ["NEVER", "Plan", "build", "cache_slots"]
