"""The table that a sweep fills: rows that need no training, records and audio of finished runs."""

import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from musicbench.assessment.baseline import assess_baseline
from musicbench.files import atomic_path
from musicbench.launch.locks import awaited, run_lock
from musicbench.names import visible
from musicbench.runs.again import asked_again
from musicbench.runs.compose import compose
from musicbench.runs.folder import RECORD
from musicbench.runs.run import Run
from musicbench.runs.settings import SYSTEMS
from musicbench.study.listening import fetch_samples
from musicbench.study.records import read_record
from musicbench.study.render import render_table
from musicbench.study.samples import record_path
from musicbench.study.table_spec import read_spec
from musicbench.sweep.jobs import committed_ids
from musicbench.tracking.send import assess_and_send


def assess_baselines(overrides: Sequence[str], table: Path) -> list[Path]:
    """Evaluate the rows of a table that need no training, under a run's protocol; return their folders."""
    of_models = ("row", "label", "seed", "run=")
    common = [o for o in overrides if not o.lstrip("+~").startswith(of_models)]
    folders, committed = [], committed_ids(table)
    asked = _of_finished_run(overrides)
    for row in read_spec(table / "table.yaml")["rows"]:
        if row["row"] not in SYSTEMS:
            continue
        given = [*common, f"system={row['row']}"]
        config = compose("evaluate", given)
        for group, part in asked.items():
            config[group] = part
        run = Run(config)
        if run.id in committed:
            continue
        print(visible(f"\nmusicbench evaluate {shlex.join(given)}"), flush=True)
        with awaited(run_lock(run.folder), f"{row['row']} is being evaluated"):
            folders.append(assess_and_send(run, assess_baseline).parent)
    return folders


def _of_finished_run(overrides: Sequence[str]) -> dict[str, Any]:
    """Return what decides which clips are judged, where a sweep's lines ask a finished run once more."""
    if not any(override.startswith("run=") for override in overrides):
        return {}
    config, _ = asked_again(compose("evaluate", overrides), overrides)
    return {group: config[group] for group in ("codec", "text", "data", "evaluation", "judges")}


def fill_table(table: Path, folders: Sequence[Path]) -> None:
    """Put the records of finished runs into ``<table>/records`` and their audio beside them; render the table.

    Runs whose record the table has already need no folder on this machine.
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
