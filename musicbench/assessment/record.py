"""Write an evaluation's run record."""

import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from musicbench.assessment.assess import Findings
from musicbench.assessment.clips import Asked
from musicbench.runs.identity import NUMERICS, recorded_config, row_label
from musicbench.runs.run import device
from musicbench.study.environment import environment
from musicbench.study.records import read_record, write_record
from musicbench.study.run_record import SCHEMA

RECORD = "record.json"


def finished(folder: Path) -> bool:
    """Whether a run folder holds its record.

    Raises:
        UserError: there is one, but it is damaged.
    """
    if not (folder / RECORD).is_file():
        return False
    read_record(folder / RECORD)
    return True


@dataclass
class Facts:
    """What is known of a system besides its evaluation; all null for baselines."""

    kind: str
    parameters: int | None = None
    plan: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None


def record(asked: Asked, found: Findings, facts: Facts, identity: str, folder: Path) -> Path:
    """Write ``record.json`` into the run folder."""
    run = asked.run
    gpu = torch.cuda.get_device_name() if device().type == "cuda" else None
    content = {
        "schema": SCHEMA,
        "id": identity,
        "row": row_label(run.plain),
        "kind": facts.kind,
        "config": recorded_config(run.plain),
        "seed": run.config.seed,
        "command": shlex.join(["musicbench", *sys.argv[1:]]),
        "numerics": NUMERICS,
        **environment(torch.get_num_threads(), gpu),
        "parameters": facts.parameters,
        "plan": facts.plan,
        "training": facts.training,
        "protocol": asked.protocol(facts.sampling),
        "clips": [{"id": name, "piece": piece} for name, piece in zip(asked.ids, asked.pieces, strict=True)],
        "metrics": found.metrics,
        "speed": found.speed,
        **({} if found.files is None else {"files": found.files}),
        **({"warnings": found.warnings} if found.warnings else {}),
        "failures": found.failures,
    }
    path = folder / RECORD
    write_record(path, content)  # type: ignore[arg-type]
    return path
