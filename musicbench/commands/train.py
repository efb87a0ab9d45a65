"""Train one run and evaluate it; an interrupted run goes on, a finished one is recognised."""

import math
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.launch.job import FAILED
from musicbench.runs.identity import TRAINED


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench train pattern=stack_delay seed=1``."""
    from musicbench.runs.compose import compose

    config = compose("train", argv, typed=True)

    from musicbench.assessment.adapters import sampling
    from musicbench.assessment.clips import HeldOut
    from musicbench.assessment.record import RECORD, finished
    from musicbench.launch.locks import held, run_lock
    from musicbench.runs.run import Assembly, set_threads
    from musicbench.runs.weights import check_rescorer
    from musicbench.tracking.loggers import make_loggers, send_once, tracking
    from musicbench.training.processes import is_first_process

    set_threads(config)
    run = Assembly(config)
    folder = run.folder
    if finished(folder):
        print(f"finished already: {folder / RECORD}")
        send_once(run, folder / RECORD)
        return 0
    # A mistake in the evaluation's settings must not wait until training is over.
    sampling(run)
    check_rescorer(run)
    HeldOut(run)
    if is_first_process():
        print(f"run folder: {folder}")
    with _first_holds(held(run_lock(folder), f"{folder} is being trained")):
        try:
            if (folder / FAILED).is_file():
                (folder / FAILED).unlink(missing_ok=True)
            loggers = make_loggers(run, folder)
            with tracking(loggers) as publish:
                _train(run, folder, loggers)
                if is_first_process():
                    path = assess_run(run, folder)
                    publish(path)
                    print(f"record: {path}")
        except UserError as error:
            if folder.is_dir() and is_first_process():
                with suppress(UserError), atomic_path(folder / FAILED) as temporary:
                    temporary.write_text(f"{error}\n", encoding="utf-8")
            raise
    return 0


def _train(run: Any, folder: Path, loggers: list[Any]) -> None:
    """Make the run's weights, unless they are there; of processes that make the same ones, one after the other."""
    from musicbench.launch.locks import awaited, held, training_lock
    from musicbench.runs.weights import adopt, require_trained
    from musicbench.training.checkpoints import BEST, LAST
    from musicbench.training.fit import fit

    if (folder / TRAINED).is_file() and not (folder / BEST).is_file():
        # Going on from the last step would not bring the best one back.
        print(f"{folder / BEST} is gone: training again from the start")
        for name in (TRAINED, LAST):
            (folder / name).unlink(missing_ok=True)
    if all((folder / name).is_file() for name in (TRAINED, BEST, LAST)):
        require_trained(run, folder)
        return
    # Processes that torchrun or srun started beside this one would not wait with it.
    several = any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    hold = held if several else awaited
    with _first_holds(hold(training_lock(folder.parent, run.training_identity), "the same weights are being trained")):
        if not adopt(run, folder):
            fit(run, folder, loggers)
            with atomic_path(folder / TRAINED) as temporary:
                temporary.write_text(f"{run.training_identity}\n", encoding="utf-8")


def _first_holds(lock: AbstractContextManager[None]) -> AbstractContextManager[None]:
    """The lock in the first process of a run on several devices; nothing in the others."""
    from musicbench.training.processes import is_first_process

    return lock if is_first_process() else nullcontext()


def assess_run(run: Any, folder: Path) -> Path:
    """Evaluate the best checkpoint of a run folder and write its record."""
    from musicbench.assessment.adapters import sampling_facts
    from musicbench.assessment.assess import assess_system
    from musicbench.assessment.clips import HeldOut
    from musicbench.assessment.record import Facts, record
    from musicbench.runs.weights import load_trained, trained_system

    module = load_trained(run, folder)
    held = HeldOut(run)
    system = trained_system(run, module, run.captions.batch)
    facts = Facts(
        kind="trained",
        parameters=sum(p.numel() for p in module.parameters()),
        plan=module.cost(held.frames, system.sampling),
        training=_training_facts(run, module, system, folder),
        sampling=sampling_facts(system.sampling),
    )
    return record(held, assess_system(held, system, folder, speed=True), facts, run.identity, folder)


def _training_facts(run: Any, module: Any, system: Any, folder: Path) -> dict[str, Any]:
    """What training used, and where it ended on training and validation crops, both with averaged weights."""
    from musicbench.data.crops import evaluation_crops
    from musicbench.data.module import crop_codes
    from musicbench.data.stages import clips_seen
    from musicbench.evaluation.likelihood import bits_per_frame
    from musicbench.training.checkpoints import LAST, read_checkpoint

    config = run.config
    last = read_checkpoint(folder / LAST, run.training_identities)
    steps = config.training.steps
    seen = list(clips_seen(run.stages(config.training.batch_size), steps))
    bits: dict[str, float] = {}
    for split in ("train", "validation") if module.likelihood else ():
        crops = evaluation_crops(run.store, split, config.data.seconds, 1)
        # As many training crops as there are validation crops are enough for the gap.
        crops = crops[:: max(1, math.ceil(len(crops) / len(run.store.split("validation"))))]
        codes = crop_codes(run.store, crops)
        bits[split] = float(bits_per_frame(system, codes, [crop.caption for crop in crops]).mean())
    return {
        "steps": steps,
        "frames": sum(clips * frames for frames, clips in seen),
        "positions": sum(clips * module.positions(frames) for frames, clips in seen),
        "wall_seconds": last["callbacks"]["WallClock"]["seconds"],
        "computed": last["callbacks"]["Computation"]["stretches"],
        "best_step": module.best_step,
        "train_bits_per_frame": bits.get("train"),
        "validation_bits_per_frame": bits.get("validation"),
    }
