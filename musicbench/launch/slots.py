"""What each of several runs at once gets of a machine: a GPU and its share of the cores."""

import os
from collections.abc import Sequence

from musicbench.errors import UserError


def threads(jobs: int) -> int | None:
    """CPU threads of each of several runs at once: OMP_NUM_THREADS if that is set; None (all cores) for one run."""
    if jobs == 1:
        return None
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdecimal() and int(given) else max(1, len(os.sched_getaffinity(0)) // jobs)


def slots(jobs: int, gpus: Sequence[str] = ()) -> list[dict[str, str]]:
    """Environment variables of each of so many runs at once; more runs than GPUs share them in turn."""
    share = threads(jobs)
    found = []
    for number in range(jobs):
        environment = {"OMP_NUM_THREADS": str(share)} if share else {}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        found.append(environment)
    return found


def parse_gpus(text: str) -> list[str]:
    """``0,1,2`` (or UUIDs) as a list.

    Raises:
        UserError: one is empty or named twice.
    """
    found = [name.strip() for name in text.split(",")]
    if not all(found) or len(set(found)) < len(found):
        raise UserError(f"--gpus {text} is no list of different GPUs; write for example --gpus 0,1")
    return found


def with_threads(overrides: list[str], threads: int | None) -> list[str]:
    """Overrides with a run's share of the cores, unless they say how many themselves."""
    given = threads is None or any(override.startswith("trainer.threads=") for override in overrides)
    return overrides if given else [*overrides, f"trainer.threads={threads}"]
