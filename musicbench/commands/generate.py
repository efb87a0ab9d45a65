"""Music for captions, by a trained run."""

from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.generation.prompts import seconds_span
from musicbench.heavy import heavy_imports
from musicbench.names import require_caption

LARGEST_SEED = 1 << 62


def main(argv: list[str]) -> int:
    """``musicbench generate "a slow waltz" --run runs/delay-1a2b3c4d -- decode.cfg=2``."""
    own, overrides = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = Parser(prog="musicbench generate", description=__doc__, epilog="Hydra overrides may follow after --")
    parser.add_argument("captions", nargs="*", metavar="CAPTION", help="one clip per caption; none: one clip without")
    parser.add_argument("--run", type=Path, required=True, help="folder of a trained run")
    parser.add_argument("--seconds", type=float, default=10.0, help="clip length, prompt included (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip; the next takes the next number")
    parser.add_argument("--prompt", type=Path, metavar="AUDIO", help="sound with which every clip begins")
    parser.add_argument(
        "--redraw",
        action="append",
        type=seconds_span,
        default=[],
        metavar="START-END",
        help="seconds of the prompt to draw anew, e.g. 2.5-4; may be given again",
    )
    parser.add_argument("--stream", action="store_true", help="write .wav files while they are made")
    parser.add_argument("--force", action="store_true", help="make clips again whose files are there")
    parser.add_argument("--output", type=Path, default=Path("runs/generated"), help="folder of the audio")
    arguments = parser.parse_args(own)
    if not 0 < arguments.seconds <= 600 or not 0 <= arguments.seed < LARGEST_SEED:
        raise UserError(f"--seconds must be above 0 and at most 600, --seed from 0 to {LARGEST_SEED - 1}")
    if not all(caption.strip() for caption in arguments.captions):
        raise UserError("a caption is empty; describe the music in a few words")
    if arguments.redraw and arguments.prompt is None:
        raise UserError("--redraw needs a --prompt to be redrawn in")
    for number, caption in enumerate(arguments.captions, start=1):
        require_caption(caption, f"the argument {number}")

    with heavy_imports():
        from musicbench.generation.generate import Request, generate_clips

    options = {key: value for key, value in vars(arguments).items() if key not in ("run", "captions")}
    for path in generate_clips(arguments.run, overrides, Request(arguments.captions or [""], **options)):
        print(path)
    return 0
