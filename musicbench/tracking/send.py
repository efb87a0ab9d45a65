"""Send records to an experiment tracker, after the evaluation that wrote them."""

from collections.abc import Callable
from pathlib import Path

from musicbench.runs.folder import finished
from musicbench.runs.run import Run


def assess_and_send(run: Run, assess: Callable[[Run], Path]) -> Path:
    """Evaluate a run, and send its record to W&B; a run that was finished before is sent once.

    Args:
        assess: returns the path of the run's record.
    """
    before = finished(run.folder)
    path = assess(run)
    send_record(run, path, once=before)
    return path


def send_record(run: Run, path: Path, once: bool = False) -> None:
    """Send a run's record to W&B, if the run is configured to be there; ``once``: unless W&B has it."""
    from musicbench.tracking.loggers import send, send_once  # Lightning takes seconds; judging does not wait for it

    (send_once if once else send)(run, path)
