"""Reads the file that W&B keeps of a run, with W&B's own messages: what `wandb sync` would send.

The container is LevelDB's log: after 7 bytes of W&B's come blocks of 32 KiB with pieces of records, each behind a
checksum, its length and whether it is whole (1), or first (2), middle (3) or last (4) of its record.
"""

import json
import struct
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7


class RunFile:
    """Everything of one start of a run; ``summary``, ``config`` and each row of ``history`` are nested."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent
        self.config: dict[str, Any] = {}
        self.summary: dict[str, Any] = {}
        self.history: list[dict[str, Any]] = []
        self.artifacts: list[Any] = []
        self.run: Any = None
        self.exit_code: int | None = None
        for record in _records(path.read_bytes()):
            match record.WhichOneof("record_type"):
                case "run":
                    self.run = record.run
                    _put(self.config, record.run.config.update)
                case "config":
                    _put(self.config, record.config.update)
                case "summary":
                    _put(self.summary, record.summary.update)
                case "history":
                    self.history.append({})
                    _put(self.history[-1], record.history.item)
                case "artifact":
                    self.artifacts.append(record.artifact)
                case "exit":
                    self.exit_code = record.exit.exit_code

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(Global step, value) of a metric."""
        return [(row["trainer/global_step"], row[name]) for row in self.history if name in row]


def run_files(folder: Path) -> list[RunFile]:
    """All offline starts below ``<folder>/wandb``, the oldest first."""
    paths = (folder / "wandb").glob("offline-run-*/run-*.wandb")
    # The folder's name has seconds only.
    return [RunFile(path) for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)]


def _records(data: bytes) -> Any:
    assert data[:4] == b":W&B"
    place, whole = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        whole += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            whole = b""
            yield record


def _put(tree: dict[str, Any], items: Any) -> None:
    for item in items:
        *groups, name = list(item.nested_key) or [item.key]
        place = tree
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = json.loads(item.value_json)
