"""The rows of a sweep: runs at once on this machine, and the table that they fill."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from musicbench.assessment.baseline import assess_baseline
from musicbench.files import atomic_path
from musicbench.launch.locks import awaited, run_lock
from musicbench.launch.pool import Pool
from musicbench.launch.progress import progress
from musicbench.launch.slots import slots
from musicbench.names import one_line, visible
from musicbench.runs.compose import compose
from musicbench.runs.folder import RECORD
from musicbench.runs.run import Run
from musicbench.runs.settings import SYSTEMS
from musicbench.study.listening import fetch_samples
from musicbench.study.records import read_record
from musicbench.study.render import render_table
from musicbench.study.samples import record_path
from musicbench.study.table_spec import read_spec
from musicbench.sweep.jobs import committed_ids, resolve
from musicbench.tracking.loggers import assess_and_send


def train_all(
    lines: Sequence[list[str]], journal: Path, table: Path | None = None, jobs: int = 1, gpus: Sequence[str] = ()
) -> tuple[list[Path], int]:
    """Train and evaluate every run in a process of its own, as many at once as there are jobs.

    Args:
        lines: overrides of each run.
        journal: file to which starts, ends and failures are appended.
        table: folder of a table whose records count as finished.
        jobs: runs at once; one where a run spreads over several devices.
        gpus: names of the GPUs to share out; all that are visible where none is named.

    Returns:
        Folders of the runs that succeeded, now or before, and how many did not.

    Raises:
        KeyboardInterrupt: it was interrupted, after the runs have ended.
    """
    found = resolve(lines, committed_ids(table))
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
    """Names of the GPUs that this process may use."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(number) for number in range(torch.cuda.device_count())]


def assess_baselines(overrides: Sequence[str], table: Path) -> list[Path]:
    """Evaluate the rows of a table that need no training, under the protocol of a run's overrides; their folders."""
    trained_only = ("row", "label", "seed")
    common = [o for o in overrides if not o.lstrip("+~").startswith(trained_only)]
    folders, committed = [], committed_ids(table)
    for row in read_spec(table / "table.yaml")["rows"]:
        if row["row"] not in SYSTEMS:
            continue
        given = [*common, f"system={row['row']}"]
        run = Run(compose("evaluate", given))
        if run.id in committed:
            continue
        print(visible(f"\nmusicbench evaluate {shlex.join(given)}"), flush=True)
        with awaited(run_lock(run.folder), f"{row['row']} is being evaluated"):
            folders.append(assess_and_send(run, assess_baseline).parent)
    return folders


def fill_table(table: Path, folders: Sequence[Path]) -> None:
    """Put the records of finished runs into ``<table>/records`` and their audio beside them; render the table.

    Runs whose record the table has already may have no folder here.
    """
    here = [folder for folder in folders if (folder / RECORD).is_file()]
    for folder in here:
        found = read_record(folder / RECORD)
        with atomic_path(record_path(table, found)) as temporary:
            shutil.copyfile(folder / RECORD, temporary)
    fetch_samples(table, here)
    print()
    rendered = render_table(table)
    rendered.write()
    print(rendered.shown, end="")
