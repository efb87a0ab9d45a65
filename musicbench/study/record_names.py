"""Checks the fields of a record that become paths or are looked up by name, whenever a record is read or written."""

import re

from musicbench.errors import UserError
from musicbench.names import require_name
from musicbench.study.run_record import RunRecord

_ID = re.compile(r"[0-9a-f]{8}")
_SEEDS = range(2**32)
_TOLD = ("1", "10")
"""The k of R@k that tables show."""


def require_names(record: RunRecord, source: str) -> None:
    """Refuse a record whose row, id or seed could lead a path astray, or that lacks figures that tables show.

    Raises:
        UserError: names the field and ``source`` (a file).
    """
    require_name(record["row"], f"{source}: row")
    if not _ID.fullmatch(record["id"]):
        raise UserError(f"{source}: id is {record['id'][:40]!r}; a run's id has eight hex digits, as in 0a1b2c3d")
    if record["seed"] not in _SEEDS:
        raise UserError(f"{source}: seed must be within 0 .. {_SEEDS[-1]}")
    if not all(clip["id"].strip() for clip in record["clips"]):
        raise UserError(f"{source}: a clip has an empty id; restore the record, or evaluate again")
    clap = record["protocol"].get("clap_mini")
    if clap is not None:
        for name, figures in {"chance": clap["chance"], **clap["recall"]}.items():
            if lacking := [k for k in _TOLD if k not in figures]:
                raise UserError(f"{source}: protocol.clap_mini lacks R@{lacking[0]} of {name}; evaluate again")
