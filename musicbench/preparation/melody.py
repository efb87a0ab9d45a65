"""The stage of ``prepare`` that writes down the melodies of a token store."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from musicbench.conditions.melody import FINER, HOP, MOMENTS_PER_SECOND, SILENCE, melody
from musicbench.content_cache import ContentCache
from musicbench.data.audio import read_audio
from musicbench.data.manifest import Recording
from musicbench.data.melodies import write_melodies
from musicbench.data.store import TokenStore
from musicbench.errors import UserError
from musicbench.files import sha256_file


def make_melodies(store: TokenStore, recordings: Iterable[Recording] | None, codec: Any) -> Path:
    """Write the melody of every clip beside the codes; clips that an interrupted call has done are not done again.

    Args:
        recordings: the clips' recordings; None: they are not here, and what the codes sound like is taken.
        codec: decodes the codes, where recordings are missing.

    Raises:
        UserError: a clip of the store has no recording.
    """
    kept = ContentCache(store.folder.with_name(f"{store.folder.name}.melody"), "classes")
    if recordings is None:
        classes = _of_codes(store, codec, kept)
    else:
        audio = {recording.id: recording.audio for recording in recordings}
        if missing := [clip.id for clip in store.clips if clip.id not in audio]:
            raise UserError(
                f"{store.folder} holds clip {missing[0]}, which is not among these recordings; give its own"
            )
        classes = (_of_recording(audio[clip.id], kept) for clip in store.clips)
    shown = tqdm(classes, desc="melodies", unit="clip", total=len(store.clips))
    made_from = "recordings" if recordings is not None else "codes"
    path = write_melodies(store, shown, MOMENTS_PER_SECOND, FINER, SILENCE, made_from)
    kept.forget()
    return path


def _of_recording(path: Path, kept: ContentCache) -> np.ndarray:
    def made() -> dict[str, np.ndarray]:
        return {"classes": melody(*read_audio(path), HOP // FINER)}

    return kept.get(made, sha256_file(path))["classes"]


def _of_codes(store: TokenStore, codec: Any, kept: ContentCache) -> Iterator[np.ndarray]:
    for clip in store.clips:

        def made(clip: Any = clip) -> dict[str, np.ndarray]:
            codes_KT = torch.from_numpy(store.codes(clip).astype(np.int64))
            return {"classes": melody(codec.decode(codes_KT[None])[0].mean(0), codec.sample_rate, HOP // FINER)}

        yield kept.get(made, codec.sha256, store.card["codes_sha256"], clip.id)["classes"]
