"""Train one run and evaluate it; an interrupted run goes on, a finished one is recognised."""

from musicbench.heavy import heavy_imports
from musicbench.runs.compose import compose


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench train pattern=stack_delay seed=1``."""
    config = compose("train", argv, typed=True)

    with heavy_imports():
        from musicbench.training.session import train

    train(config)
    return 0
