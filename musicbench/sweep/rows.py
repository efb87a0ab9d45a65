"""Run the rows of a sweep on this machine, several at once."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from musicbench.launch.pool import Pool
from musicbench.launch.progress import progress
from musicbench.launch.slots import slots
from musicbench.names import one_line, visible
from musicbench.sweep.jobs import committed_ids, resolve


def run_all(
    command: str,
    lines: Sequence[list[str]],
    journal: Path,
    table: Path | None = None,
    jobs: int = 1,
    gpus: Sequence[str] = (),
) -> tuple[list[Path], int]:
    """Make every run in a process of its own, as many at once as there are jobs.

    Args:
        command: ``train`` or ``evaluate``.
        lines: overrides of each run.
        journal: file to which starts, ends and failures are appended.
        table: folder of a table whose records count as finished.
        jobs: number of runs at once; 1 is used if a run spreads over several devices.
        gpus: names of the GPUs that the runs share; if empty, all visible GPUs.

    Returns:
        Folders of the runs that succeeded, now or before, and how many did not.

    Raises:
        KeyboardInterrupt: the user interrupted the sweep; it is raised after the runs have ended.
    """
    found = resolve(command, lines, committed_ids(table))
    if found.alone:
        # Such a run has all devices to itself.
        if jobs > 1:
            print("some runs are trained on several devices: one run at a time", file=sys.stderr)
        places = [{"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}]
    else:
        places = slots(jobs, gpus or (visible_gpus() if jobs > 1 else ()))
    for line in found.mistaken:
        print(visible(f"failed: {line}; the other runs go on"), file=sys.stderr)
    pool = Pool(found.jobs, places, journal, progress(sys.stdout))
    outcome = pool.run()
    failures = [*found.mistaken, *(f"{job.folder.name}: {reason}" for job, reason in outcome.failed)]
    if failures:
        total = len(found.jobs) + len(found.mistaken)
        print(f"\n{len(failures)} of {total} runs failed:", *map(one_line, failures), sep="\n  ", file=sys.stderr)
    if pool.interruptions:
        raise KeyboardInterrupt
    return [job.folder for job in (*outcome.skipped, *outcome.done)], len(failures)


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]
