"""Reads and writes run records (``record.json``); nothing else writes one."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.plain_files import read_json
from musicbench.regular_files import require_regular
from musicbench.schema import check
from musicbench.seals import sealed, unsealed
from musicbench.study.plausible import require_curve, require_speed
from musicbench.study.record_names import require_names
from musicbench.study.run_record import SCHEMA, RunRecord
from musicbench.temporaries import unhidden

LARGEST = 1 << 28
"""The most bytes that a record may have; records of thousands of clips have some millions."""


def write_record(path: Path | str, record: RunRecord) -> None:
    """Write a record atomically, in a stable key order, with its checksum.

    Numbers that are not finite become null, each with a line in ``failures``; lists of per-clip values and
    replicates are rounded to six significant digits. Numpy numbers and arrays are taken as they are.

    Raises:
        UserError: a field is missing, unknown, of the wrong type or contradicts another; nothing is written.
    """
    notes: list[str] = []
    plain = _plain(record, "", notes)
    plain["failures"] = [*plain.get("failures", []), *notes]
    _validate(plain, str(path))
    for metric in plain["metrics"].values():
        for name in metric.keys() & {"per_clip", "replicates"}:
            metric[name] = [value if value is None else float(f"{value:.6g}") for value in metric[name]]
    plain = sealed(plain)
    # One line a field: small files whose differences still show which field changed.
    lines = [f"{json.dumps(key)}: {json.dumps(plain[key], sort_keys=True)}" for key in sorted(plain)]
    with atomic_path(path) as temporary:
        temporary.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def read_record(path: Path | str) -> RunRecord:
    """Read and check one record.

    Raises:
        UserError: the file is missing, damaged, edited or of an unknown schema, or a field is wrong.
    """
    again = "restore it, or delete it and evaluate again"
    try:
        content = read_json(require_regular(path, LARGEST))
    except OSError as error:
        raise UserError(f"cannot read record {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(f"{path} is not a whole JSON record ({error}); {again}") from error
    if isinstance(content, dict) and content.get("schema") == SCHEMA:
        try:
            content = unsealed(content)
        except ValueError as error:
            raise UserError(f"{path} is damaged or was edited ({error}); {again}") from error
    _validate(content, str(path))
    return cast(RunRecord, content)


def read_records(folder: Path | str) -> list[RunRecord]:
    """All records ``*.json`` of a folder, in the order of their file names; an absent folder holds none.

    Raises:
        UserError: as ``read_record``, or two files hold the same run.
    """
    records: list[RunRecord] = []
    files: dict[str, Path] = {}
    for path in unhidden(Path(folder), "*.json"):
        record = read_record(path)
        if record["id"] in files:
            raise UserError(f"{path} and {files[record['id']]} are the same run {record['id']}; remove one")
        files[record["id"]] = path
        records.append(record)
    return records


def _validate(content: Any, source: str) -> None:
    if isinstance(content, dict) and content.get("schema") != SCHEMA:
        schema = repr(content["schema"]) if "schema" in content else "absent"
        raise UserError(
            f"{source}: record schema is {schema}, this musicbench reads {SCHEMA}; use the one that wrote it"
        )
    check(content, RunRecord, source)
    require_names(content, source)
    clips, protocol = content["clips"], content["protocol"]
    ids = {clip["id"] for clip in clips}
    counts = [
        ("clips", len(ids), len(clips)),
        ("protocol.clips", len(clips), protocol["clips"]),
        ("protocol.pieces", len({clip["piece"] for clip in clips}), protocol["pieces"]),
    ]
    for field, found, stated in counts:
        if found != stated:
            raise UserError(f"{source}: {field} says {stated}, but the clip list holds {found} different ones")
    for name, metric in content["metrics"].items():
        _validate_metric(metric, len(clips), source, f"metrics.{name}")
    for batch, speed in (content["speed"] or {}).items():
        require_speed(speed, batch, f"{source}: speed.{batch}")
    require_curve((content["training"] or {}).get("curve", []), f"{source}: training.curve")


def _validate_metric(metric: dict[str, Any], clips: int, source: str, field: str) -> None:
    values = metric.get("per_clip")
    if values is None:
        return
    if len(values) != clips:
        raise UserError(f"{source}: {field}.per_clip has {len(values)} values for {clips} clips")
    present = [value for value in values if value is not None]
    if metric["value"] is None or not present:
        return
    mean = sum(present) / len(present)
    if not math.isclose(mean, metric["value"], rel_tol=1e-3, abs_tol=1e-6):
        raise UserError(f"{source}: {field}.value is {metric['value']:.6g}, but its clips average {mean:.6g}")


def _plain(value: Any, field: str, notes: list[str]) -> Any:
    """The value in JSON's own types; ``notes`` names each null that stands for a number that is not finite."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item, f"{field}.{key}" if field else str(key), notes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        inner: list[str] = []
        items = [_plain(item, f"{field}[{index}]", inner) for index, item in enumerate(value)]
        if len(inner) > 1:
            inner = [f"{field}: {len(inner)} values of {len(items)} were not finite and are null"]
        notes.extend(inner)
        return items
    if isinstance(value, float) and not math.isfinite(value):
        notes.append(f"{field}: the value {value} is not finite and is null")
        return None
    return value
