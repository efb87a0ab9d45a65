"""Music for captions, by a trained run."""

import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from musicbench.commands.arguments import Parser
from musicbench.errors import UserError
from musicbench.generation.prompts import read_prompt, seconds_span

if TYPE_CHECKING:
    from torch import Tensor

    from musicbench.conditions.text import TextEncoder

STREAM_SECONDS = 0.5  # sound between two writes of a stream
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
    if any(re.search("[\ud800-\udfff]", caption) for caption in arguments.captions):
        raise UserError("a caption is not valid UTF-8; type it again")

    from musicbench.assessment.samples import write_sample
    from musicbench.codecs.streaming import decode_stream
    from musicbench.data.audio_tags import audio_tags
    from musicbench.generation.clip_files import clip_files, require_new
    from musicbench.generation.growing import write_stream
    from musicbench.models.prompt import PromptError
    from musicbench.runs.compose import amend, run_configuration
    from musicbench.runs.overrides import read_overrides
    from musicbench.runs.run import Assembly, set_threads
    from musicbench.runs.weights import load_trained, trained_system

    read_overrides(overrides, typed=True)
    run = Assembly(amend(run_configuration(arguments.run), overrides))
    set_threads(run.config)
    frames = max(1, round(arguments.seconds * run.store.frame_rate))
    captions = arguments.captions or [""]
    prompt, prompt_BKT = None, None
    if arguments.prompt is not None:
        prompt = read_prompt(arguments.prompt, arguments.redraw, run.codec, frames)
        prompt_BKT = prompt.codes_KT.expand(len(captions), -1, -1)
    clips = clip_files(run, arguments.run, captions, arguments.seed, frames, prompt, arguments.output)
    seeds = [clip.seed for clip in clips]
    if not arguments.force:
        suffixes = (".wav",) if arguments.stream else (".flac", ".txt")
        require_new([clip.stem.with_name(clip.stem.name + suffix) for clip in clips for suffix in suffixes])
    module = load_trained(run, arguments.run)
    system = trained_system(run, module, partial(_states, run.encoder))
    try:
        if arguments.stream:
            every = max(1, round(STREAM_SECONDS * run.store.frame_rate))
            codes = system.stream(captions, frames, seeds, prompt_BKT, every)
            write_stream(clips, decode_stream(run.codec, codes), run.codec.sample_rate, arguments.force)
            return 0
        audio_BN = run.codec.decode(system.generate(captions, frames, seeds, prompt_BKT))
    except PromptError as error:
        raise UserError(f"--prompt: {error}") from error
    for clip, audio_N in zip(clips, audio_BN, strict=True):
        tags = audio_tags(clip.caption, clip.facts)
        print(write_sample(clip.stem, clip.caption, audio_N, run.codec.sample_rate, tags))
    return 0


def _states(encoder: "TextEncoder", captions: list[str]) -> "tuple[Tensor, Tensor]":
    """Padded states and mask; an empty caption has no states, which stands for none."""
    import torch

    from musicbench.conditions.caption_table import pad_states

    told = [caption for caption in captions if caption]
    found = iter(encoder.encode(told) if told else [])
    return pad_states([next(found) if caption else torch.zeros(0, encoder.dim) for caption in captions])
