"""Run a sweep file here, one run after the other, and fill its table; finished runs are skipped."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from musicbench.commands import estimate
from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.files import atomic_path


def main(argv: list[str]) -> int:
    """``musicbench sweep sweeps/patterns_10s.yaml --table results/patterns_10s``."""
    parser = Parser(prog="musicbench sweep", description=__doc__)
    parser.add_argument("file", type=Path, help="W&B sweep file (method: grid)")
    parser.add_argument("--output", type=Path, default=Path("runs"), help="folder of the run folders")
    parser.add_argument("--table", type=Path, metavar="FOLDER", help="folder with a table.yaml to fill")
    parser.add_argument("--dry-run", action="store_true", help="print the commands only")
    parser.add_argument("--estimate", action="store_true", help="hours, memory and disk instead; --estimate --help")
    if "--estimate" in argv:
        return estimate.main(argv)
    arguments = parser.parse_args(argv)

    from musicbench.launch.sweep_file import expand
    from musicbench.study.table_spec import read_spec

    runs = [[*overrides, f"output={arguments.output}"] for overrides in expand(arguments.file)]
    if arguments.dry_run:
        for overrides in runs:
            print(shlex.join(["musicbench", "train", *overrides]))
        return 0
    if arguments.table:
        read_spec(arguments.table / "table.yaml")  # a mistake there must not wait until all is trained
    folders = train_all(runs)
    if arguments.table:
        fill_table(arguments.table, [*folders, *assess_baselines(runs[0], arguments.table)])
    return 0 if len(folders) == len(runs) else 1


def train_all(runs: list[list[str]]) -> list[Path]:
    """Train and evaluate every run in a process of its own; the folders of those that succeeded."""
    folders, failures = [], []
    for number, overrides in enumerate(runs, 1):
        print(f"\n[{number}/{len(runs)}] musicbench train {' '.join(overrides)}", flush=True)
        try:
            folders.append(_train(overrides))
        except UserError as error:
            print(f"failed: {error}; the other runs go on", file=sys.stderr)
            failures.append(f"  musicbench train {shlex.join(overrides)}: {error}")
    if failures:
        print("\n".join([f"\n{len(failures)} of {len(runs)} runs failed:", *failures]), file=sys.stderr)
    return folders


def _train(overrides: list[str]) -> Path:
    """The folder of a run that is finished, now or already.

    Raises:
        UserError: it failed, with the reason that it left in its folder.
    """
    from musicbench.commands.assemble import Assembly
    from musicbench.commands.config import compose
    from musicbench.commands.recording import RECORD, finished
    from musicbench.commands.train import FAILED

    folder = Assembly(compose("train", overrides)).folder
    if finished(folder):
        print(f"finished already: {folder / RECORD}")
        return folder
    code = _call([sys.executable, "-m", "musicbench.cli", "train", *overrides])
    if code == 130:
        raise KeyboardInterrupt
    if code:
        left = folder / FAILED
        reason = left.read_text(encoding="utf-8").strip() if left.is_file() else "see above"
        raise UserError(f"exit code {code}, {reason}")
    return folder


def _call(command: list[str]) -> int:
    """Exit code of a command; on Ctrl-C the command is given the time to end by itself."""
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.wait()
            raise


def assess_baselines(overrides: list[str], table: Path) -> list[Path]:
    """Evaluate the rows of a table that need no training, under the protocol of a run's overrides."""
    from musicbench.commands.evaluate import SYSTEMS, assess_baseline
    from musicbench.study.table_spec import read_spec

    trained_only = ("row", "label", "seed")
    common = [o for o in overrides if not o.lstrip("+~").startswith(trained_only)]
    folders = []
    for row in read_spec(table / "table.yaml")["rows"]:
        if row["row"] in SYSTEMS:
            print(f"\nmusicbench evaluate system={row['row']} {' '.join(common)}", flush=True)
            folders.append(assess_baseline([*common, f"system={row['row']}"]))
    return folders


def fill_table(table: Path, folders: list[Path]) -> None:
    """Put the records of finished runs into ``<table>/records`` and their audio beside them; render the table."""
    from musicbench.commands import table as table_command
    from musicbench.commands.recording import RECORD
    from musicbench.study.listening import fetch_samples
    from musicbench.study.records import read_record

    for folder in folders:
        found = read_record(folder / RECORD)
        with atomic_path(table / "records" / f"{found['row']}-seed{found['seed']}.json") as temporary:
            shutil.copyfile(folder / RECORD, temporary)
    fetch_samples(table, folders)
    print()
    table_command.main([str(table)])
