"""Evaluate a baseline or reference system, a trained run once more, or a folder of audio; writes a record."""

from pathlib import Path
from typing import Any

SYSTEMS = ("ground_truth", "codec", "uniform", "unigram")
MODES = ("run", "system", "audio", "prompts")
_AGAIN = ("run=", "trainer.threads=", "judges", "evaluation.", "data.store=")


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench evaluate system=unigram``, ``run=FOLDER`` or ``audio=FOLDER``."""
    from musicbench.errors import UserError
    from musicbench.runs.compose import compose

    config = compose("evaluate", argv, typed=True)
    if sum(config[mode] is not None for mode in MODES) != 1:
        raise UserError(
            f"give one of run=FOLDER, system=NAME ({', '.join(SYSTEMS)}), audio=FOLDER (sound of any system) and "
            "prompts=FILE (write the held-out captions)"
        )
    if config.system is not None and config.system not in SYSTEMS:
        raise UserError(f"unknown system {config.system!r}; choose one of {', '.join(SYSTEMS)}")

    for key in ("captions", "originals"):
        if config[key] is not None and config.audio is None:
            raise UserError(f"{key}= goes with audio=FOLDER; leave it out")
    if config.originals is not None and config.captions is None:
        raise UserError("originals= goes with captions=FILE; held-out clips have their originals already")

    from musicbench.assessment.clips import HeldOut, write_prompts
    from musicbench.assessment.external import assess_folder
    from musicbench.assessment.record import RECORD
    from musicbench.runs.run import Assembly, set_threads

    set_threads(config)
    if config.run is not None:
        print(f"record: {_again(config, argv)}")
    elif config.system is not None:
        print(f"record: {assess_baseline(argv) / RECORD}")
    elif config.audio is not None:
        print(f"record: {assess_folder(Assembly(config))}")
    else:
        held = HeldOut(Assembly(config))
        write_prompts(held, Path(config.prompts))
        print(
            f"{len(held.captions)} captions: {config.prompts}; make their audio, each under its name, in one folder, "
            "and go on with the same settings and audio=FOLDER row=NAME instead of prompts="
        )
    return 0


def _again(config: Any, argv: list[str]) -> Path:
    """Evaluate a finished training by its own configuration; or by other judges or clips, then in another folder."""
    from musicbench.commands.train import assess_run
    from musicbench.errors import UserError
    from musicbench.runs.compose import amend, run_configuration
    from musicbench.runs.identity import TRAINED
    from musicbench.runs.overrides import read_overrides
    from musicbench.runs.run import Assembly
    from musicbench.runs.weights import require_trained, require_weights, take_over
    from musicbench.tracking.loggers import send

    folder = Path(config.run).resolve()
    # Code of one's own may be named again: a run folder cannot allow it.
    named = [s.text for s in read_overrides(argv) if any(True for _ in s.named) and not s.text.startswith("judges")]
    if any(not argument.startswith(_AGAIN) and argument not in named for argument in argv):
        raise UserError(
            "run=FOLDER brings its own configuration; give no overrides but judges, evaluation, data.store (if it was "
            "moved) and trainer.threads"
        )
    moved = [a for a in argv if a.startswith("data.store=")]
    again = amend(run_configuration(folder), [*moved, *named, *(a for a in argv if a.startswith("evaluation."))])
    if any(argument.startswith("judges") for argument in argv):
        again.judges = config.judges
    again.output = str(folder.parent)
    if not (folder / TRAINED).is_file():
        raise UserError(f"{folder} is no finished training; go on with `musicbench train`")
    run = Assembly(again)
    require_trained(run, folder)
    # A run keeps its folder, though its id may be that of an older version.
    unchanged = Assembly(amend(run_configuration(folder), moved)).identity == run.identity
    if not unchanged and not (run.folder / TRAINED).is_file():
        require_weights(folder)
        take_over(run, folder, run.folder)
    path = assess_run(run, folder if unchanged else run.folder)
    send(run, path)
    return path


def assess_baseline(overrides: list[str]) -> Path:
    """Evaluate ``system=NAME`` under a configuration, unless that is done already; its run folder."""
    from musicbench.assessment import assess
    from musicbench.assessment.adapters import baseline
    from musicbench.assessment.clips import HeldOut
    from musicbench.assessment.record import RECORD, Facts, finished, record
    from musicbench.runs.compose import compose
    from musicbench.runs.run import Assembly, set_threads
    from musicbench.tracking.loggers import send, send_once

    config = compose("evaluate", overrides)
    set_threads(config)
    run, name = Assembly(config), config.system
    folder = run.folder
    if finished(folder):
        send_once(run, folder / RECORD)
        return folder
    held = HeldOut(run)
    if name == "ground_truth":
        found = assess.assess_originals(held, folder)
    elif name == "codec":
        found = assess.assess_codes(held, held.codes_NKT, folder, assess.Findings())
    else:
        found = assess.assess_system(held, baseline(run, name), folder, speed=False)
    kind = "reference" if name in ("ground_truth", "codec") else "baseline"
    send(run, record(held, found, Facts(kind), run.identity, folder))
    return folder
