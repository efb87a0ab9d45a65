"""Make clips for captions with a trained run, and write them to files."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from musicbench.assessment.adapters import caption_states, trained_system
from musicbench.assessment.samples import write_sample
from musicbench.codecs.streaming import STREAM_SECONDS, decode_stream
from musicbench.data.audio_tags import audio_tags
from musicbench.errors import UserError
from musicbench.generation.clip_files import clip_files, require_new
from musicbench.generation.growing import write_stream
from musicbench.generation.prompts import read_prompt
from musicbench.models.prompt import PromptError
from musicbench.runs.compose import amend, run_configuration
from musicbench.runs.device import set_up
from musicbench.runs.overrides import read_overrides
from musicbench.runs.run import Run
from musicbench.runs.weights import load_trained


@dataclass(frozen=True)
class Request:
    """The clips that a user asks for.

    Attributes:
        captions: a caption for each clip; an empty caption means no caption.
        seconds: length of a clip, prompt included.
        seed: seed of the first clip; each further clip takes the next number.
        prompt: audio with which every clip begins.
        redraw: spans of the prompt, in seconds, to draw anew.
        stream: write ``.wav`` files while they are made.
        force: make clips again whose files exist.
        output: folder of the files.
    """

    captions: Sequence[str]
    seconds: float
    seed: int
    prompt: Path | None
    redraw: Sequence[tuple[float, float]]
    stream: bool
    force: bool
    output: Path


def generate_clips(folder: Path, overrides: Sequence[str], request: Request) -> Iterator[Path]:
    """Make clips with the run of a folder; yield the path of each written clip, except with ``stream``.

    Raises:
        UserError: the run, an override or the prompt cannot be used, or a file exists already.
    """
    read_overrides(overrides, typed=True)
    run = Run(amend(run_configuration(folder), overrides))
    set_up(run.config)
    parts, captions = run.parts, request.captions
    frames = max(1, round(request.seconds * parts.store.frame_rate))
    prompt, prompt_BKT = None, None
    if request.prompt is not None:
        prompt = read_prompt(request.prompt, request.redraw, parts.codec, frames)
        prompt_BKT = prompt.codes_KT.expand(len(captions), -1, -1)
    clips = clip_files(run, folder, captions, request.seed, frames, prompt, request.output)
    seeds = [clip.seed for clip in clips]
    if not request.force:
        suffixes = (".wav",) if request.stream else (".flac", ".txt")
        require_new([clip.stem.with_name(clip.stem.name + suffix) for clip in clips for suffix in suffixes])
    system = trained_system(run, load_trained(run, folder), partial(caption_states, parts.encoder))
    try:
        if request.stream:
            every = max(1, round(STREAM_SECONDS * parts.store.frame_rate))
            codes = system.stream(captions, frames, seeds, prompt_BKT, every)
            write_stream(clips, decode_stream(parts.codec, codes), parts.codec.sample_rate, request.force)
            return
        audio_BCN = parts.codec.decode(system.generate(captions, frames, seeds, prompt_BKT))
    except PromptError as error:
        raise UserError(f"--prompt: {error}") from error
    for clip, audio_CN in zip(clips, audio_BCN, strict=True):
        tags = audio_tags(clip.caption, clip.facts)
        yield write_sample(clip.stem, clip.caption, audio_CN, parts.codec.sample_rate, tags)
