"""Gather records for a table from a Weights & Biases project, or from run folders."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.names import visible
from musicbench.study.records import read_record
from musicbench.study.run_record import RunRecord
from musicbench.study.samples import RECORDS, record_path
from musicbench.study.table import build_table
from musicbench.study.table_spec import read_spec
from musicbench.temporaries import unhidden
from musicbench.tracking.wandb_settings import require_own_settings

_RECORD = "record.json"
RECORD_TYPE = "record"
"""Type of the W&B artifacts that hold a ``record.json``."""

T = TypeVar("T")


@dataclass(frozen=True)
class GatheredRecord:
    """A record, its file's content, and the place and time at which a run left it."""

    record: RunRecord
    content: bytes
    place: str
    time: datetime

    @property
    def cell(self) -> tuple[str, int]:
        """Row and seed; a table has one record for each such pair."""
        return self.record["row"], self.record["seed"]


def gather(table: Path, project: str | None, where: Sequence[str], runs: Path | None) -> None:
    """Fetch a table's records from a W&B project, from run folders, or from both.

    Args:
        project: ``entity/project``.
        where: conditions ``KEY=VALUE`` on W&B's runs.
        runs: the folder that holds run folders.

    Raises:
        UserError: a condition is mistaken, or there is no record of the table's rows.
    """
    rows = [row["row"] for row in read_spec(table / "table.yaml")["rows"]]
    for condition in where:
        if not condition.partition("=")[0].strip() or "=" not in condition:
            raise UserError(f"--where {condition}: write KEY=VALUE, such as sweep=ID")
    filters = dict(condition.split("=", 1) for condition in where)
    found = [] if project is None else from_project(project, rows, filters)
    found += [] if runs is None else from_folders(runs, rows)
    if not found:
        raise UserError(f"no record of this table's rows ({', '.join(rows)}) there; run its sweep first")
    put_into(table, newest(found))


def from_project(path: str, rows: Sequence[str], where: dict[str, str]) -> list[GatheredRecord]:
    """Fetch the records of some rows from the runs of a W&B project, and print a line about records left out.

    Args:
        path: ``entity/project``.
        where: W&B's filters of runs, such as ``{"sweep": ID}`` or ``{"tags": TAG}``.

    Raises:
        UserError: nobody is logged in, there is no such project, or W&B cannot be reached.
    """
    split_project(path)
    require_own_settings()
    found: list[GatheredRecord] = []
    others: set[str] = set()
    for artifact in _asked(path, lambda: list(_artifacts(path, where))):
        row = (artifact.metadata or {}).get("row")
        if isinstance(row, str) and row not in rows:
            others.add(row)
            continue
        with TemporaryDirectory() as folder:
            fetch = partial(artifact.download, root=folder, path_prefix=_RECORD)
            _asked(path, fetch)
            time = _asked(path, partial(datetime.fromisoformat, artifact.created_at))
            found += _read(Path(folder) / _RECORD, f"{path}/{artifact.name}", time, rows, others)
    _say_others(path, others)
    return found


def from_folders(folder: Path, rows: Sequence[str]) -> list[GatheredRecord]:
    """Read the records of some rows from the run folders below ``folder``, and print a line about records left out.

    Raises:
        UserError: there is no run folder.
    """
    paths = unhidden(folder, f"*/{_RECORD}")
    if not paths:
        raise UserError(f"{folder} holds no finished run; name the folder of the run folders")
    found: list[GatheredRecord] = []
    others: set[str] = set()
    for path in paths:
        found += _read(path, str(path), datetime.fromtimestamp(path.stat().st_mtime, UTC), rows, others)
    _say_others(str(folder), others)
    return found


def newest(records: Iterable[GatheredRecord]) -> list[GatheredRecord]:
    """Return the newest record for each row and seed, and print a line about older ones that differ from it."""
    kept: dict[tuple[str, int], GatheredRecord] = {}
    for one in sorted(records, key=lambda one: one.time):
        older = kept.get(one.cell)
        if older is not None and older.content != one.content:
            print(visible(f"{one.record['row']}, seed {one.record['seed']}: {one.place} is newer than {older.place}"))
        kept[one.cell] = one
    return [kept[cell] for cell in sorted(kept)]


def put_into(table: Path, records: Iterable[GatheredRecord]) -> None:
    """Write records into ``<table>/records`` in place of those of the same row and seed, if the table can be built.

    Raises:
        UserError: the records do not compare with each other or with those that are there, or a link leads out of
            the table's folder; nothing is written.
    """
    before = {path: read_record(path) for path in unhidden(table / RECORDS, "*.json")}
    places = {(record["row"], record["seed"]): path for path, record in before.items()}
    new = {places.get(one.cell, record_path(table, one.record)): one for one in records}
    after = before | {path: one.record for path, one in new.items()}
    build_table(read_spec(table / "table.yaml"), list(after.values()))
    for path, one in new.items():
        if path in before and before[path]["id"] != one.record["id"]:
            print(visible(f"{path.name}: run {one.record['id']} replaces {before[path]['id']}"))
        with atomic_path(path) as temporary:
            temporary.write_bytes(one.content)


def _artifacts(path: str, where: dict[str, str]) -> Iterator[Any]:
    import wandb

    for run in wandb.Api().runs(path, filters=where):
        yield from (artifact for artifact in run.logged_artifacts() if artifact.type == RECORD_TYPE)


def _asked(path: str, question: Callable[[], T]) -> T:
    """Ask W&B, and turn its errors into a ``UserError``."""
    import wandb

    try:
        return question()
    except (wandb.Error, ValueError, OSError) as error:
        raise UserError(
            f"Weights & Biases does not open {path} ({first_line(error)}); run `wandb login`, and name the project as "
            "its address does"
        ) from error


def split_project(path: str) -> tuple[str, str]:
    """Split ``ENTITY/PROJECT``.

    Raises:
        UserError: the path does not have exactly these two parts.
    """
    match path.split("/"):
        case [str(entity), str(project)] if entity and project:
            return entity, project
    raise UserError(f"{path!r} is no Weights & Biases project; write ENTITY/PROJECT")


def artifact_name(name: str) -> str:
    """Return a name that W&B allows for artifacts: fewer characters than a row may have, and at most 128."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:100] or "_"


def first_line(error: Exception) -> str:
    """Return the first line of an error of W&B."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _read(path: Path, place: str, time: datetime, rows: Sequence[str], others: set[str]) -> list[GatheredRecord]:
    try:
        record = read_record(path)
    except UserError as error:
        print(visible(f"left out {place}: {error}"))
        return []
    if record["row"] not in rows:
        others.add(record["row"])
        return []
    return [GatheredRecord(record, path.read_bytes(), place, time if time.tzinfo else time.replace(tzinfo=UTC))]


def _say_others(place: str, rows: set[str]) -> None:
    if rows:
        print(visible(f"{place}: left out rows that this table does not name: {', '.join(sorted(rows))}"))
