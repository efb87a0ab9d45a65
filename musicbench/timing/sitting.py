"""``musicbench time``: one session from a table's folder to its document, or several in processes of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from musicbench.errors import UserError
from musicbench.names import one_line
from musicbench.runs.device import device, environment_of
from musicbench.study.environment import command_line
from musicbench.study.table import load_table
from musicbench.study.timings import (
    SCHEMA,
    Document,
    document_path,
    read_timings,
    require_one_machine,
    write_document,
)
from musicbench.timing.session import time_batch
from musicbench.timing.subjects import Subjects, trained_records

LEAST_ROUNDS = 3
BUSY = 0.5
"""Load average above which something else than us computes."""


def require_settings(batches: Sequence[int], rounds: int, sessions: int, pause: float) -> None:
    """Refuse settings that measure nothing, or too little.

    Raises:
        UserError: names the setting.
    """
    if not batches or min(batches) < 1:
        raise UserError("--batches must be numbers of clips from 1, such as 1,4,16")
    if rounds < LEAST_ROUNDS:
        raise UserError(f"--rounds={rounds} shows no spread; give {LEAST_ROUNDS} or more")
    if sessions < 1 or pause < 0:
        raise UserError("--sessions must be 1 or more, --apart 0 seconds or more")


def sit(folder: Path, batches: Sequence[int], rounds: int, store: str, threads: int | None) -> Path | None:
    """Time the trained rows of a table in this process.

    Returns:
        The path of the document, which is not written without a row: a table takes no times of records beside one.
        Then a line says why, and this is None.

    Raises:
        UserError: the table has no trained record, a setting or the token store is wrong, or the folder holds times of
            another machine.
    """
    records = trained_records(load_table(folder))
    load = _load()
    if load and load[0] > BUSY:
        print(f"warning: the load average is {load[0]:.1f}: something else computes here", file=sys.stderr)
    maker = Subjects(max(batches), store, threads)
    subjects = maker.of(records)
    document = _document(rounds, load, maker.failures)
    path = document_path(folder, document)
    earlier = read_timings(folder)
    if earlier:
        require_one_machine(earlier[0], document, f"{path.parent} now", "a session here")
    for batch in batches if subjects else ():
        time_batch(subjects, batch, rounds, document, path)
    if not document["rows"]:
        reasons = one_line("; ".join(document["failures"]))
        print(f"musicbench: no row could be timed, so nothing is written: {reasons}", file=sys.stderr)
        return None
    document["load"]["after"] = _load()
    write_document(path, document)
    return path


def sit_apart(command: Sequence[str], sessions: int, pause: float) -> int:
    """Run a session's command several times, each in a process of its own, with a pause between them.

    Returns:
        0, or the exit code of the first that failed, which is the last one.
    """
    for number in range(sessions):
        if number:
            time.sleep(pause)
        print(f"session {number + 1} of {sessions}", file=sys.stderr)
        code = subprocess.run([sys.executable, "-m", "musicbench.cli", *command], check=False).returncode
        if code:
            return code
    return 0


def _document(rounds: int, load: list[float] | None, failures: Sequence[str]) -> Document:
    here = environment_of(device())
    return {
        "schema": SCHEMA,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": command_line(),
        "git": here["git"],
        "machine": here["machine"],
        "load": {"before": load, "after": None},
        "rounds": rounds,
        "rows": {},
        "failures": list(failures),
    }


def _load() -> list[float] | None:
    """Load averages of the machine; None where the system has none."""
    try:
        return [round(value, 2) for value in os.getloadavg()]
    except (AttributeError, OSError):
        return None
