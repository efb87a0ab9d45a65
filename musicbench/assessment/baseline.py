"""Evaluate a baseline or reference system."""

from pathlib import Path

from musicbench.assessment.adapters import baseline
from musicbench.assessment.assess import Findings, assess_codes, assess_originals, assess_system
from musicbench.assessment.clips import held_out
from musicbench.assessment.record import Facts, record
from musicbench.runs.folder import RECORD, finished
from musicbench.runs.run import Run


def assess_baseline(run: Run) -> Path:
    """Evaluate the configuration's ``system``, unless its record exists already; return the record's path."""
    folder, name = run.folder, run.config.system
    if finished(folder):
        return folder / RECORD
    clips = held_out(run.jury)
    if name == "ground_truth":
        findings = assess_originals(run, clips, folder)
    elif name == "codec":
        findings = assess_codes(run, clips, clips.codes_NKT, folder, Findings())
    else:
        findings = assess_system(run, clips, baseline(run.parts.store, name), folder, speed=False)
    kind = "reference" if name in ("ground_truth", "codec") else "baseline"
    return record(run, clips, findings, Facts(kind), folder)
