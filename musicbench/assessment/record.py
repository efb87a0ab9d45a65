"""Write an evaluation's run record."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicbench.assessment.assess import Findings
from musicbench.assessment.clips import ClipRequest, judged_by
from musicbench.runs.device import device, environment_of
from musicbench.runs.folder import RECORD
from musicbench.runs.identity import NUMERICS, recorded_config, row_label
from musicbench.runs.run import Run
from musicbench.study.environment import command_line
from musicbench.study.records import write_record
from musicbench.study.run_record import SCHEMA


@dataclass
class Facts:
    """Facts of a system that a record holds besides the evaluation; all are null for baselines."""

    kind: str
    parameters: int | None = None
    plan: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    sampling: dict[str, Any] | None = None


def record(run: Run, clips: ClipRequest, findings: Findings, facts: Facts, folder: Path) -> Path:
    """Write ``record.json`` into the run folder and return its path."""
    content = {
        "schema": SCHEMA,
        "id": run.id,
        "row": row_label(run.plain),
        "kind": facts.kind,
        "config": recorded_config(run.plain),
        "seed": run.config.seed,
        "command": command_line(),
        "numerics": NUMERICS,
        **environment_of(device()),
        "parameters": facts.parameters,
        "plan": facts.plan,
        "training": facts.training,
        "protocol": {**clips.protocol(), **judged_by(run.jury, clips), "sampling": facts.sampling},
        "clips": [{"id": name, "piece": piece} for name, piece in zip(clips.ids, clips.pieces, strict=True)],
        "metrics": findings.metrics,
        "speed": findings.speed,
        **({} if findings.files is None else {"files": findings.files}),
        **({"warnings": findings.warnings} if findings.warnings else {}),
        "failures": findings.failures,
    }
    path = folder / RECORD
    write_record(path, content)  # type: ignore[arg-type]
    return path
