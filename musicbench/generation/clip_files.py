"""Files of ``musicbench generate``: names that distinguish runs and settings, and facts for their metadata."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from musicbench import __version__
from musicbench.errors import UserError
from musicbench.generation.prompts import Prompt
from musicbench.runs.identity import recorded_config, row_label
from musicbench.runs.run import Run
from musicbench.seals import content_sha256
from musicbench.temporaries import shortened

LONGEST_PART = 80
"""Bytes of a caption's and of a run's words in a file name, which has 255 at most."""


class ClipFile(NamedTuple):
    """One clip to be made: its caption and seed, its place without suffix, and the facts for its metadata."""

    caption: str
    seed: int
    stem: Path
    facts: dict[str, Any]


def clip_files(
    run: Run, folder: Path, captions: Sequence[str], first_seed: int, frames: int, prompt: Prompt | None, output: Path
) -> list[ClipFile]:
    """Name a file for each caption: ``<words>-<seed>-<run folder>-<id>``; the id hashes all that changes the sound.

    Args:
        run: the run's configuration with its overrides.
        folder: the run's folder, whose weights count.
        first_seed: seed of the first clip; each further clip takes the next number.
        frames: length of a clip.
    """
    name, generation = folder.resolve().name, run.generation_id(folder)
    common = {
        "run": name,
        "row": row_label(run.plain),
        "training": run.training_id,
        "generation": generation,
        "seconds": round(frames / run.parts.store.frame_rate, 3),
        "prompt": None if prompt is None else prompt.facts,
        "decode": recorded_config(run.plain)["decode"],  # Paths of one machine are left out.
        "musicbench": __version__,
    }
    begun = None if prompt is None else prompt.sha256
    clips = []
    for number, caption in enumerate(captions):
        seed = first_seed + number
        clip = content_sha256([generation, caption, seed, frames, begun])[:8]
        words = _words(r"\W+", caption) or "clip"
        stem = "-".join([words, str(seed), _words(r"[^\w.]+", name), clip])
        clips.append(ClipFile(caption, seed, output / stem, {"id": clip, "seed": seed, **common}))
    return clips


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
