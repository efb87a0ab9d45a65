"""One training session: train or resume a run, and evaluate it when its training is finished."""

import os
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

from lightning.pytorch.loggers import Logger
from omegaconf import DictConfig

from musicbench.assessment.adapters import require_rescorer, sampling
from musicbench.assessment.clips import require_ready
from musicbench.assessment.trained import assess_run, warn_of_long_clips
from musicbench.data.module import TokenDataModule
from musicbench.errors import UserError
from musicbench.files import atomic_path
from musicbench.generators.batch import Batch
from musicbench.launch.job import FAILED
from musicbench.launch.locks import awaited, held, run_lock, training_lock
from musicbench.runs import settings
from musicbench.runs.compose import write_configuration
from musicbench.runs.device import set_up
from musicbench.runs.folder import BEST, LAST, RECORD, TRAINED, finished, mark_trained
from musicbench.runs.run import Run
from musicbench.runs.weights import adopt, require_trained
from musicbench.tracking.loggers import make_loggers, send_once, tracking
from musicbench.training.fit import TrainerSettings, fit
from musicbench.training.processes import is_first_process
from musicbench.training.start import begin_with, start_weights, write_untrained


def train(config: DictConfig) -> None:
    """Train one run and evaluate it; an interrupted run is resumed, a finished one is recognised.

    Raises:
        UserError: a setting is mistaken, another process is at the same run, or training failed; the run's folder, if
            there is one, says why.
    """
    set_up(config)
    run = Run(config)
    folder = run.folder
    if finished(folder):
        print(f"finished already: {folder / RECORD}")
        send_once(run, folder / RECORD)
        return
    # A mistake in the evaluation's settings must not wait until training is over.
    sampling(run)
    _ = run.parts.caption_changes
    require_rescorer(run)
    require_ready(run.jury)
    if is_first_process():
        warn_of_long_clips(run)
        print(f"run folder: {folder}")
    with _first_holds(held(run_lock(folder), f"{folder} is being trained")):
        try:
            (folder / FAILED).unlink(missing_ok=True)
            loggers = make_loggers(run, folder)
            with tracking(loggers) as publish:
                _make_weights(run, folder, loggers)
                if is_first_process():
                    path = assess_run(run, folder)
                    publish(path)
                    print(f"record: {path}")
        except UserError as error:
            if folder.is_dir() and is_first_process():
                with suppress(UserError), atomic_path(folder / FAILED) as temporary:
                    temporary.write_text(f"{error}\n", encoding="utf-8")
            raise


def fit_run(run: Run, folder: Path, loggers: list[Logger]) -> None:
    """Train a run's network on its token store until the configured step; see ``fit``."""
    config, parts = run.config, run.parts
    # Loaded before the seed is set, because an encoder may draw random numbers while it loads.
    parts.load_conditions()
    module = run.model()
    if config.training.start is not None and not (folder / LAST).is_file():
        begin_with(module, start_weights(config.training.start), f"training.start={config.training.start}")
    if config.training.steps == 0:
        if is_first_process():
            write_configuration(run.plain, folder)
            write_untrained(run, module, folder)
        return

    def data(crops: int) -> TokenDataModule:
        return TokenDataModule(
            parts.store,
            parts.of_crops,
            Batch,
            settings.training_stages(config, parts.store.frame_rate, crops, config.training.accumulate),
            validation_per_piece=config.data.validation_per_piece,
            seed=config.seed,
            workers=config.data.workers,
            changes=parts.caption_changes,
            training_conditions=parts.of_training_crops,
        )

    trainer_settings = TrainerSettings(run.plain, settings.precision(config), run.training_id)
    fit(module, data, trainer_settings, folder, loggers)


def _make_weights(run: Run, folder: Path, loggers: list[Logger]) -> None:
    """Make the run's weights unless they exist; processes that need the same weights take turns."""
    if (folder / TRAINED).is_file() and not (folder / BEST).is_file():
        # Resuming at the last step would not bring back the best checkpoint.
        print(f"{folder / BEST} is gone: training again from the start")
        for name in (TRAINED, LAST):
            (folder / name).unlink(missing_ok=True)
    if all((folder / name).is_file() for name in (TRAINED, BEST, LAST)):
        require_trained(run, folder)
        return
    # Processes that torchrun or srun started beside this one would not wait for it.
    several = any(int(os.environ.get(name, "1")) > 1 for name in ("WORLD_SIZE", "SLURM_NTASKS"))
    hold = held if several else awaited
    with _first_holds(hold(training_lock(folder.parent, run.training_id), "the same weights are being trained")):
        if not adopt(run, folder):
            fit_run(run, folder, loggers)
            mark_trained(folder, run.training_id)


def _first_holds(lock: AbstractContextManager[None]) -> AbstractContextManager[None]:
    """Hold the lock in the first process of a run on several devices; do nothing in the others."""
    return lock if is_first_process() else nullcontext()
