"""Files of ``musicbench generate``: names that distinguish runs and settings, and facts for their metadata."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from musicbench import __version__
from musicbench.errors import UserError
from musicbench.generation.prompts import Prompt
from musicbench.generation.tunes import Tune
from musicbench.runs.identity import recorded_config, row_label
from musicbench.runs.run import Run
from musicbench.seals import content_sha256
from musicbench.temporaries import shortened

if TYPE_CHECKING:
    from musicbench.generation.windows import Windows

LONGEST_PART = 80
"""Bytes of a caption's and of a run's words in a file name, which has 255 at most."""


@dataclass(frozen=True)
class Clip:
    """A clip to be drawn.

    Attributes:
        frames: length T.
        prompt: codes with which it begins, and where they come from.
        windows: lengths of the windows in which it is drawn; None: all of it at once.
        tune: the melody that it is to follow.
    """

    caption: str
    seed: int
    frames: int
    prompt: Prompt | None = None
    windows: "Windows | None" = None
    tune: Tune | None = None


class ClipFile(NamedTuple):
    """The file of a clip: its caption, its place without suffix, and the facts for its metadata."""

    caption: str
    stem: Path
    facts: dict[str, Any]


def clip_files(run: Run, folder: Path, clips: Sequence[Clip], output: Path) -> list[ClipFile]:
    """Name a file for each clip: ``<words>-<seed>-<run folder>-<id>``; the id hashes all that changes the sound.

    Args:
        run: the run's configuration with its overrides.
        folder: the run's folder, whose weights count.

    Raises:
        UserError: two clips are the same.
    """
    name, generation, rate = folder.resolve().name, run.generation_id(folder), run.parts.codes.frame_rate
    made_by = {
        "run": name,
        "row": row_label(run.plain),
        "training": run.training_id,
        "generation": generation,
    }
    decode = recorded_config(run.plain)["decode"]  # Paths of one machine are left out.
    files: dict[Path, ClipFile] = {}
    for clip in clips:
        begun = None if clip.prompt is None else clip.prompt.sha256
        drawn = [] if clip.windows is None else [clip.windows.length, clip.windows.overlap]
        told = [] if clip.tune is None else [clip.tune.sha256]
        facts = {
            "id": content_sha256([generation, clip.caption, clip.seed, clip.frames, begun, *drawn, *told])[:8],
            "seed": clip.seed,
            **made_by,
            "seconds": round(clip.frames / rate, 3),
            "prompt": None if clip.prompt is None else clip.prompt.facts,
            "decode": decode,
            "musicbench": __version__,
            **({} if clip.windows is None else {"windows": clip.windows.seconds(rate)}),
            **({} if clip.tune is None else {"melody": clip.tune.facts}),
        }
        words = _words(r"\W+", clip.caption) or "clip"
        stem = output / "-".join([words, str(clip.seed), _words(r"[^\w.]+", name), facts["id"]])
        if stem in files:
            raise UserError(f"the clip {stem.name} is asked for twice; give each its own seed")
        files[stem] = ClipFile(clip.caption, stem, facts)
    return list(files.values())


def require_new(paths: Sequence[Path]) -> None:
    """Refuse to replace files that exist already.

    Raises:
        UserError: one of the files exists.
    """
    found = [path for path in paths if os.path.lexists(path)]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise UserError(
            f"{found[0]}{more} exists already, made by the same run with the same settings; give --force to make it "
            "again, or another --seed or --output"
        )


def _words(between: str, text: str) -> str:
    """Turn a text into a part of a file name; whatever matches the pattern ``between`` becomes a hyphen."""
    return shortened(re.sub(between, "-", text).strip("-"), LONGEST_PART)
