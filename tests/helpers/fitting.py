"""Training without evaluation."""

from pathlib import Path

from musicbench.runs.run import Run


def fit(run: Run, folder: Path) -> None:
    """Train a run with the loggers of its configuration."""
    from musicbench.tracking.loggers import make_loggers
    from musicbench.training.session import fit_run

    fit_run(run, folder, make_loggers(run, folder))
