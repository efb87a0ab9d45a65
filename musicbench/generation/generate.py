"""Make clips for captions with a trained run, and write them to files.

Shape suffixes: B batch, K levels, T frames, N samples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from musicbench.assessment.adapters import CaptionedModel, trained_system
from musicbench.assessment.draw import batches
from musicbench.assessment.samples import write_sample
from musicbench.codecs.streaming import STREAM_SECONDS, decode_stream
from musicbench.data.audio_tags import audio_tags
from musicbench.errors import UserError
from musicbench.generation.clip_files import Clip, ClipFile, clip_files, require_new
from musicbench.generation.clip_specs import ClipSpec
from musicbench.generation.growing import write_stream
from musicbench.generation.prompts import Prompt, read_prompt
from musicbench.generation.tunes import Tune, read_tune
from musicbench.generation.window_lengths import fitting_windows, window_frames
from musicbench.generation.windows import WindowedModel, told_moments
from musicbench.models.prompt import PromptError
from musicbench.runs.compose import amend, run_configuration
from musicbench.runs.device import set_up
from musicbench.runs.overrides import read_overrides
from musicbench.runs.run import Run
from musicbench.runs.trained_length import warn_beyond_training
from musicbench.runs.weights import load_trained


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        specs: the clips.
        window: seconds that are drawn at once; None: as many as a training clip has.
        overlap: seconds with which a window begins and that the one before has drawn; None: two thirds of it.
        stream: write ``.wav`` files while they are made.
        force: make clips again whose files exist.
        output: folder of the files.
    """

    specs: Sequence[ClipSpec]
    window: float | None
    overlap: float | None
    stream: bool
    force: bool
    output: Path


def generate_clips(folder: Path, overrides: Sequence[str], request: Request) -> Iterator[Path]:
    """Make clips with the run of a folder; yield the path of each written clip, except with ``stream``.

    Raises:
        UserError: the run, an override, a prompt or a window cannot be used, or a file exists already.
    """
    read_overrides(overrides, typed=True)
    run = Run(amend(run_configuration(folder), overrides))
    set_up(run.config)
    if run.config.data.melody is None and any(spec.melody for spec in request.specs):
        raise UserError(f"{folder} was trained without melodies; leave --melody out, or train with data.melody=chroma")
    clips = _clips(run, request)
    files = clip_files(run, folder, clips, request.output)
    if not request.force:
        suffixes = (".wav",) if request.stream else (".flac", ".txt")
        require_new([file.stem.with_name(file.stem.name + suffix) for file in files for suffix in suffixes])
    system = trained_system(run, load_trained(run, folder), run.parts.told)
    for batch in _batches(clips, run.config.evaluation.batch_size):
        yield from _make(run, system, [clips[i] for i in batch], [files[i] for i in batch], request)


def _clips(run: Run, request: Request) -> list[Clip]:
    """The clips in frames, with their prompts read."""
    parts = run.parts
    window = window_frames(run, request.window)
    lengths = [max(1, round(spec.seconds * parts.codes.frame_rate)) for spec in request.specs]
    windows = None
    if max(lengths) > window:
        windows = fitting_windows(run, window, request.overlap)
    seconds = min(window, max(lengths)) / parts.codes.frame_rate
    advice = "without --window it is drawn window by window"
    warn_beyond_training(run.config, parts.codes.frame_rate, f"a window of {seconds:g} s", seconds, advice)

    @cache  # Many clips may begin with the same sound.
    def prompt(path: Path | None, redraw: tuple[tuple[float, float], ...], frames: int) -> Prompt | None:
        return None if path is None else read_prompt(path, redraw, parts.codec, frames)

    @cache
    def tune(path: Path | None, frames: int) -> Tune | None:
        if path is None or parts.melody_prefix is None:
            return None
        moments = told_moments(parts.melody_prefix, frames, frames > window)
        return read_tune(path, frames / parts.codes.frame_rate, moments, run.config.data.melody)

    return [
        Clip(
            spec.caption,
            spec.seed,
            frames,
            prompt(spec.prompt, tuple(spec.redraw), frames),
            windows if frames > window else None,
            tune(spec.melody, frames),
        )
        for spec, frames in zip(request.specs, lengths, strict=True)
    ]


def _batches(clips: Sequence[Clip], size: int) -> Iterator[list[int]]:
    """Numbers of clips that can be drawn together: as long as each other, with the same frames given."""
    alike: dict[object, list[int]] = {}
    for number, clip in enumerate(clips):
        given = None if clip.prompt is None else (clip.prompt.codes_KT >= 0).numpy().tobytes()
        alike.setdefault((clip.frames, given), []).append(number)
    for numbers in alike.values():
        for batch in batches(len(numbers), size):
            yield [numbers[i] for i in batch]


def _make(
    run: Run, system: CaptionedModel, clips: Sequence[Clip], files: Sequence[ClipFile], request: Request
) -> Iterator[Path]:
    """Draw and write one batch."""
    codec, levels, first = run.parts.codec, run.parts.codes.levels, clips[0]
    melody = run.parts.melody_prefix
    model = system if first.windows is None else WindowedModel(system, first.windows, levels, melody)
    tunes = [None if clip.tune is None else clip.tune.classes_M for clip in clips]
    told = tunes if any(clip.tune for clip in clips) else None
    prompts = [clip.prompt.codes_KT for clip in clips if clip.prompt is not None]
    asked = [clip.caption for clip in clips], first.frames, [clip.seed for clip in clips]
    prompt_BKT = torch.stack(prompts) if prompts else None
    try:
        if request.stream:
            every = max(1, round(STREAM_SECONDS * run.parts.codes.frame_rate))
            codes = model.stream(*asked, prompt_BKT, every, told)
            write_stream(files, decode_stream(codec, codes), codec.sample_rate, request.force)
            return
        audio_BCN = codec.decode(model.generate(*asked, prompt_BKT, told))
    except PromptError as error:
        raise UserError(f"the prompt {first.prompt.name if first.prompt else ''}: {error}") from error
    for file, audio_CN in zip(files, audio_BCN, strict=True):
        tags = audio_tags(file.caption, file.facts)
        yield write_sample(file.stem, file.caption, audio_CN, codec.sample_rate, tags)
