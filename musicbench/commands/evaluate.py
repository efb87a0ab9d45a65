"""Evaluate a baseline or reference system, or a trained run once more; writes its record."""

from pathlib import Path

SYSTEMS = ("ground_truth", "codec", "uniform", "unigram")


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench evaluate system=unigram`` or ``run=FOLDER``."""
    from musicbench.commands.config import compose, run_configuration
    from musicbench.errors import UserError

    config = compose("evaluate", argv)
    if (config.run is None) == (config.system is None):
        raise UserError(f"give either run=FOLDER or system=NAME, one of {', '.join(SYSTEMS)}")
    if config.system is not None and config.system not in SYSTEMS:
        raise UserError(f"unknown system {config.system!r}; choose one of {', '.join(SYSTEMS)}")

    from musicbench.commands.assemble import Assembly, set_threads
    from musicbench.commands.assess import RECORD
    from musicbench.commands.identity import TRAINED
    from musicbench.commands.train import assess_run

    if config.run is not None:
        set_threads(config)
        folder = Path(config.run)
        if any(not argument.startswith(("run=", "trainer.threads=")) for argument in argv):
            raise UserError("run=FOLDER brings its own configuration; give no overrides but trainer.threads")
        trained = run_configuration(folder)
        if not (folder / TRAINED).is_file():
            raise UserError(f"{folder} is no finished training; go on with `musicbench train`")
        print(f"record: {assess_run(Assembly(trained), folder)}")
    else:
        print(f"record: {assess_baseline(argv) / RECORD}")
    return 0


def assess_baseline(overrides: list[str]) -> Path:
    """Evaluate ``system=NAME`` under a configuration, unless that is done already; its run folder."""
    from musicbench.commands import assess
    from musicbench.commands.assemble import Assembly, set_threads
    from musicbench.commands.config import compose
    from musicbench.commands.systems import baseline

    config = compose("evaluate", overrides)
    set_threads(config)
    run, name = Assembly(config), config.system
    folder = run.folder
    if assess.finished(folder):
        return folder
    held = assess.HeldOut(run)
    if name == "ground_truth":
        found = assess.assess_originals(held, folder)
    elif name == "codec":
        found = assess.assess_codes(held, held.codes_NKT, folder, assess.Findings())
    else:
        found = assess.assess_system(held, baseline(run, name), folder, speed=False)
    kind = "reference" if name in ("ground_truth", "codec") else "baseline"
    assess.record(held, found, assess.Facts(kind), run.identity, folder)
    return folder
