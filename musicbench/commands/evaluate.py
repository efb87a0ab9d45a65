"""Evaluate a baseline or reference system, a trained run once more, or a folder of audio; writes a record."""

from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.heavy import heavy_imports
from musicbench.runs.compose import compose
from musicbench.runs.settings import SYSTEMS

MODES = ("run", "system", "audio", "prompts")


def main(argv: list[str]) -> int:
    """Hydra application: ``musicbench evaluate system=unigram``, ``run=FOLDER`` or ``audio=FOLDER``."""
    config = compose("evaluate", argv, typed=True)
    _require_one_mode(config)

    with heavy_imports():
        from musicbench.assessment.baseline import assess_baseline
        from musicbench.assessment.clips import held_out, write_prompts
        from musicbench.assessment.external import assess_held_out, assess_own_captions
        from musicbench.assessment.trained import assess_run, trained_run
        from musicbench.runs.device import set_up
        from musicbench.runs.run import Run
        from musicbench.tracking.send import assess_and_send, send_record

    set_up(config)
    if config.run is not None:
        run, folder = trained_run(config, argv)
        path = assess_run(run, folder)
        send_record(run, path)
        print(f"record: {path}")
    elif config.system is not None:
        print(f"record: {assess_and_send(Run(config), assess_baseline)}")
    elif config.audio is not None:
        assess = assess_held_out if config.captions is None else assess_own_captions
        print(f"record: {assess_and_send(Run(config), assess)}")
    else:
        clips = held_out(Run(config).jury)
        write_prompts(clips, Path(config.prompts))
        print(
            f"{len(clips.captions)} captions: {config.prompts}; make their audio, each under its name, in one folder, "
            "and go on with the same settings and audio=FOLDER row=NAME instead of prompts="
        )
    return 0


def _require_one_mode(config: Any) -> None:
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
    if config.audio is not None and not config.row:
        raise UserError("audio=FOLDER becomes a row of its own; name it with row=NAME")
