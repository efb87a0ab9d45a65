"""Train one run and evaluate it; an interrupted run goes on, a finished one is recognised."""

from musicbench.launch.quiet import company


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench train pattern=stack_delay seed=1``."""
    with company() as alone:
        from musicbench.runs.compose import compose

        config = compose("train", argv, typed=True)

        from musicbench.training.session import train

        train(config, alone)
    return 0
