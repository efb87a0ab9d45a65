"""Music for captions, by a trained run."""

import math
from pathlib import Path

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.generation.clip_specs import LARGEST_SEED, LONGEST_SECONDS, ClipSpec, clip_specs
from musicbench.generation.prompts import seconds_span
from musicbench.heavy import heavy_imports
from musicbench.names import require_caption


def main(argv: list[str]) -> int:
    """``musicbench generate "a slow waltz" --run runs/delay-1a2b3c4d -- decode.cfg=2``."""
    own, overrides = (argv[: argv.index("--")], argv[argv.index("--") + 1 :]) if "--" in argv else (argv, [])
    parser = Parser(prog="musicbench generate", description=__doc__, epilog="Hydra overrides may follow after --")
    parser.add_argument("captions", nargs="*", metavar="CAPTION", help="one clip per caption; none: one clip without")
    parser.add_argument(
        "--captions",
        dest="file",
        type=Path,
        metavar="FILE",
        help='more captions: .txt, one a line, or .jsonl, {"text": ..} a line with seed, seconds, prompt, melody',
    )
    parser.add_argument("--run", type=Path, required=True, help="folder of a trained run")
    parser.add_argument("--seconds", type=float, default=10.0, help="clip length, prompt included (default 10)")
    parser.add_argument("--seed", type=int, default=0, help="of the first clip; the next takes the next number")
    parser.add_argument("--prompt", type=Path, metavar="AUDIO", help="sound with which every clip begins")
    parser.add_argument("--melody", type=Path, metavar="AUDIO", help="sound whose melody every clip follows")
    parser.add_argument(
        "--redraw",
        action="append",
        type=seconds_span,
        default=[],
        metavar="START-END",
        help="seconds of the prompt to draw anew, e.g. 2.5-4; may be given again",
    )
    parser.add_argument(
        "--window",
        type=float,
        metavar="SECONDS",
        help="longest part that is drawn at once; a longer clip is drawn in overlapping windows (default: the length "
        "of the run's training clips)",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        metavar="SECONDS",
        help="part of a window that the one before has drawn (default: two thirds of it)",
    )
    parser.add_argument("--stream", action="store_true", help="write .wav files while they are made")
    parser.add_argument("--force", action="store_true", help="make clips again whose files are there")
    parser.add_argument("--output", type=Path, default=Path("runs/generated"), help="folder of the audio")
    arguments = parser.parse_args(own)
    if not 0 < arguments.seconds <= LONGEST_SECONDS or not 0 <= arguments.seed < LARGEST_SEED:
        raise UserError(
            f"--seconds must be above 0 and at most {LONGEST_SECONDS:g}, --seed from 0 to {LARGEST_SEED - 1}"
        )
    for name in ("window", "overlap"):
        seconds = getattr(arguments, name)
        if seconds is not None and not 0 < seconds < math.inf:
            raise UserError(f"--{name} must be a number of seconds above 0")
    if not all(caption.strip() for caption in arguments.captions):
        raise UserError("a caption is empty; describe the music in a few words")
    if arguments.redraw and arguments.prompt is None:
        raise UserError("--redraw needs a --prompt to be redrawn in")
    for number, caption in enumerate(arguments.captions, start=1):
        require_caption(caption, f"the argument {number}")
    default = ClipSpec("", arguments.seed, arguments.seconds, arguments.prompt, arguments.redraw, arguments.melody)
    specs = clip_specs(arguments.captions, arguments.file, default)

    with heavy_imports():
        from musicbench.generation.generate import Request, generate_clips

    options = {name: getattr(arguments, name) for name in ("window", "overlap", "stream", "force", "output")}
    for path in generate_clips(arguments.run, overrides, Request(specs, **options)):
        print(path)
    return 0
