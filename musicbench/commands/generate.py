"""Music for captions, by a trained run."""

import re
from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError


def main(argv: list[str]) -> int:
    """``musicbench generate "a slow waltz" --run runs/delay-1a2b3c4d -- decode.cfg=2``."""
    own, overrides = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = Parser(prog="musicbench generate", description=__doc__, epilog="Hydra overrides may follow after --")
    parser.add_argument("captions", nargs="+", metavar="CAPTION", help="one clip per caption")
    parser.add_argument("--run", type=Path, required=True, help="folder of a trained run")
    parser.add_argument("--seconds", type=float, default=10.0, help="clip length (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip; the next takes the next number")
    parser.add_argument("--output", type=Path, default=Path("runs/generated"), help="folder of the audio")
    arguments = parser.parse_args(own)
    if not 0 < arguments.seconds <= 600 or arguments.seed < 0:
        raise UserError("--seconds must be above 0 and at most 600, --seed not negative")
    if not all(caption.strip() for caption in arguments.captions):
        raise UserError("a caption is empty; describe the music in a few words")
    if any(re.search("[\ud800-\udfff]", caption) for caption in arguments.captions):
        raise UserError("a caption is not valid UTF-8; type it again")

    from musicbench.commands.assemble import Assembly, set_threads
    from musicbench.commands.config import amend, run_configuration
    from musicbench.commands.samples import write_sample
    from musicbench.commands.systems import CaptionedModel, load_trained, sampling
    from musicbench.text.table import pad_states

    run = Assembly(amend(run_configuration(arguments.run), overrides))
    set_threads(run.config)
    module = load_trained(run, arguments.run)
    system = CaptionedModel(module, lambda texts: pad_states(run.encoder.encode(texts)), sampling(run))
    frames = max(1, round(arguments.seconds * run.store.frame_rate))
    seeds = [arguments.seed + i for i in range(len(arguments.captions))]
    audio_BN = run.codec.decode(system.generate(arguments.captions, frames, seeds))
    for caption, seed, audio_N in zip(arguments.captions, seeds, audio_BN, strict=True):
        words = re.sub(r"\W+", "-", caption).strip("-")[:60] or "clip"
        print(write_sample(arguments.output / f"{words}-{seed}", caption, audio_N, run.codec.sample_rate))
    return 0
