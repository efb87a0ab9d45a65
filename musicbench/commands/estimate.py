"""Estimate hours, memory and disk of a sweep's rows at another scale, before anything is paid."""

import argparse
from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError

PUBLISHED = (
    "model=300m",
    "training.steps=400000",
    "training.batch_size=192",
    "training.length_warmup=[]",
    "data.seconds=30",
)
"""Stack-and-Delay's training of MusicGen's smallest model."""


def print_estimate(argv: list[str]) -> int:
    """``musicbench sweep sweeps/patterns_10s.yaml --estimate``."""
    parser = Parser(prog="musicbench sweep --estimate", description=__doc__)
    parser.add_argument("file", type=Path, help="W&B sweep file (method: grid)")
    parser.add_argument("--estimate", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument(
        "--at",
        nargs="*",
        metavar="SCALE",
        help=f"overrides, or YAML files of them, on top of each row; nothing: rows as they are "
        f"(default: {' '.join(PUBLISHED)})",
    )
    parser.add_argument("--device-flops", type=_positive, metavar="N", help="peak of a device that is not here, 989e12")
    parser.add_argument("--mfu", type=_positive, metavar="SHARE", help="of that peak that training reaches, 0.4")
    parser.add_argument("--devices", type=int, default=1, metavar="N", help="that share the batch (default 1)")
    parser.add_argument(
        "--device-memory", type=_positive, default=80.0, metavar="GB", help="of one device (default 80)"
    )
    parser.add_argument("--assume", nargs="+", default=[], metavar="NAME=VALUE", help="other assumptions, as printed")
    arguments = parser.parse_args(argv)
    if (arguments.device_flops is None) != (arguments.mfu is None):
        raise UserError("--device-flops and --mfu belong together: a speed nobody measured is a share of a peak")
    if arguments.devices < 1:
        raise UserError(f"--devices {arguments.devices} must be at least 1")

    from musicbench.estimate.report import GB
    from musicbench.estimate.row import Hardware
    from musicbench.estimate.sweep import estimate_sweep

    hardware = Hardware(arguments.device_flops, arguments.mfu, arguments.devices, arguments.device_memory * GB)
    given = PUBLISHED if arguments.at is None else arguments.at
    print("\n".join(estimate_sweep(arguments.file, given, arguments.assume, hardware)))
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value
