"""What the rows of a sweep would cost at another scale: hours, memory and disk, before anything is paid."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.estimate.report import GB, Row, reasons, table

PUBLISHED = (
    "model=300m",
    "training.steps=400000",
    "training.batch_size=192",
    "training.length_warmup=[]",
    "data.seconds=30",
)
"""Stack-and-Delay's training of MusicGen's smallest model."""


def main(argv: list[str]) -> int:
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

    from musicbench.estimate.assumed import assumed
    from musicbench.launch.sweep_file import expand, settings
    from musicbench.runs.overrides import read_overrides, require_harmless

    given = PUBLISHED if arguments.at is None else arguments.at
    files = [one for one in given if one.endswith((".yaml", ".yml")) and "=" not in one]
    read_overrides([one for one in given if one not in files], typed=True)
    scale = [line for one in given for line in (settings(one) if one in files else [one])]
    lines = expand(arguments.file)
    require_harmless([*lines, scale])
    sizes = assumed(arguments.assume)
    rows: list[Row] = []
    trained: set[str] = set()
    for overrides in lines:
        print(f"reckoning {' '.join([*overrides, *scale])}", flush=True)
        rows.append(_row([*overrides, *scale], sizes, arguments, trained))
    measured = arguments.device_flops is None
    which = (
        f"this device ({_name()})"
        if measured
        else f"a device that does {arguments.device_flops * arguments.mfu:g} operations a second in every row"
    )
    memory = arguments.device_memory * GB
    print("\n".join(["", table(rows), "", *reasons(which, measured, arguments.devices, memory, sizes)]))
    return 0


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _name() -> str:
    """Of the device here."""
    import torch

    from musicbench.study.environment import environment

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    machine = environment(torch.get_num_threads(), gpu)["machine"]
    return gpu or f"{machine['cpu']}, {machine['threads']} threads"


def _row(overrides: Sequence[str], sizes: Any, arguments: Any, trained: set[str]) -> Row:
    """The estimate of a run; ``trained`` holds the trainings of earlier rows, which cost nothing again."""
    from musicbench.data.stages import clips_seen
    from musicbench.estimate.assumed import planned
    from musicbench.models.cost import training_flops
    from musicbench.models.footprint import CHECKPOINT, state_bytes
    from musicbench.runs.identity import row_label, training_id

    run = planned(overrides, sizes)
    training, module = run.config.training, run.empty_model()
    shape, passes = module.lm.shape, module.passes(run.frames)
    parameters = sum(p.numel() for p in module.parameters())

    def flops(frames: int) -> float:
        return training_flops(shape, module.passes(frames), sizes.caption_tokens)

    speed = _speed(overrides, run, arguments)
    seen = clips_seen(run.stages(training.batch_size), training.steps)
    seconds = sum(clips * flops(frames) for frames, clips in seen) / speed.flops_per_second
    seconds += training.steps * parameters * speed.update_seconds * arguments.devices
    identity = training_id(run.plain, {})
    if identity in trained:
        seconds = 0.0
    trained.add(identity)

    working = sizes.working_bytes
    state, per_clip = state_bytes(parameters, working), _clip_bytes(module, run, working)
    per_device = training.batch_size // arguments.devices
    clips = [n for n in range(per_device, 0, -1) if per_device % n == 0]
    fitting = [n for n in clips if state + n * per_clip <= arguments.device_memory * GB]
    samples = run.config.evaluation.samples * run.config.evaluation.seconds * sizes.sample_rate * 2
    return Row(
        row_label(run.plain),
        parameters,
        module.positions(run.frames),
        sum(one.share * one.pairs for one in passes),
        training.batch_size * flops(run.frames),
        speed.flops_per_second,
        speed.share_of_peak,
        seconds / 3600,
        per_device // fitting[0] if fitting else 0,
        state + (fitting[0] if fitting else 1) * per_clip,
        sizes.checkpoints * sum(CHECKPOINT.values()) * parameters + samples,
        speed.memory,
    )


class _Speed(NamedTuple):
    flops_per_second: float
    share_of_peak: float
    update_seconds: float
    memory: float | None


def _speed(overrides: Sequence[str], run: Any, arguments: Any) -> _Speed:
    """Of passes and updates: as assumed, or measured here on a shallower network."""
    if arguments.device_flops:
        # A share of the peak is that of whole steps, updates included.
        return _Speed(arguments.device_flops * arguments.mfu, arguments.mfu, 0.0, None)
    from musicbench.estimate.assumed import planned
    from musicbench.models.footprint import state_bytes
    from musicbench.runs.run import device
    from musicbench.speed.peak import measured_peak, working_dtype
    from musicbench.training.timed_steps import measure

    layers = min(run.assumed.measured_layers, run.config.model.layers)
    shallow = planned([*overrides, f"model.layers={layers}"], run.assumed)
    found = measure(shallow)
    module = shallow.empty_model()
    working = working_dtype(run.precision).itemsize
    formula = state_bytes(sum(p.numel() for p in module.parameters()), working)
    formula += run.assumed.measured_clips * _clip_bytes(module, shallow, working)
    share = found.flops_per_second / measured_peak(device(), run.precision)
    return _Speed(found.flops_per_second, share, found.update_seconds, found.peak_bytes and found.peak_bytes / formula)


def _clip_bytes(module: Any, run: Any, working: int) -> float:
    """Memory for one clip in a pass, at the pass that holds most."""
    from musicbench.models.footprint import activation_bytes

    kinds, tokens = zip(module.passes(run.frames), module.saved(run.frames), strict=True), run.assumed.caption_tokens
    return max(activation_bytes(module.lm.shape, work, saved, tokens, working) for work, saved in kinds)
