"""Build a corpus, the mini codec, the token store and the judges; or tokenise your own music."""

import shlex

from musicbench.errors import UserError
from musicbench.runs.compose import compose

STAGES = ("corpus", "codec", "tokens", "reference", "melody", "clap", "hear")


def main(argv: list[str]) -> int:
    """Hydra application; every stage goes on where it was interrupted, and does not repeat long work that is done."""
    config = compose("prepare", argv, typed=True)
    unknown = [stage for stage in config.stages if stage not in STAGES]
    if unknown:
        raise UserError(f"unknown stage {unknown[0]!r}; choose from {', '.join(STAGES)}")

    from musicbench.preparation import stages
    from musicbench.preparation.hear import hear_clips

    command = shlex.join(["musicbench", "prepare", *argv])
    if "corpus" in config.stages and not config.manifest:
        stages.build_corpus(config.corpus)
    if "codec" in config.stages:
        stages.make_codec(config, command)
    if "tokens" in config.stages:
        stages.make_tokens(config, command)
    if "reference" in config.stages:
        stages.judge_originals(config)
    if "melody" in config.stages:
        stages.note_melodies(config)
    if "clap" in config.stages:
        stages.make_clap(config, command)
    if "hear" in config.stages:
        hear_clips(config)
    return 0
