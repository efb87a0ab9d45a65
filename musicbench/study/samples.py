"""Places and names of records and audio in run folders and beside tables, and checks before they are read."""

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import soundfile

from musicbench.errors import UserError
from musicbench.names import LONGEST, is_own_file, one_line, require_inside, visible
from musicbench.study.run_record import RunRecord
from musicbench.temporaries import unhidden

SAMPLES = "samples"
RECORDS = "records"
SUFFIXES = (".flac", ".txt")
"""Suffixes of the files that an evaluation keeps: audio, and its caption beside it."""

LONGEST_SECONDS, MOST_SAMPLES = 600, 60_000_000
RATES = range(1000, 400_001)
CAPTION_BYTES = 1 << 16


def sample_name(clip: str) -> str:
    """File name, without suffix, of an evaluated clip's audio: whatever the id is, one part of a path."""
    shown = visible(clip).translate(str.maketrans("/\\\n\t", "____"))
    name = f"_{shown[1:]}" if shown.startswith(".") else shown
    if len(name.encode()) <= LONGEST:
        return name
    # Two long ids may differ in their ends alone.
    digest = hashlib.sha256(clip.encode()).hexdigest()[:12]
    return f"{name.encode()[: LONGEST - 13].decode(errors='ignore')}-{digest}"


def run_name(record: RunRecord) -> str:
    """The name of one row's and seed's files in a table's folder."""
    return f"{record['row']}-seed{record['seed']}"


def record_path(table: Path, record: RunRecord) -> Path:
    """The file in which a table keeps a record.

    Raises:
        UserError: a link leads out of the table's folder.
    """
    return require_inside(table / RECORDS, table) / f"{run_name(record)}.json"


def samples_folder(table: Path, record: RunRecord) -> Path:
    """The folder in which a table keeps the audio of a record's run.

    Raises:
        UserError: a link leads out of the table's folder.
    """
    return require_inside(table / SAMPLES / run_name(record), table)


def clear_samples(folder: Path, but: Iterable[Path] = ()) -> None:
    """Delete the audio and captions in a folder, except some; files of other suffixes, folders and pipes stay."""
    for path in {*unhidden(folder, "*")} - {*but}:
        if path.suffix in SUFFIXES and (path.is_file() or path.is_symlink()):
            path.unlink()


def clear_table(table: Path) -> None:
    """Delete the records and the audio that a table's folder holds; files that are not named as ours stay.

    Raises:
        UserError: a link leads out of the folder.
    """
    for record in unhidden(require_inside(table / RECORDS, table), "*.json"):
        record.unlink()
    for folder in unhidden(require_inside(table / SAMPLES, table), "*-seed*"):
        clear_samples(require_inside(folder, table))


def kept_audio(folder: Path) -> list[Path]:
    """The audio files that lie in a run folder's ``samples/`` itself, in the order of their names."""
    return [path for path in unhidden(folder / SAMPLES, "*.flac") if is_own_file(path, folder)]


def read_caption(audio: Path, folder: Path) -> str:
    """The caption beside an audio file, in one line; empty if ``folder`` holds none. A long file is not read whole.

    Raises:
        UserError: the audio's own metadata say another one.
    """
    text = audio.with_name(f"{audio.stem}.txt")
    if not is_own_file(text, folder):
        return ""
    with text.open("rb") as stream:
        content = stream.read(CAPTION_BYTES)
    caption = one_line(content.decode("utf-8", errors="replace"))
    told = _title(audio)
    if told and len(content) < CAPTION_BYTES and told != caption:
        raise UserError(
            f"{text} and the metadata of {audio.name} say different captions, so one of them is damaged or was edited; "
            "take both from the run folder again, or evaluate again"
        )
    return caption


def _title(audio: Path) -> str:
    """The caption in an audio file's metadata, in one line; empty if there is none, or the file is damaged."""
    with suppress(soundfile.LibsndfileError, OSError), soundfile.SoundFile(audio) as file:
        return one_line(file.title)
    return ""


def require_playable(path: Path) -> None:
    """Look at an audio file's header, so that a page does not fill the memory with what no page plays.

    Raises:
        ValueError: it is too long, or of a sample rate that nothing plays.
        LibsndfileError: it is no audio file.
    """
    header = soundfile.info(path)
    if header.samplerate not in RATES:
        raise ValueError(f"the audio has a sample rate of {header.samplerate} Hz")
    if header.frames > LONGEST_SECONDS * header.samplerate or header.frames * header.channels > MOST_SAMPLES:
        raise ValueError("the audio is too long for a page")
