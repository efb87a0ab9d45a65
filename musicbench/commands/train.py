"""Train one run and evaluate it; an interrupted run goes on, a finished one is recognised."""

import math
from contextlib import suppress
from pathlib import Path
from typing import Any

from musicbench.commands.identity import TRAINED
from musicbench.errors import UserError
from musicbench.files import atomic_path


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench train pattern=stack_delay seed=1``."""
    from musicbench.commands.config import compose

    config = compose("train", argv)

    from musicbench.commands.assemble import Assembly, set_threads
    from musicbench.commands.checkpoints import BEST, LAST
    from musicbench.commands.fit import fit
    from musicbench.commands.held_out import HeldOut
    from musicbench.commands.loggers import make_loggers, send_once, tracking
    from musicbench.commands.processes import is_first_process
    from musicbench.commands.recording import RECORD, finished
    from musicbench.commands.systems import sampling
    from musicbench.commands.trained import adopt, check_rescorer

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
    if (folder / TRAINED).is_file() and not (folder / BEST).is_file():
        # Going on from the last step would not bring the best one back.
        print(f"{folder / BEST} is gone: training again from the start")
        for name in (TRAINED, LAST):
            (folder / name).unlink(missing_ok=True)
    try:
        if (folder / FAILED).is_file():
            (folder / FAILED).unlink(missing_ok=True)
        loggers = make_loggers(run, folder)
        with tracking(loggers) as publish:
            if not all((folder / name).is_file() for name in (TRAINED, BEST, LAST)) and not adopt(run, folder):
                fit(run, folder, loggers)
                with atomic_path(folder / TRAINED) as temporary:
                    temporary.write_text(f"{run.training_identity}\n", encoding="utf-8")
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


FAILED = "failed.txt"


def assess_run(run: Any, folder: Path) -> Path:
    """Evaluate the best checkpoint of a run folder and write its record."""
    from musicbench.commands.assess import assess_system
    from musicbench.commands.held_out import HeldOut
    from musicbench.commands.recording import Facts, record
    from musicbench.commands.systems import sampling_facts
    from musicbench.commands.trained import load_trained, trained_system

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
    from musicbench.commands.checkpoints import LAST, read_checkpoint
    from musicbench.data.crops import evaluation_crops
    from musicbench.data.module import crop_codes
    from musicbench.data.stages import clips_seen
    from musicbench.evaluation.likelihood import bits_per_frame

    config = run.config
    last = read_checkpoint(folder / LAST)
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
        "best_step": module.best_step,
        "train_bits_per_frame": bits.get("train"),
        "validation_bits_per_frame": bits.get("validation"),
    }
