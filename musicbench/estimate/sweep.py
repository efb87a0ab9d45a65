"""Estimate all rows of a sweep file."""

from collections.abc import Sequence
from pathlib import Path

import torch

from musicbench.errors import UserError
from musicbench.estimate.assumed import assumed
from musicbench.estimate.report import Row, reasons, table
from musicbench.estimate.row import Hardware, estimate_row
from musicbench.launch.sweep_file import command_of, expand, settings
from musicbench.runs.overrides import read_overrides, require_harmless
from musicbench.study.environment import environment


def estimate_sweep(file: Path, at: Sequence[str], assumptions: Sequence[str], hardware: Hardware) -> list[str]:
    """Return the lines of the table and its assumptions; print a line for each row while it is estimated.

    Args:
        at: overrides, or YAML files with overrides, that are added to each row.
        assumptions: ``name=value``, see ``assumed``.

    Raises:
        UserError: the file, an override or an assumption is mistaken.
    """
    files = [one for one in at if one.endswith((".yaml", ".yml")) and "=" not in one]
    read_overrides([one for one in at if one not in files], typed=True)
    scale = [line for one in at for line in (settings(one) if one in files else [one])]
    if command_of(file) != "train":
        raise UserError(f"{file} trains nothing; there is nothing to estimate")
    lines = expand(file)
    require_harmless([*lines, scale])
    sizes = assumed(assumptions)
    rows: list[Row] = []
    trained: set[str] = set()
    for overrides in lines:
        print(f"estimating {' '.join([*overrides, *scale])}", flush=True)
        rows.append(estimate_row([*overrides, *scale], sizes, hardware, trained))
    if hardware.flops is None or hardware.mfu is None:
        which = f"this device ({_device_name()})"
    else:
        which = f"a device that does {hardware.flops * hardware.mfu:g} operations a second in every row"
    why = reasons(which, hardware.flops is None, hardware.devices, hardware.memory, sizes)
    return ["", table(rows), "", *why]


def _device_name() -> str:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine = environment(torch.get_num_threads(), gpu)["machine"]
    return gpu or f"{machine['cpu']}, {machine['threads']} threads"
