"""The stage of ``prepare`` that lets a text-audio model hear the training clips of a token store.

Shape suffixes: N samples.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor
from tqdm import tqdm

from musicbench.conditions.heard import Heard, write_heard
from musicbench.conditions.heard_files import heard_name
from musicbench.conditions.joint import JointEncoder
from musicbench.data.audio import read_audio
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.features import hear
from musicbench.preparation.recordings import recordings
from musicbench.runs.compose import instantiated, plain
from musicbench.runs.device import device
from musicbench.runs.settings import store_folder


def hear_clips(config: Any) -> None:
    """Write ``heard_<model>.npz`` beside the tokens: what the model of ``text`` hears in windows of the training clips.

    What is heard of each recording is kept in ``<clap_output>/heard``, so that a call that was stopped goes on.

    Raises:
        UserError: ``text`` names no text-audio model, or a training clip of the store has no recording.
    """
    part = plain(config.text)
    if "training" not in part:
        raise UserError("stage hear needs a model that hears; choose text=clap_mini, text=laion_clap or text=clap")
    # Without what it hears, which is made here.
    encoder: JointEncoder = instantiated("text", {**part, "training": "text", "quantised": False}, device=device())
    store, space = TokenStore.open(store_folder(config.store)), encoder.space
    path = store.folder / heard_name(space.id)
    if path.is_file():
        Heard.open(store.folder, space)
        print(f"heard clips: {path} is complete")
        return
    audio = {recording.id: recording.audio for recording in recordings(config)}
    judge, every = space.listener(), float(config.hear.every_seconds)
    read = partial(_read_at_least, judge.window_seconds)
    heard = {}
    for clip in tqdm(store.split("train"), desc="hearing clips", unit="clip"):
        if clip.id not in audio:
            raise UserError(f"{store.folder} holds clip {clip.id}, which is not among these recordings; give its own")
        heard[clip.id] = hear(judge, audio[clip.id], read, Path(config.clap_output) / "heard", every, None)
    write_heard(path, space, heard, every, judge.window_seconds, config.hear.quantisers, config.hear.codes)
    print(f"heard clips: {path} (for text.training=audio and text.quantised=true)")


def _read_at_least(seconds: float, path: Path) -> tuple[Tensor, int]:
    """A recording and its rate; a shorter one is repeated, as LAION-CLAP does with audio shorter than its window."""
    audio_N, rate = read_audio(path)
    return audio_N.repeat(max(1, math.ceil(seconds * rate / max(1, len(audio_N))))), rate
