"""Make the loggers that record a run's curves while it trains."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger

from musicbench.errors import UserError
from musicbench.runs.compose import instantiated
from musicbench.runs.identity import family_name, has_pattern, row_label
from musicbench.runs.run import Run
from musicbench.tracking.wandb_run import KEPT, Tracker, in_sweep

_TRACKER = f"{Tracker.__module__}.{Tracker.__qualname__}"


def make_loggers(run: Run, folder: Path) -> list[Logger]:
    """Make the configured logger; any other logger than CSV gets a CSV log before it.

    Raises:
        UserError: the logger's options are wrong.
    """
    config = run.config.logger
    if config is None:
        return []
    facts = _facts(run) if config.get("_target_") == _TRACKER else {}
    made = instantiated("logger", config, save_dir=str(folder), **facts)
    place = made.log_dir
    if place is not None and not Path(place).resolve().is_relative_to(folder.resolve()):
        raise UserError(f"logger: {place} is outside of the run folder; choose another logger.name and logger.version")
    return [made] if isinstance(made, CSVLogger) else [CSVLogger(folder, name="logs"), made]


def tracker(loggers: list[Logger]) -> Tracker | None:
    """Return the logger that has a W&B run, if there is one."""
    return next((logger for logger in loggers if isinstance(logger, Tracker)), None)


@contextmanager
def tracking(loggers: list[Logger]) -> Iterator[Callable[[Path], None]]:
    """Yield a function that sends a ``record.json`` to W&B if a logger is W&B's; close W&B's run at the end."""
    tracked = tracker(loggers)
    failed = 1
    try:
        yield _nowhere if tracked is None else tracked.publish
        failed = 0
    finally:
        if tracked is not None:
            tracked.finish(failed)


def send(run: Run, path: Path) -> None:
    """Send the record in a run folder to W&B, if the run is configured to be there."""
    with tracking(make_loggers(run, path.parent)) as publish:
        publish(path)


def send_once(run: Run, path: Path) -> None:
    """Send the record of a run that was finished before, unless W&B has it (a W&B agent's sweep lacks it)."""
    if in_sweep() or not (path.parent / KEPT).is_file():
        send(run, path)


def _nowhere(record: Path) -> None:
    """Do nothing, because there is no W&B run."""


def _facts(run: Run) -> dict[str, Any]:
    """Return the facts that W&B gets when a run starts; the configuration's options override them."""
    own = run.plain["logger"]
    row = row_label(run.plain)
    tags = list(own["tags"])
    if not run.plain.get("system") and not run.plain.get("audio"):
        tags.append(family_name(run.plain))
        if has_pattern(run.plain):
            tags.append(run.plain["pattern"]["pattern"][:64])  # W&B refuses longer names.
    config = {key: value for key, value in run.plain.items() if key != "logger"}
    facts = {
        "id": run.id,
        "name": f"{row}-{run.id}",
        "group": row,
        "config": config | {"id": run.id, "row": row},
    }
    return {key: value for key, value in facts.items() if own.get(key) is None} | {"tags": tags}
