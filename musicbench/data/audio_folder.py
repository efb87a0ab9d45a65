"""Any folder of audio, with captions or without: its files in a fixed order, and their clips one by one."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from musicbench.data.audio import AudioFileError, Samples, read_samples
from musicbench.data.caption_file import read_captions
from musicbench.data.hashing import ContentHashes
from musicbench.data.read_report import NO_AUDIO, ReadReport
from musicbench.errors import UserError
from musicbench.regular_files import why_not_read

SUFFIXES = frozenset((".aif", ".aifc", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"))
SILENT_DB = -80.0  # peak, relative to full scale
CLIPPED_SHARE = 0.001  # of all samples at full scale
TWICE = "captioned twice alike"
LOW_RATE = 16000  # Hz; a judge hears nothing above half of the rate


@dataclass(frozen=True)
class Item:
    """An audio file of a folder. `id`: its path in the folder without suffix; `piece`: the unit of resampling."""

    id: str
    piece: str
    caption: str | None
    path: Path


@dataclass(frozen=True)
class Listing:
    """The audio files of a folder, listed once for all that is done with them.

    Attributes:
        files: all of them; items: those with a caption, where there are captions.
    """

    files: Sequence[Item]
    items: Sequence[Item]
    report: ReadReport

    @classmethod
    def of(cls, folder: Path, captions: Path | None = None, report: ReadReport | None = None) -> "Listing":
        """The audio files below a folder, by their suffix in any case, in the order of their ids.

        Without captions every file is an item, and its own piece. With captions (see `read_captions`) an item is a
        file with a caption, matched by its path, relative to the folder or else to the caption file; what is missing
        on either side is skipped in the report, and a line that says the same again is warned of there. So are pipes,
        sockets, broken links and what else is no file that can be read. Other files, hidden ones and linked folders are
        ignored, and counted.

        Raises:
            UserError: no folder, no audio files in it, two of one id (a.wav, a.flac), captions that `read_captions`
                refuses, a file with two different captions or pieces, or none with a caption.
        """
        report = ReadReport() if report is None else report
        files = _files(folder, report)
        items = files if captions is None else _captioned(files, folder, captions, report)
        return cls([files[name] for name in sorted(files)], [items[name] for name in sorted(items)], report)


def read_clips(
    items: Iterable[Item], report: ReadReport, *, seconds: float | None, shortest: float
) -> Iterator[tuple[Item, Tensor, int]]:
    """(item, audio [N] as mono float32 with full scale at 1, rate in Hz) of each usable file, one at a time.

    Channels are averaged; audio stays at the file's rate, for judges resample it. What is odd about a clip is
    noted in the report (one report for each pass) and the clip kept; a file that cannot be used is skipped there.

    Args:
        seconds: longer clips are cut to this length; None: none is.
        shortest: seconds of the longest window of a judge; shorter clips are skipped.

    Raises:
        UserError: `seconds` is less than `shortest`, or at the end: no file could be used.
    """
    if seconds is not None and seconds < shortest:
        raise UserError(
            f"clips of {seconds:g} s are shorter than a judge's window of {shortest:g} s; keep more of them"
        )
    count = 0
    for item in items:
        try:
            samples = read_samples(item.path, seconds)
        except AudioFileError as error:
            report.skip(item.id, error.reason)
            continue
        length = len(samples.audio_NC)
        if length < max(1, round(shortest * samples.rate)):
            have = f"{length} samples at {samples.rate} Hz, {length / samples.rate:.3g} s"
            report.skip(item.id, f"too short: {have}, where judges need {shortest:.4g} s")
            continue
        count += 1
        yield item, _clip(item, samples, report), samples.rate
        del samples  # before the next one is read
    if count == 0:
        raise UserError(f"no clip could be used; {'; '.join(report.lines()[1:]) or 'there are no files'}")


def folder_sha256(items: Iterable[Item], hashes: ContentHashes) -> str:
    """Hex SHA-256 of the contents of all files, in the order of their ids; names themselves do not count.

    Args:
        hashes: of a session, which knows the files that were read before.

    Raises:
        UserError: a file cannot be read.
    """
    paths = [item.path for item in sorted(items, key=lambda item: item.id)]
    return hashlib.sha256(b"".join(bytes.fromhex(found) for found in hashes.of(paths))).hexdigest()


def _files(folder: Path, report: ReadReport) -> dict[str, Item]:
    """The items of all audio files by their ids, without captions."""
    items: dict[str, Item] = {}
    for path in _audio_files(folder, report):
        name = path.relative_to(folder).with_suffix("").as_posix()
        _require_utf8(name)
        if reason := why_not_read(path):
            report.skip(name, f"unreadable: {reason}")
            continue
        if name in items:
            raise UserError(f"{items[name].path} and {path} have the same id {name}; take one of them out")
        items[name] = Item(name, name, None, path)
    if not items:
        raise UserError(
            f"no audio files in {folder}; it needs some of {', '.join(sorted(SUFFIXES))}"
            + "".join(f"; {line}" for line in report.lines()[1:] if report.skipped)
        )
    return items


def _audio_files(folder: Path, report: ReadReport) -> Iterator[Path]:
    if not folder.is_dir():
        raise UserError(f"{folder} is not a folder; name a folder of audio files")

    def refuse(error: OSError) -> None:
        raise UserError(f"cannot list {error.filename} ({error.strerror}); change its permissions") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        for name in list(folders):
            if name.startswith("."):
                folders.remove(name)
                report.ignored["hidden"] += 1
            elif (Path(place) / name).is_symlink():
                report.ignored["linked folder"] += 1
        for name in sorted(names):
            path = Path(place) / name
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES:
                report.ignored["hidden" if name.startswith(".") else path.suffix.lower() or "without suffix"] += 1
                continue
            yield path


def _require_utf8(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:  # it could be neither printed nor recorded
        raise UserError(f"the file name {name!a} is not UTF-8; rename the file") from error


def _place(path: Path) -> Path:
    """The same for every spelling of a path; links to files stay what they are."""
    return Path(os.path.realpath(path.parent)) / path.name


def _captioned(items: dict[str, Item], folder: Path, captions: Path, report: ReadReport) -> dict[str, Item]:
    """The items that have a caption, with it; both kinds of rest are skipped in the report."""
    by_path = {_place(item.path): name for name, item in items.items()}
    found: dict[str, Item] = {}
    for caption in read_captions(captions):
        candidates = [_place(base / caption.audio) for base in (folder, captions.parent)]
        name = next((by_path[path] for path in candidates if path in by_path), None)
        if name is None:
            report.skip(f"{caption.audio} ({caption.where.rpartition(' line ')[2]})", NO_AUDIO)
            continue
        item = replace(items[name], caption=caption.text, piece=caption.piece or name)
        if found.get(name, item) != item:
            raise UserError(f"{caption.where} gives {caption.audio} another caption or piece; keep one of its lines")
        if name in found and name not in report.warned.get(TWICE, ()):
            report.warn(TWICE, name)
        found[name] = item
    for name in items.keys() - found.keys():
        report.skip(name, "no caption")
    if not found:
        raise UserError(f"no audio file of {folder} is in {captions}; give paths relative to the folder")
    return found


def _clip(item: Item, samples: Samples, report: ReadReport) -> Tensor:
    """Mixed down to mono [N]; what is odd about it is noted."""
    audio_NC = samples.audio_NC
    audio_N = audio_NC.mean(axis=1)
    report.read += 1
    report.mixed_down += audio_NC.shape[1] > 1
    report.cut += samples.cut
    # The highest value of integer samples is a step below 1; of what has 16 bits or more, within this.
    full = 1 - 2.0 ** -(7 if samples.subtype in ("PCM_S8", "PCM_U8") else 15)
    loud_NC = abs(audio_NC)
    beyond = samples.subtype in ("FLOAT", "DOUBLE") and loud_NC.max() > 1
    if beyond or (loud_NC >= full).mean() > CLIPPED_SHARE:
        report.warn("clipped", item.id)
    if abs(audio_N).max() < 10 ** (SILENT_DB / 20):
        report.warn("silent", item.id)
    if samples.rate < LOW_RATE:
        report.warn("low sample rate", item.id)
    if not samples.length_known:
        report.warn("MP3 of unknown length, maybe not whole", item.id)
    return torch.from_numpy(audio_N)
