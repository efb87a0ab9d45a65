"""Any folder of audio, with captions or without: its files in a fixed order."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from musicbench.data.caption_file import read_captions
from musicbench.data.hashing import ContentHashes
from musicbench.data.read_report import NO_AUDIO, ReadReport
from musicbench.errors import UserError
from musicbench.regular_files import why_not_read

SUFFIXES = frozenset((".aif", ".aifc", ".aiff", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".wav"))
TWICE = "captioned twice alike"


@dataclass(frozen=True)
class Item:
    """An audio file of a folder. ``id``: its path in the folder without suffix; ``piece``: the unit of resampling."""

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

        Without captions every file is an item, and its own piece. With captions (see ``read_captions``) an item is a
        file with a caption, matched by its path, relative to the folder or else to the caption file; what is missing
        on either side is skipped in the report, and a line that says the same again is warned of there. So are pipes,
        sockets, broken links and what else is no file that can be read. Other files, hidden ones and linked folders are
        ignored, and counted.

        Raises:
            UserError: no folder, no audio files in it, two of one id (a.wav, a.flac), captions that ``read_captions``
                refuses, a file with two different captions or pieces, or none with a caption.
        """
        report = ReadReport() if report is None else report
        files = _files(folder, report)
        items = files if captions is None else _captioned(files, folder, captions, report)
        return cls([files[name] for name in sorted(files)], [items[name] for name in sorted(items)], report)


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
