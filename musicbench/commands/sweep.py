"""Run a W&B sweep file here, several runs at once, and fill its table; finished runs are skipped."""

import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from musicbench.commands import estimate
from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.names import one_line, visible


def main(argv: list[str]) -> int:
    """``musicbench sweep sweeps/patterns_10s.yaml --table results/patterns_10s --jobs 2``."""
    parser = Parser(prog="musicbench sweep", description=__doc__)
    parser.add_argument("file", type=Path, help="W&B sweep file (method: grid or random)")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder of the run folders")
    parser.add_argument(
        "--table",
        type=Path,
        metavar="FOLDER",
        help="folder with a table.yaml to fill; its records count as done",
    )
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at once (default: one, or one on each of --gpus)")
    parser.add_argument("--gpus", metavar="0,1,2", help="GPUs to give to the runs, one each (default: all)")
    parser.add_argument("--count", type=int, metavar="N", help="runs of a random search (default: run_cap)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="seed of a random search's draws")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    parser.add_argument("--estimate", action="store_true", help="hours, memory and disk instead; --estimate --help")
    if "--estimate" in argv:
        return estimate.main(argv)
    arguments = parser.parse_args(argv)

    from musicbench.launch.slots import parse_gpus, threads
    from musicbench.launch.sweep_file import expand
    from musicbench.runs.overrides import require_harmless
    from musicbench.study.table_spec import read_spec
    from musicbench.sweep.jobs import spelled

    gpus = parse_gpus(arguments.gpus) if arguments.gpus is not None else []
    jobs = (len(gpus) or 1) if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise UserError(f"--jobs {jobs} must be at least 1")
    lines = [
        with_threads([*overrides, f"output={arguments.output}"], threads(jobs))
        for overrides in expand(arguments.file, arguments.count, arguments.seed)
    ]
    require_harmless(lines)
    if arguments.dry_run:
        for overrides in lines:
            print(visible(spelled(overrides)))
        return 0
    if arguments.table:
        read_spec(arguments.table / "table.yaml")  # a mistake there must not wait until all is trained
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]  # of this process, which evaluates the baselines
    journal = arguments.output / f"{arguments.file.stem}.sweep.jsonl"
    folders, failures = train_all(lines, journal, arguments.table, jobs, gpus)
    if arguments.table:
        fill_table(arguments.table, [*folders, *assess_baselines(lines[0], arguments.table)])
    return 1 if failures else 0


def with_threads(overrides: list[str], threads: int | None) -> list[str]:
    """Overrides with a run's share of the cores, unless they say how many themselves."""
    given = threads is None or any(override.startswith("trainer.threads=") for override in overrides)
    return overrides if given else [*overrides, f"trainer.threads={threads}"]


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
    from musicbench.launch.pool import Pool
    from musicbench.launch.progress import progress
    from musicbench.launch.slots import slots
    from musicbench.sweep.jobs import committed_ids, resolve

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


def assess_baselines(overrides: list[str], table: Path) -> list[Path]:
    """Evaluate the rows of a table that need no training, under the protocol of a run's overrides."""
    from musicbench.commands.evaluate import SYSTEMS, assess_baseline
    from musicbench.launch.locks import awaited, run_lock
    from musicbench.runs.compose import compose
    from musicbench.runs.run import Assembly
    from musicbench.study.table_spec import read_spec
    from musicbench.sweep.jobs import committed_ids

    trained_only = ("row", "label", "seed")
    common = [o for o in overrides if not o.lstrip("+~").startswith(trained_only)]
    folders, committed = [], committed_ids(table)
    for row in read_spec(table / "table.yaml")["rows"]:
        if row["row"] not in SYSTEMS:
            continue
        given = [*common, f"system={row['row']}"]
        run = Assembly(compose("evaluate", given))
        if run.identity in committed:
            continue
        print(visible(f"\nmusicbench evaluate {shlex.join(given)}"), flush=True)
        with awaited(run_lock(run.folder), f"{row['row']} is being evaluated"):
            folders.append(assess_baseline(given))
    return folders


def fill_table(table: Path, folders: list[Path]) -> None:
    """Put the records of finished runs into ``<table>/records`` and their audio beside them; render the table.

    Runs whose record the table has already may have no folder here.
    """
    from musicbench.assessment.record import RECORD
    from musicbench.commands import table as table_command
    from musicbench.study.listening import fetch_samples
    from musicbench.study.records import read_record
    from musicbench.study.samples import record_path

    here = [folder for folder in folders if (folder / RECORD).is_file()]
    for folder in here:
        found = read_record(folder / RECORD)
        with atomic_path(record_path(table, found)) as temporary:
            shutil.copyfile(folder / RECORD, temporary)
    fetch_samples(table, here)
    print()
    table_command.main([str(table)])
