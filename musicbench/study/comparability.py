"""Decides whether records may stand in one table: refuses numbers that do not compare, notes those that barely do."""

from collections.abc import Mapping, Sequence
from typing import Any

from musicbench.errors import UserError
from musicbench.study.run_record import Computed, Machine, RunRecord

_SAID = 4  # differences that an error names


def require_comparable(records: Sequence[RunRecord], varied: Sequence[str] = ()) -> None:
    """Refuse records evaluated in different ways, and seeds of one row that differ in more than the seed.

    Sampling is compared between records that have the same kind of it: baselines do not sample, and families do it in
    ways of their own.

    Args:
        varied: parts of the sampling settings that the table is about, in which rows may differ.

    Raises:
        UserError: names the two runs and the fields in which they differ.
    """
    for other in records[1:]:
        _require_equal(_evaluation(records[0]), _evaluation(other), records[0], other)
    first_of: dict[str, RunRecord] = {}
    for other in records:
        if other["protocol"]["sampling"] is not None:
            first = first_of.setdefault(str(other["protocol"]["sampling"].get("kind")), other)
            _require_equal(_sampling(first, varied), _sampling(other, varied), first, other)
    by_row: dict[str, list[RunRecord]] = {}
    for record in records:
        for earlier in by_row.get(record["row"], []):
            if earlier["seed"] == record["seed"]:
                raise UserError(f"{_name(earlier)} and {_name(record)} are one row and one seed; keep one of them")
            _require_equal(_recipe(earlier), _recipe(record), earlier, record)
        by_row.setdefault(record["row"], []).append(record)


def provenance_notes(records: Sequence[RunRecord], sittings: bool = False) -> list[str]:
    """Footnotes on mixed or modified source, processes and machines, on failures, warnings and skipped files.

    Args:
        sittings: times come from ``musicbench time``, not from the records.
    """
    notes = []
    commits = sorted({(record["git"]["commit"] or "unknown")[:12] for record in records})
    if len(commits) > 1:
        notes.append(f"The runs come from {len(commits)} commits ({', '.join(commits)}).")
    dirty = sorted({record["row"] for record in records if record["git"]["dirty"]})
    if dirty:
        notes.append(f"Uncommitted changes were present in runs of {', '.join(dirty)}.")
    notes += _computed_notes(records)
    timed = {machine_name(record) for record in records if record["speed"] and not sittings}
    if len(timed) > 1:
        notes.append(f"Times were measured on different machines and do not compare: {'; '.join(sorted(timed))}.")
    warned: dict[str, list[str]] = {}
    for record in records:
        for warning in record.get("warnings", []):
            warned.setdefault(warning, []).append(_name(record))
    for warning, names in warned.items():
        where = "all runs" if len(names) == len(records) else ", ".join(names)
        notes.append(f"Warning, {where}: {warning}.")
    for record in records:
        notes.extend(f"Run {_name(record)}: {failure}." for failure in record["failures"])
        skipped = record["files"]["skipped"] if "files" in record else {}
        notes.extend(f"Run {_name(record)}: {count} files skipped, {reason}." for reason, count in skipped.items())
    return notes


def _computed_notes(records: Sequence[RunRecord]) -> list[str]:
    """A footnote if trainings ran on different numbers or kinds of devices, as far as the records know."""
    rows: dict[str, list[str]] = {}
    for record in records:
        if record["training"] and record["training"].get("computed"):
            way = ", then ".join(map(_said, record["training"]["computed"]))
            rows.setdefault(way, []).append(_name(record))
    if len(rows) < 2:
        return []
    listed = "; ".join(f"{way} ({', '.join(names)})" for way, names in rows.items())
    return [f"Training was computed in different ways, on which the last digits depend: {listed}."]


def _said(computed: Computed) -> str:
    processes = computed["processes"]
    return f"{processes} process{'es' if processes > 1 else ''} on {computed['device']}"


def machine_name(record: RunRecord) -> str:
    """One phrase about the machine that evaluated a run, and timed it."""
    return machine_phrase(record["machine"])


def machine_phrase(machine: Machine) -> str:
    """One phrase: processor, threads used of the cores there are, and GPU if any."""
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    return f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores{gpu}"


def _evaluation(record: RunRecord) -> dict[str, Any]:
    protocol: dict[str, Any] = {key: value for key, value in record["protocol"].items() if key != "sampling"}
    # The same files may lie in a folder of another name.
    protocol["reference"] = {key: value for key, value in record["protocol"]["reference"].items() if key != "id"}
    return _flat({"protocol": protocol, "numerics": record["numerics"], "clips": record["clips"]})


def _sampling(record: RunRecord, varied: Sequence[str]) -> dict[str, Any]:
    flat = _flat({"protocol.sampling": record["protocol"]["sampling"]})
    return {key: value for key, value in flat.items() if key.removeprefix("protocol.sampling.") not in varied}


def _recipe(record: RunRecord) -> dict[str, Any]:
    config = {key: value for key, value in record["config"].items() if key != "seed"}
    return _flat({key: record[key] for key in ("kind", "parameters", "plan")} | {"config": config})


def _require_equal(left: dict[str, Any], right: dict[str, Any], one: RunRecord, other: RunRecord) -> None:
    different = [key for key in sorted(left.keys() | right.keys()) if left.get(key) != right.get(key)]
    if not different:
        return
    said = [
        "the clips or their order" if key == "clips" else f"{key} ({left.get(key)} against {right.get(key)})"
        for key in different[:_SAID]
    ]
    more = f" and {len(different) - _SAID} more" if len(different) > _SAID else ""
    raise UserError(
        f"{_name(one)} and {_name(other)} differ in {', '.join(said)}{more} and do not belong in one table; "
        "evaluate both in one way, or split the table"
    )


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat


def _name(record: RunRecord) -> str:
    return f"{record['row']} seed {record['seed']} ({record['id'][:12]})"
