"""Turn the lines of a sweep into jobs of a pool: find their ids, finished runs and shared trainings."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from musicbench.errors import UserError
from musicbench.launch.job import Job
from musicbench.launch.locks import training_lock
from musicbench.runs.again import answer_folder, asked_again
from musicbench.runs.compose import compose
from musicbench.runs.contents import Contents
from musicbench.runs.folder import finished, lenders
from musicbench.runs.ids import NamedRun
from musicbench.study.records import read_records
from musicbench.study.samples import RECORDS

_PROGRAM = (sys.executable, "-m", "musicbench.cli")


def spelled(command: str, overrides: Sequence[str]) -> str:
    """Return the command of a run as a user types it."""
    return shlex.join(["musicbench", command, *overrides])


@dataclass
class Resolved:
    """The runs of a sweep.

    Attributes:
        jobs: a job for each run; lines that describe the same run share a job.
        mistaken: lines that describe no run, with the reason.
        alone: whether a run uses several devices, so that no other run fits beside it.
    """

    jobs: list[Job] = field(default_factory=list)
    mistaken: list[str] = field(default_factory=list)
    alone: bool = False


def resolve(command: str, lines: Sequence[list[str]], committed: set[str]) -> Resolved:
    """Make jobs of lines of overrides.

    Args:
        command: ``train`` or ``evaluate``.
        lines: overrides of it.
        committed: ids of runs whose records are in a table already.
    """
    found, folders = Resolved(), set[Path]()
    known: dict[str, Contents] = {}
    for overrides in lines:
        try:
            config = compose(command, overrides)
            place = None
            if config.get("run") is not None:
                config, place = asked_again(config, overrides)
            run = NamedRun(config, known.setdefault(Contents.key(config), Contents(config)))
            folder = run.folder if place is None else answer_folder(run, place, overrides)
            job = _job(run, folder, (*_PROGRAM, command, *overrides), committed)
        except UserError as error:
            found.mistaken.append(f"{spelled(command, overrides)}: {error}")
            continue
        if job.folder not in folders:
            folders.add(job.folder)
            found.jobs.append(job)
        found.alone |= run.config.trainer.devices != 1 or run.config.trainer.num_nodes != 1
    return found


def committed_ids(table: Path | None) -> set[str]:
    """Read the ids of the runs whose records a table has.

    Raises:
        UserError: a record is damaged.
    """
    return {record["id"] for record in read_records(table / RECORDS)} if table is not None else set()


def _job(run: NamedRun, folder: Path, command: tuple[str, ...], committed: set[str]) -> Job:
    identity, training = run.id, run.training_id
    return Job(
        folder,
        command,
        finished=lambda: identity in committed or finished(folder),
        common=training_lock(folder.parent, training),
        common_done=lambda: any(lenders(folder.parent, training)),
    )
