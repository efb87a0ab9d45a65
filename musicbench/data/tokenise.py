"""Audio and captions become a token store: the rendered corpus, or a user's own recordings.

Shape suffixes: B batch, C channels, K levels, T frames, N samples.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchaudio
from tqdm import tqdm

from musicbench.codecs.base import Codec
from musicbench.content_cache import ContentCache
from musicbench.data.audio import read_channels
from musicbench.data.manifest import Recording, read_corpus, read_corpus_card
from musicbench.data.store import Clip, write_store
from musicbench.errors import UserError
from musicbench.files import sha256_file

EXAMPLES = 8  # clips whose captions a store's card shows


def tokenise(corpus_folder: Path, codec: Codec, store_folder: Path, card_extra: dict[str, Any]) -> None:
    """Encode the corpus that ``build_corpus`` made into a new token store.

    Args:
        corpus_folder: holds ``clips.jsonl``, ``audio/`` and ``corpus.json``.
        codec: encodes at its own sample rate.
        store_folder: must not exist yet.
        card_extra: further entries of the card, for example {"command": ...}.

    Raises:
        UserError: the corpus is missing or damaged, or the store cannot be written.
    """
    recordings = read_corpus(corpus_folder)
    made_by = read_corpus_card(corpus_folder)
    try:
        extra = {
            "sources": made_by["sources"],
            "scores": f"corpus of music21 {made_by['music21']}",
            "soundfont": {**made_by["soundfont"], "renderer": f"fluidsynth {made_by['fluidsynth']}"},
            **card_extra,
        }
    except (KeyError, TypeError) as error:
        raise UserError(f"{corpus_folder}/corpus.json is damaged ({error!r}); build the corpus again") from error
    tokenise_recordings(recordings, codec, store_folder, extra)


def tokenise_recordings(
    recordings: Sequence[Recording], codec: Codec, store_folder: Path, card_extra: dict[str, Any]
) -> None:
    """Encode recordings into a new token store.

    Codes of finished clips are kept in ``<store_folder>.partial`` until the store is complete, so an
    interrupted call goes on where it stopped.

    Raises:
        UserError: an audio file cannot be read, or the store cannot be written.
    """
    if store_folder.exists():
        raise UserError(f"{store_folder} exists already; remove it or choose another folder")
    kept = _partial(store_folder)

    def encoded() -> Iterator[tuple[Clip, np.ndarray]]:
        for recording in tqdm(recordings, desc="encoding", unit="clip"):
            make = partial(_encoded, recording.audio, codec)
            yield _clip(recording), kept.get(make, codec.sha256, _content(recording.audio))["codes"]

    card = {
        "codec": {
            "id": codec.id,
            "sha256": codec.sha256,
            "sample_rate": codec.sample_rate,
            "frame_rate": codec.frame_rate,
            "levels": codec.levels,
            "codebook_size": codec.codebook_size,
            # Cards of mono codecs without segments say nothing of them, as they did before there were others.
            **({} if codec.channels == 1 else {"channels": codec.channels}),
            **({} if codec.segment_frames == 1 else {"segment_frames": codec.segment_frames}),
        },
        "licences": sorted({str(r.source["licence"]) for r in recordings if r.source.get("licence")}),
        "statistics": attribute_statistics(recordings),
        "examples": {r.id: list(r.captions) for r in recordings[:: max(1, len(recordings) // EXAMPLES)][:EXAMPLES]},
        **card_extra,
    }
    write_store(store_folder, encoded(), card)
    forget_partial(store_folder)


def forget_partial(store_folder: Path) -> None:
    """Remove the codes that were kept while a store was made, which is complete."""
    _partial(store_folder).forget()


def _partial(store_folder: Path) -> ContentCache:
    return ContentCache(store_folder.with_name(store_folder.name + ".partial"), "codes")


def _encoded(audio: Path, codec: Codec) -> dict[str, np.ndarray]:
    return {"codes": encode_file(audio, codec)}


def _content(audio: Path) -> str:
    try:
        return sha256_file(audio)
    except OSError as error:
        raise UserError(f"cannot read the audio file {audio} ({error}); replace it or take it out") from error


def encode_file(path: Path, codec: Codec) -> np.ndarray:
    """Codes uint16 [K, T] of one audio file: mixed to the codec's channels and resampled to its rate.

    Raises:
        UserError: the file cannot be read, is empty, or holds samples that are not finite.
    """
    audio_CN, rate = read_channels(path, codec.channels)
    if rate != codec.sample_rate:
        audio_CN = torchaudio.functional.resample(audio_CN, rate, codec.sample_rate)
    with torch.inference_mode():
        codes_BKT = codec.encode(audio_CN[None])
    return codes_BKT[0].cpu().numpy().astype(np.uint16)


def attribute_statistics(recordings: Sequence[Recording]) -> dict[str, dict[str, int]]:
    """How many clips have each value of each attribute; numbers and free text are left out."""
    counts: dict[str, Counter[str]] = {}
    for recording in recordings:
        for name, value in recording.attributes.items():
            values = value if isinstance(value, list) else [value]
            for entry in values:
                if isinstance(entry, str):
                    counts.setdefault(name, Counter())[entry] += 1
    return {name: dict(sorted(counter.items())) for name, counter in sorted(counts.items())}


def _clip(recording: Recording) -> Clip:
    return Clip(
        recording.id,
        recording.piece,
        recording.split,
        0,
        0,
        recording.captions,
        recording.attributes,
        recording.source,
    )
