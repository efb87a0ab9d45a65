"""The audio kept beside a table: fetched from run folders, and arranged by prompt and system."""

import hashlib
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from musicbench.files import atomic_path, sha256_file
from musicbench.names import is_own_file, visible
from musicbench.study.loudness import loudness
from musicbench.study.records import read_record, read_records
from musicbench.study.run_record import RunRecord
from musicbench.study.samples import (
    RECORDS,
    SAMPLES,
    clear_samples,
    read_caption,
    require_playable,
    run_name,
    sample_name,
    samples_folder,
)
from musicbench.study.table import Row, Table

# Committed tables bring their audio along, so it stays at a few megabytes.
PROMPTS = 3
ORDER = ("reference", "external", "released", "trained", "baseline")


@dataclass(frozen=True)
class Clip:
    """The audio of one system for one prompt: ``name`` is the audio's place below ``samples/``, without suffix.

    ``seconds`` is None and ``problem`` says why when there is nothing to play. ``loudness`` is in LUFS, None when the
    clip is silent.
    """

    name: str
    seconds: float | None = None
    loudness: float | None = None
    problem: str = ""


@dataclass(frozen=True)
class Prompt:
    """A caption and one clip for each system."""

    name: str
    caption: str
    clips: tuple[Clip, ...]


def fetch_samples(table: Path, folders: Iterable[Path]) -> int:
    """Copy audio and captions of a table's runs into ``<table>/samples/<row>-seed<seed>``.

    A run belongs to the table by its record's id. Of each row the lowest seed is heard, on the first ``PROMPTS``
    evaluated pieces that have audio. Links that lead out of a run folder are not followed.

    Returns:
        The number of runs that had audio.

    Raises:
        UserError: a record is broken, a file cannot be written, or a link leads out of the table's folder.
    """
    heard = {run["id"] for run in _first_seeds(read_records(table / RECORDS))}
    fetched = 0
    for folder in folders:
        record = read_record(folder / "record.json")
        files = _chosen(record, folder)
        if record["id"] not in heard or not files:
            continue
        target = samples_folder(table, record)
        for file in files:
            with atomic_path(target / file.name) as temporary:
                shutil.copyfile(file, temporary)
        clear_samples(target, but=[target / file.name for file in files])
        fetched += 1
    return fetched


def systems(table: Table) -> tuple[Row, ...]:
    """The rows in the order of listening: references, then trained systems, then baselines."""
    # A row without a record is one that is still to be trained.
    return tuple(sorted(table.rows, key=lambda row: ORDER.index(row.kind or "trained")))


def find_prompts(folder: Path, rows: Sequence[Row]) -> tuple[Prompt, ...]:
    """The prompts that have audio below ``<folder>/samples``, in the order of evaluation, with a clip per row."""
    samples = folder / SAMPLES
    evaluated = next((row.records[0]["clips"] for row in rows if row.records), [])
    kept = {path.stem for path in samples.glob("*/*.flac")}
    prompts = []
    for name in (sample_name(clip["id"]) for clip in evaluated):
        if name not in kept:  # as most are
            continue
        clips = tuple(_clip(folder, row, name) for row in rows)
        heard = [samples / f"{clip.name}.flac" for clip in clips if clip.seconds is not None]
        if heard:
            captions = (read_caption(audio, folder) for audio in heard)
            prompts.append(Prompt(name, next((caption for caption in captions if caption), ""), clips))
    return tuple(prompts)


def audio_hash(folder: Path, rows: Sequence[Row], prompts: Sequence[Prompt]) -> str:
    """A hash of a table's audio, 16 hex digits: answers about one table's audio do not count for another's."""
    heard = [
        f"{row.spec['row']} {prompt.name} {sha256_file(folder / SAMPLES / f'{clip.name}.flac')}"
        for prompt in prompts
        for row, clip in zip(rows, prompt.clips, strict=True)
        if clip.seconds is not None
    ]
    return hashlib.sha256("\n".join(sorted(heard)).encode()).hexdigest()[:16]


def _clip(table: Path, row: Row, name: str) -> Clip:
    if not row.records:
        return Clip("", problem="not run yet")
    folder = run_name(min(row.records, key=lambda record: record["seed"]))
    place = f"{folder}/{name}"
    path = table / SAMPLES / f"{place}.flac"
    if not is_own_file(path, table):
        kept = "of this prompt" if path.parent.is_dir() else "of this system"
        return Clip(place, problem=f"no audio {kept} was kept")
    try:
        require_playable(path)
        # The header of a truncated file is whole, so all of it is read.
        audio_NC, rate = soundfile.read(path, always_2d=True)
    except (soundfile.LibsndfileError, OSError):
        audio_NC, rate = np.empty((0, 1)), 1
    except ValueError as error:
        return Clip(place, problem=str(error))
    if not len(audio_NC):
        told = f"warning: {path} is damaged and is left out; fetch it from the run folder again"
        print(visible(told), file=sys.stderr)
        return Clip(place, problem="the audio file is damaged")
    return Clip(place, len(audio_NC) / rate, loudness(audio_NC, rate))


def _first_seeds(records: Iterable[RunRecord]) -> list[RunRecord]:
    first: dict[str, RunRecord] = {}
    for record in records:
        if record["row"] not in first or record["seed"] < first[record["row"]]["seed"]:
            first[record["row"]] = record
    return list(first.values())


def _chosen(record: RunRecord, run: Path) -> list[Path]:
    """The audio and captions of the first crop of each of the first pieces, as far as they lie in the run's folder."""
    pieces: dict[str, Path] = {}
    for clip in record["clips"]:
        audio = run / SAMPLES / f"{sample_name(clip['id'])}.flac"
        if clip["piece"] not in pieces and is_own_file(audio, run):
            pieces[clip["piece"]] = audio
    audio_files = list(pieces.values())[:PROMPTS]
    texts = [audio.with_name(f"{audio.stem}.txt") for audio in audio_files]
    return [*audio_files, *(text for text in texts if is_own_file(text, run))]
