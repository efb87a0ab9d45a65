"""Run a W&B sweep file here, several runs at once, and fill its table; finished runs are skipped."""

import os
from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.commands.estimate import print_estimate
from musicbench.errors import UserError
from musicbench.names import visible


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
        return print_estimate(argv)
    arguments = parser.parse_args(argv)

    from musicbench.launch.slots import parse_gpus, threads, with_threads
    from musicbench.launch.sweep_file import command_of, expand
    from musicbench.runs.overrides import require_harmless
    from musicbench.study.table_spec import read_spec
    from musicbench.sweep.jobs import spelled
    from musicbench.sweep.rows import run_all

    gpus = parse_gpus(arguments.gpus) if arguments.gpus is not None else []
    jobs = (len(gpus) or 1) if arguments.jobs is None else arguments.jobs
    if jobs < 1:
        raise UserError(f"--jobs {jobs} must be at least 1")
    command = command_of(arguments.file)
    lines = [
        with_threads([*overrides, f"output={arguments.output}"], threads(jobs))
        for overrides in expand(arguments.file, arguments.count, arguments.seed)
    ]
    require_harmless(lines)
    if arguments.dry_run:
        for overrides in lines:
            print(visible(spelled(command, overrides)))
        return 0
    if arguments.table:
        read_spec(arguments.table / "table.yaml")  # A mistake in it must not wait until all runs are trained.
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[0]  # This process evaluates the baselines on it.
    journal = arguments.output / f"{arguments.file.stem}.sweep.jsonl"
    folders, failures = run_all(command, lines, journal, arguments.table, jobs, gpus)
    if arguments.table:
        # Imported late, because it needs torch and the runs' ids do not.
        from musicbench.sweep.table import assess_baselines, fill_table

        fill_table(arguments.table, [*folders, *assess_baselines(lines[0], arguments.table)])
    return 1 if failures else 0
