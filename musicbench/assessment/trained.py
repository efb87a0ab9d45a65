"""Evaluate a trained run."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from musicbench.assessment.adapters import sampling_facts, trained_system
from musicbench.assessment.assess import assess_system
from musicbench.assessment.clips import held_out, tells_melodies
from musicbench.assessment.record import Facts, record
from musicbench.conditions.captions import cut_note
from musicbench.data.crop_codes import crop_codes
from musicbench.data.crops import evaluation_crops
from musicbench.data.stages import clips_seen
from musicbench.evaluation.likelihood import bits_per_token
from musicbench.runs import settings
from musicbench.runs.again import answer_folder, asked_again
from musicbench.runs.checkpoints import read_checkpoint
from musicbench.runs.folder import LAST, TRAINED
from musicbench.runs.run import Run
from musicbench.runs.trained_length import warn_beyond_training
from musicbench.runs.weights import load_trained, require_trained, require_weights, take_over


def assess_run(run: Run, folder: Path) -> Path:
    """Evaluate the best checkpoint of a run folder, write its record and return the record's path."""
    module = load_trained(run, folder)
    clips = held_out(run.jury)
    system = trained_system(run, module, run.parts.known)
    facts = Facts(
        kind="trained" if run.config.training.steps else "released",
        parameters=sum(p.numel() for p in module.parameters()),
        plan=system.cost(clips.frames),
        training=_training_facts(run, module, system, folder),
        sampling=sampling_facts(system.sampling),
    )
    findings = assess_system(run, clips, system, folder, speed=True)
    cut = cut_note(run.parts.encoder, clips.captions)
    findings.warnings += [] if cut is None else [cut]
    return record(run, clips, findings, facts, folder)


def warn_of_long_clips(run: Run) -> None:
    """Print a warning if a run is evaluated on clips that are longer than those of its training."""
    seconds = run.config.evaluation.seconds
    what = f"evaluation.seconds={seconds:g}"
    advice = "the figures also say how the model copes with that"
    warn_beyond_training(run.config, run.parts.store.frame_rate, what, seconds, advice)


def trained_run(config: DictConfig, argv: Sequence[str]) -> tuple[Run, Path]:
    """Open a finished training for evaluation; other judges or clips than its own get another folder.

    Args:
        config: configuration of ``musicbench evaluate``, with the run's folder and the judges.
        argv: the overrides from which it was composed.

    Returns:
        The run and its folder.

    Raises:
        UserError: there is no such training, or an override is none that a trained run takes.
    """
    again, folder = asked_again(config, argv)
    run = Run(again)
    require_trained(run, folder)
    warn_of_long_clips(run)
    answers = answer_folder(run, folder, argv)
    if answers != folder and not (answers / TRAINED).is_file():
        require_weights(folder)
        take_over(run, folder, answers)
    return run, answers


def _training_facts(run: Run, module: Any, system: Any, folder: Path) -> dict[str, Any] | None:
    """Return a training's length and time, and its bits on training and validation crops with averaged weights."""
    config, store = run.config, run.parts.store
    if config.training.steps == 0:
        return None
    last = read_checkpoint(folder / LAST, run.training_ids)
    steps = config.training.steps
    seen = list(clips_seen(settings.training_stages(config, store.frame_rate, config.training.batch_size), steps))
    bits: dict[str, float] = {}
    for split in ("train", "validation") if module.likelihood else ():
        crops = evaluation_crops(store, split, config.data.seconds, 1)
        # The gap needs no more training crops than there are validation crops.
        crops = crops[:: max(1, math.ceil(len(crops) / len(store.split("validation"))))]
        codes_NKT = crop_codes(store, crops)
        melodies = run.parts.melodies
        told = None if melodies is None or not tells_melodies(run.config) else [melodies.of(crop) for crop in crops]
        bits_NK = bits_per_token(system, codes_NKT, [crop.caption for crop in crops], told)
        bits[split] = float(bits_NK.sum(1).mean())
    return {
        "steps": steps,
        "frames": sum(clips * frames for frames, clips in seen),
        "positions": sum(clips * module.positions(frames) for frames, clips in seen),
        "loss_tokens": sum(clips * module.trained_tokens(frames) for frames, clips in seen),
        "flops": last["callbacks"]["Curve"]["flops"],
        "curve": last["callbacks"]["Curve"]["points"],
        "wall_seconds": last["callbacks"]["WallClock"]["seconds"],
        "computed": last["callbacks"]["Computation"]["stretches"],
        "best_step": module.best_step,
        "train_bits_per_frame": bits.get("train"),
        "validation_bits_per_frame": bits.get("validation"),
    }
