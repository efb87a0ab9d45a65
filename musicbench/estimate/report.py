"""Render the table of an estimate, and the assumptions and methods behind its figures."""

from collections.abc import Sequence
from typing import NamedTuple

from musicbench.models.footprint import CHECKPOINT, STATE
from musicbench.text_table import text_table

GB = 1e9


class Row(NamedTuple):
    """Estimate of one run.

    Attributes:
        label: of the table row.
        parameters: of the network.
        positions, pairs: of a clip (the mean where passes differ).
        step_flops: operations of one optimiser step at full clip length.
        flops_per_second: speed of one device while passes run.
        share_of_peak: that speed beside what the device can do.
        hours: training time on one device.
        accumulate: the least number of batches a step with which the run fits; 0: it never fits.
        memory, disk: bytes at most.
        measured_memory: the measured peak over the peak by the formula, at the measured size.
    """

    label: str
    parameters: int
    positions: int
    pairs: float
    step_flops: float
    flops_per_second: float
    share_of_peak: float
    hours: float
    accumulate: int
    memory: float
    disk: float
    measured_memory: float | None


TITLES = (
    "row", "parameters (M)", "positions", "pairs (M)", "TFLOP/step", "TFLOP/s", "of peak", "hours", "accumulate",
    "memory (GB)", "disk (GB)", "memory measured/formula",
)  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """A line of text for each run, and their sum."""
    cells = [
        [
            row.label,
            f"{row.parameters / 1e6:.1f}",
            f"{row.positions}",
            f"{row.pairs / 1e6:.2f}",
            f"{row.step_flops / 1e12:.1f}",
            f"{row.flops_per_second / 1e12:.3g}",
            f"{row.share_of_peak:.0%}",
            f"{row.hours:,.1f}",
            f"{row.accumulate or 'too large'}",
            f"{row.memory / GB:.1f}",
            f"{row.disk / GB:.1f}",
            "-" if row.measured_memory is None else f"{row.measured_memory:.2f}",
        ]
        for row in rows
    ]
    disk = sum(row.disk for row in rows)
    cells.append(["total", *[""] * 6, f"{sum(row.hours for row in rows):,.1f}", "", "", f"{disk / GB:.1f}", ""])
    return text_table(TITLES, cells)


def reasons(device: str, measured: bool, devices: int, device_memory: float, sizes: object) -> list[str]:
    """Say in lines how the figures were computed and what they assume.

    Args:
        device: name of the device whose hours the table shows.
        measured: whether the device's speed was measured, not assumed.
        devices: how many devices share a batch.
        device_memory: memory of one device, bytes.
        sizes: the other assumptions, in words.
    """
    how = [
        "- Speed of passes is measured on random tokens and taken to be the same in a deeper network and a larger "
        "batch; the time of updates is measured apart and grows with the parameters.",
        "- Share of peak: the speed beside that of one large matrix product in the same precision.",
    ]
    if not measured:
        how = [
            "- Nothing was measured: kernels that suit some patterns less are not seen, and updates count as passes."
        ]
    return [
        f"Hours are of {device}, for training alone: no validation, checkpoints, evaluation, waiting for data or "
        f"communication; {devices} of them share a batch without loss.",
        *how,
        "- Operations: matrix products and attention over visible pairs, two for each multiplication and addition; a "
        "training step costs three forward passes (musicbench/models/cost.py).",
        f"- Memory a parameter: {_listed(STATE)}, and a copy in working precision; activations by formula "
        "(musicbench/models/footprint.py), none computed again. accumulate: the least training.accumulate that fits "
        f"into {device_memory / GB:g} GB.",
        f"- Disk a parameter and checkpoint: {_listed(CHECKPOINT)}.",
        "- Rows that differ in decoding alone share the training of the first of them.",
        "Assumed (--assume NAME=VALUE):",
        str(sizes),
    ]


def _listed(parts: dict[str, int]) -> str:
    return ", ".join(f"{name} {size} B" for name, size in parts.items())
