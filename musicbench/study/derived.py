"""Column keys that are no field of a record but follow from several, and what may be asked of any key."""

import math
import re

from musicbench.errors import UserError
from musicbench.plans.build import MAX_FRAMES
from musicbench.plans.schedules import lookahead, separation, visiting_order
from musicbench.study.run_record import RunRecord

SCHEDULE = {"separation": separation, "lookahead": lookahead}
"""Numbers of the order in which frames are visited: steps between neighbours, and later frames begun before a frame."""

DERIVED = ("caption_gain", "clap_gain", "clap_mini_gain", "train_validation_gap", *SCHEDULE)
_PERPLEXITY = re.compile(r"perplexity_(0|[1-9][0-9]?)")


def perplexity_level(key: str) -> str | None:
    """The codebook level of ``perplexity_<level>``; None for any other key."""
    match = _PERPLEXITY.fullmatch(key)
    return match[1] if match else None


def operations(key: str) -> float | None:
    """The floating-point operations of ``validation_bits_at.<operations>``; None for any other key."""
    name, _, number = key.partition(".")
    try:
        flops = float(number) if name == "validation_bits_at" else math.nan
    except ValueError:
        return None
    return flops if math.isfinite(flops) and flops > 0 else None


def is_derived(key: str) -> bool:
    """Whether the key is one of ``DERIVED``, the perplexity of a level's tokens, or bits at an equal computing cost."""
    return key in DERIVED or perplexity_level(key) is not None or operations(key) is not None


def has_interval(key: str) -> bool:
    """Whether a value of the key may have an interval."""
    return key.startswith("metrics.") or key.endswith("_gain") or perplexity_level(key) is not None


def schedule_number(record: RunRecord, key: str) -> int | None:
    """A number of ``SCHEDULE``; None where a run visits frames in no order of its own.

    Raises:
        UserError: the record names an unknown schedule, or more frames than a plan may have.
    """
    plan = record["plan"]
    if plan is None or plan["schedule"] is None:
        return None
    try:
        if not 1 <= plan["frames"] <= MAX_FRAMES:
            raise ValueError(f"a plan has 1 .. {MAX_FRAMES} frames, not {plan['frames']}")
        return SCHEDULE[key](visiting_order(plan["schedule"], plan["frames"]))
    except ValueError as error:
        raise UserError(f"the record of row {record['row']}, seed {record['seed']}: {error}") from error
