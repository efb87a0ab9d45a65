"""Documents of times: what ``musicbench time`` measured of all rows of a table in one sitting, beside its records."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict, cast

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.plain_files import read_json
from musicbench.regular_files import require_regular
from musicbench.schema import check
from musicbench.seals import content_sha256, sealed, unsealed
from musicbench.study.plausible import require_seconds, require_speed
from musicbench.study.run_record import Git, Machine, RunRecord, Speed
from musicbench.temporaries import unhidden

SCHEMA = 1
TIMINGS = "timings"
"""Folder of a table that holds its documents of times."""

LARGEST = 1 << 26
"""The most bytes that a document may have; one of fifty rows has some hundred thousand."""

_TIMED_BY = ("family", "pattern", "schedule", "model", "decode", "codec", "text")
"""Groups of a configuration on which a time depends; it depends on neither weights nor seeds."""

_SAME = ("cpu", "isa", "threads", "gpu", "torch")
"""Fields of a machine in which the documents of a table must agree."""


class TimedBatch(TypedDict):
    """One row at one batch size: its ``speed`` (times are medians of the rounds, which are its ``repeats``).

    ``floor_seconds``: median of ``floors``, the seconds that the matrix products of token generation alone took in the
    same rounds; null (and no floors) where calls bound small products, as on GPUs. ``again``: how often this cell was
    timed anew because its rounds differed too much.
    """

    speed: Speed
    floor_seconds: float | None
    floors: list[float]
    again: int


class TimedRow(TypedDict):
    """A row: the id of the record whose configuration was timed, the hash of that configuration, times by batch."""

    record: str
    configuration: str
    batches: dict[str, TimedBatch]


class Load(TypedDict):
    """Load averages of the machine (1, 5, 15 minutes); ``after`` is null in a session that did not reach its end."""

    before: list[float] | None
    after: list[float] | None


class Document(TypedDict):
    """One session: every row of a table timed in one process, rows taking turns. ``date`` is its start, UTC."""

    schema: int
    date: str
    command: str
    git: Git
    machine: Machine
    load: Load
    rounds: int
    rows: dict[str, TimedRow]
    failures: list[str]


def timed_configuration(record: RunRecord) -> str:
    """Hash of what a time depends on in a record's configuration; seeds of one row share it."""
    config = record["config"]
    evaluation = cast(Mapping[str, Any], config.get("evaluation", {}))
    return content_sha256([{group: config.get(group) for group in _TIMED_BY}, evaluation.get("seconds")])


def began(document: Document) -> datetime:
    """The start of a session."""
    return datetime.fromisoformat(document["date"])


def document_path(folder: Path, document: Document) -> Path:
    """Where a document belongs: ``<folder>/timings/<instruction set or GPU>-<UTC time to the second>.json``."""
    machine = document["machine"]
    place = (machine["gpu"] or machine.get("isa") or machine["cpu"]).lower().replace(" ", "_").replace("/", "_")
    return folder / TIMINGS / f"{place}-{began(document):%Y%m%dt%H%M%Sz}.json"


def write_document(path: Path, document: Document) -> None:
    """Write a document whole or not at all, with its checksum, one line a field.

    Raises:
        UserError: a field is wrong, or the file cannot be written.
    """
    _validate(document, str(path))
    content = sealed(cast(dict[str, Any], document))
    lines = [f"{json.dumps(key)}: {json.dumps(content[key], sort_keys=True, allow_nan=False)}" for key in content]
    with atomic_path(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_document(path: Path) -> Document:
    """Read and check one document.

    Raises:
        UserError: the file is missing, damaged, edited or of an unknown schema, or a field is wrong.
    """
    again = "restore it, or delete it and time the table again"
    try:
        content = unsealed(read_json(require_regular(path, LARGEST)))
    except OSError as error:
        raise UserError(f"cannot read times {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged or was edited ({error}); {again}") from error
    _validate(content, str(path))
    return cast(Document, content)


def read_timings(folder: Path) -> list[Document]:
    """The documents of a table's folder by their start; an absent folder holds none.

    Raises:
        UserError: as ``read_document``, or two documents are of different machines.
    """
    paths = unhidden(folder / TIMINGS, "*.json")
    documents = [read_document(path) for path in paths]
    for path, document in zip(paths, documents, strict=True):
        require_one_machine(documents[0], document, str(paths[0]), str(path))
    return sorted(documents, key=began)


def require_one_machine(one: Document, other: Document, source: str, other_source: str) -> None:
    """Refuse times of two machines: they do not compare.

    Raises:
        UserError: names the files and what differs.
    """
    left, right = cast(dict[str, Any], one["machine"]), cast(dict[str, Any], other["machine"])
    different = [
        f"{key} ({left.get(key)} against {right.get(key)})" for key in _SAME if left.get(key) != right.get(key)
    ]
    if different:
        raise UserError(
            f"{source} and {other_source} are times of two machines: they differ in {', '.join(different)}; keep those "
            "of one machine"
        )


def _validate(content: Any, source: str) -> None:
    if isinstance(content, dict) and content.get("schema") != SCHEMA:
        raise UserError(f"{source}: schema of times is {content.get('schema')!r}, this musicbench reads {SCHEMA}")
    check(content, Document, source)
    try:
        in_utc = began(content).utcoffset() == timedelta(0)
    except ValueError:
        in_utc = False
    if not in_utc:
        raise UserError(f"{source}: date is {content['date'][:40]!r}; it must be a time in UTC, with +00:00")
    if not content["rows"]:
        raise UserError(f"{source} holds no row; delete it, because a table takes no times of records beside it")
    for row, timed in content["rows"].items():
        for batch, cell in timed["batches"].items():
            _validate_cell(cell, batch, f"{source}: rows.{row}.batches.{batch}")


def _validate_cell(cell: TimedBatch, batch: str, where: str) -> None:
    require_speed(cell["speed"], batch, where)
    if cell["floor_seconds"] is not None:
        require_seconds([cell["floor_seconds"]], where)
