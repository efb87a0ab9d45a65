"""The estimate of one row of a sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

import torch
from omegaconf import DictConfig

from musicbench.data.stages import clips_seen
from musicbench.estimate.assumed import Assumed
from musicbench.estimate.report import Row
from musicbench.models.cost import training_flops
from musicbench.models.footprint import CHECKPOINT, activation_bytes, state_bytes
from musicbench.models.products import linear
from musicbench.runs.compose import compose
from musicbench.runs.device import device
from musicbench.runs.identity import row_label, training_id
from musicbench.runs.network import build_model
from musicbench.runs.settings import frames, plain, precision, training_stages
from musicbench.speed.peak import measured_peak, working_dtype
from musicbench.training.timed_steps import RandomBatches, time_steps


@dataclass(frozen=True)
class Hardware:
    """The hardware whose hours an estimate counts.

    Attributes:
        flops: peak of another device, operations a second; None: this machine's device is measured.
        mfu: share of that peak that training reaches.
        devices: how many share a batch.
        memory: memory of one device, bytes.
    """

    flops: float | None
    mfu: float | None
    devices: int
    memory: float


def estimate_row(overrides: Sequence[str], sizes: Assumed, hardware: Hardware, trained: set[str]) -> Row:
    """Estimate a run; ``trained`` holds the trainings of earlier rows, which cost nothing again.

    Raises:
        UserError: an override is mistaken.
    """
    config = planned(overrides)
    training, module, length = config.training, empty_model(config, sizes), frames(config, sizes.frame_rate)
    shape, passes = module.lm.shape, module.passes(length)
    parameters = sum(p.numel() for p in module.parameters())

    def flops(frames: int) -> float:
        return training_flops(shape, module.passes(frames), sizes.caption_tokens)

    speed = _speed(overrides, sizes, hardware)
    seen = clips_seen(training_stages(config, sizes.frame_rate, training.batch_size), training.steps)
    seconds = sum(clips * flops(frames) for frames, clips in seen) / speed.flops_per_second
    seconds += training.steps * parameters * speed.update_seconds * hardware.devices
    identity = training_id(plain(config), {})
    if identity in trained:
        seconds = 0.0
    trained.add(identity)

    state, per_clip = state_bytes(parameters, sizes.working_bytes), _clip_bytes(module, length, sizes)
    per_device = training.batch_size // hardware.devices
    clips = [n for n in range(per_device, 0, -1) if per_device % n == 0]
    fitting = [n for n in clips if state + n * per_clip <= hardware.memory]
    samples = config.evaluation.samples * config.evaluation.seconds * sizes.sample_rate * 2
    return Row(
        row_label(plain(config)),
        parameters,
        module.positions(length),
        sum(one.share * one.pairs for one in passes),
        training.batch_size * flops(length),
        speed.flops_per_second,
        speed.share_of_peak,
        seconds / 3600,
        per_device // fitting[0] if fitting else 0,
        state + (fitting[0] if fitting else 1) * per_clip,
        sizes.checkpoints * sum(CHECKPOINT.values()) * parameters + samples,
        speed.memory,
    )


def planned(overrides: Sequence[str]) -> DictConfig:
    """Compose overrides for one process on this machine's best device, with weights that need no codec.

    Raises:
        UserError: an override is mistaken.
    """
    return compose("train", [*overrides, "trainer=auto", "model.from_codebooks=false"])


def empty_model(config: DictConfig, sizes: Assumed) -> Any:
    """Build the LightningModule on the meta device, where its weights take no memory."""
    with torch.device("meta"):
        return build_model(config, sizes.network)


class _Speed(NamedTuple):
    flops_per_second: float
    share_of_peak: float
    update_seconds: float
    memory: float | None


def _speed(overrides: Sequence[str], sizes: Assumed, hardware: Hardware) -> _Speed:
    """Return the speed of passes and of updates, either assumed or measured here on a shallower network."""
    if hardware.flops is not None and hardware.mfu is not None:
        # The assumed share of the peak refers to whole steps, updates included.
        return _Speed(hardware.flops * hardware.mfu, hardware.mfu, 0.0, None)
    layers = min(sizes.measured_layers, planned(overrides).model.layers)
    config = planned([*overrides, f"model.layers={layers}"])
    length, clips, tokens = frames(config, sizes.frame_rate), sizes.measured_clips, sizes.caption_tokens
    module, chosen = build_model(config, sizes.network), precision(config)
    flops = clips * training_flops(module.lm.shape, module.passes(length), tokens)
    batches = RandomBatches(sizes.network, clips, length, tokens)
    found = time_steps(module, plain(config), chosen, batches, sizes.measured_steps)
    speed, parameters = flops / median(found.passes), sum(p.numel() for p in module.parameters())
    working = working_dtype(chosen).itemsize
    formula = float(state_bytes(parameters, working))
    formula += clips * _clip_bytes(module, length, sizes, working)
    memory = found.peak_bytes and found.peak_bytes / formula
    return _Speed(speed, speed / measured_peak(device(), chosen, linear), median(found.updates) / parameters, memory)


def _clip_bytes(module: Any, length: int, sizes: Assumed, working: int | None = None) -> float:
    """Return the memory that one clip takes in the pass that needs most.

    Args:
        working: bytes of a number in matrix products; None: the assumed number.
    """
    kinds, tokens = zip(module.passes(length), module.saved(length), strict=True), sizes.caption_tokens
    size = sizes.working_bytes if working is None else working
    return max(activation_bytes(module.lm.shape, work, saved, tokens, size) for work, saved in kinds)
