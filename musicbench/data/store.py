"""The token store: a folder of codec codes, captions and a card that says where they come from.

Shape suffixes: K levels, T frames.
"""

import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np

from musicbench.data.store_card import CARD, FORMAT, check_card, read_card, read_clip
from musicbench.errors import UserError
from musicbench.files import atomic_folder, sha256_file
from musicbench.seals import CARD_SEAL, sealed

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Clip:
    """One stretch of audio: frames ``start`` to ``start + frames`` of the codes, and what is known of it."""

    id: str
    piece: str
    split: str
    start: int
    frames: int
    captions: tuple[str, ...]
    attributes: dict[str, Any]
    source: dict[str, Any]


class TokenStore:
    """Read access to a token store; codes stay on disk (memory-mapped), so many processes may share it.

    Attributes:
        folder: where the store is.
        card: the content of ``card.json`` (a ``StoreCard``).
        clips: all clips in the order of ``clips.jsonl``.
        levels: K, codes per frame.
        codebook_size: V, values per code.
        frame_rate: frames per second.
        channels: of the codec's audio.
        segment_frames: crops start at multiples of it, see ``codecs.base.Codec``.
    """

    def __init__(self, folder: Path, card: dict[str, Any], clips: tuple[Clip, ...], codes_KT: np.ndarray) -> None:
        self.folder = folder
        self.card = card
        self.clips = clips
        self.levels: int = card["codec"]["levels"]
        self.codebook_size: int = card["codec"]["codebook_size"]
        self.frame_rate = float(card["codec"]["frame_rate"])
        self.channels: int = card["codec"].get("channels", 1)
        self.segment_frames: int = card["codec"].get("segment_frames", 1)
        self._codes_KT = codes_KT

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Open a store and check card, sizes and clip table (but not the hash of the codes: see ``verify``).

        Raises:
            UserError: a file is missing, truncated, not of this format, or does not fit the others.
        """
        folder = Path(folder)
        for name in (CARD, "clips.jsonl", "codes.npy"):
            if not (folder / name).is_file():
                raise UserError(f"no token store in {folder}: {name} is missing; make it with `musicbench prepare`")
        card = read_card(folder / CARD)
        if sha256_file(folder / "clips.jsonl") != card["clips_sha256"]:
            raise UserError(f"{folder}/clips.jsonl does not match its card; restore it or make the store again")
        try:
            codes_KT = np.lib.format.open_memmap(folder / "codes.npy", mode="r")
        except Exception as error:  # numpy reads its header as Python, which fails in many ways
            raise UserError(f"{folder}/codes.npy is truncated or damaged ({error}); restore it") from error
        clips = _read_clips(folder / "clips.jsonl")
        store = cls(folder, card, clips, codes_KT)
        if codes_KT.dtype != np.uint16 or codes_KT.ndim != 2 or codes_KT.shape[0] != store.levels:
            raise UserError(
                f"{folder}/codes.npy holds {codes_KT.dtype} {codes_KT.shape}, "
                f"the card says uint16 [{store.levels}, frames]; restore it"
            )
        for clip in clips:
            if clip.start < 0 or clip.frames < 1 or clip.start + clip.frames > codes_KT.shape[1]:
                raise UserError(f"clip {clip.id} lies outside of {folder}/codes.npy; restore the store")
        return store

    def __reduce__(self) -> tuple[Callable[..., "TokenStore"], tuple[Path]]:
        # Workers open the files themselves: a pickled memory map would carry all the codes.
        return type(self).open, (self.folder,)

    def verify(self) -> None:
        """Read all codes and compare their hash with the card.

        Raises:
            UserError: they differ.
        """
        if sha256_file(self.folder / "codes.npy") != self.card["codes_sha256"]:
            raise UserError(f"{self.folder}/codes.npy does not match its card; restore it or make the store again")

    def split(self, name: str) -> tuple[Clip, ...]:
        """The clips of "train", "validation" or "test".

        Raises:
            UserError: there is no such split.
        """
        if name not in SPLITS:
            raise UserError(f"no split {name!r}; choose one of {', '.join(SPLITS)}")
        return tuple(clip for clip in self.clips if clip.split == name)

    def codes(self, clip: Clip, start: int = 0, frames: int | None = None) -> np.ndarray:
        """A copy of codes uint16 [K, T]: ``frames`` frames (default: to the end) from ``start`` of the clip.

        Raises:
            IndexError: the range does not lie within the clip.
            UserError: a code is not below the codebook size.
        """
        frames = clip.frames - start if frames is None else frames
        if start < 0 or frames < 0 or start + frames > clip.frames:
            raise IndexError(f"frames {start} to {start + frames} of clip {clip.id}, which has {clip.frames}")
        first = clip.start + start
        codes_KT = np.array(self._codes_KT[:, first : first + frames])
        if codes_KT.size and codes_KT.max() >= self.codebook_size:
            raise UserError(f"{self.folder}/codes.npy holds codes that its codec does not have; restore it")
        return codes_KT


def write_store(folder: Path | str, clips_with_codes: Iterable[tuple[Clip, np.ndarray]], card: dict[str, Any]) -> None:
    """Write a new store; the folder appears complete, or not at all.

    Args:
        folder: must not exist yet.
        clips_with_codes: clips with integer codes [K, T]; their ``start`` and ``frames`` are filled in here.
        card: "codec" (id, sha256, sample_rate, frame_rate, levels, codebook_size, channels if not 1) and any further
            entries; format, splits and hashes are added (see ``StoreCard``).

    Raises:
        UserError: the folder exists or cannot be written, a code is not below the codebook size, an id
            is used twice, a split is unknown, a piece is in two splits, an entry of the card is unknown, or there is
            no clip at all.
    """
    folder = Path(folder)
    if folder.exists():
        raise UserError(f"{folder} exists already; remove it or choose another folder")
    with atomic_folder(folder) as work:
        _fill(work, clips_with_codes, card)


def _fill(work: Path, clips_with_codes: Iterable[tuple[Clip, np.ndarray]], card: dict[str, Any]) -> None:
    levels, size = int(card["codec"]["levels"]), int(card["codec"]["codebook_size"])
    clips: list[Clip] = []
    splits: dict[str, str] = {}
    total = 0
    # One raw file per level, because the number of frames, and so the place of a level, is known last.
    raws: list[BinaryIO] = [(work / f"level{level}").open("w+b") for level in range(levels)]
    try:
        for clip, codes_KT in clips_with_codes:
            _check(clip, codes_KT, levels, size, splits)
            for level, raw in enumerate(raws):
                raw.write(codes_KT[level].astype("<u2").tobytes())
            clips.append(replace(clip, start=total, frames=codes_KT.shape[1]))
            total += codes_KT.shape[1]
        if not clips:
            raise UserError("there is no clip to write a token store from; check the corpus folder or manifest")
        if len({clip.id for clip in clips}) != len(clips):
            raise UserError("two clips have the same id; rename one of the audio files")
        header = {"descr": "<u2", "fortran_order": False, "shape": (levels, total)}
        # Not through a memory map, which a full disk ends with a signal instead of an error.
        with (work / "codes.npy").open("wb") as codes:
            np.lib.format.write_array_header_1_0(codes, header)
            for raw in raws:
                raw.seek(0)
                shutil.copyfileobj(raw, codes)
    finally:
        for raw in raws:
            raw.close()
            Path(raw.name).unlink()
    lines = "".join(json.dumps(asdict(clip), ensure_ascii=False) + "\n" for clip in clips)
    (work / "clips.jsonl").write_text(lines, encoding="utf-8")
    full = {
        "format": FORMAT,
        **card,
        "splits": _split_sizes(clips, float(card["codec"]["frame_rate"])),
        "codes_sha256": sha256_file(work / "codes.npy"),
        "clips_sha256": sha256_file(work / "clips.jsonl"),
    }
    check_card(full, CARD)
    text = json.dumps(sealed(full, CARD_SEAL), indent=2, ensure_ascii=False)
    (work / CARD).write_text(text + "\n", encoding="utf-8")


def _check(clip: Clip, codes_KT: np.ndarray, levels: int, size: int, splits: dict[str, str]) -> None:
    if codes_KT.ndim != 2 or codes_KT.shape[0] != levels or codes_KT.shape[1] < 1:
        raise UserError(f"codes of clip {clip.id} have shape {codes_KT.shape}, not [{levels}, frames]; check the codec")
    if codes_KT.min() < 0 or codes_KT.max() >= size:
        raise UserError(f"codes of clip {clip.id} are not all in 0..{size - 1}; check the codec's codebook_size")
    if clip.split not in SPLITS:
        raise UserError(f"clip {clip.id} has split {clip.split!r}; choose one of {', '.join(SPLITS)}")
    if splits.setdefault(clip.piece, clip.split) != clip.split:
        raise UserError(f"piece {clip.piece} is in two splits; give all its clips the same split")


def _split_sizes(clips: list[Clip], frame_rate: float) -> dict[str, dict[str, float]]:
    sizes = {}
    for split in SPLITS:
        members = [clip for clip in clips if clip.split == split]
        seconds = sum(clip.frames for clip in members) / frame_rate
        pieces = len({clip.piece for clip in members})
        sizes[split] = {"pieces": pieces, "clips": len(members), "seconds": round(seconds, 2)}
    return sizes


def _read_clips(path: Path) -> tuple[Clip, ...]:
    clips = []
    # By bytes: a line with another encoding is that line's mistake.
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            values = read_clip(line)
        except ValueError as error:
            raise UserError(f"{path} line {number} is not a clip ({error}); make the store again") from error
        clips.append(Clip(**{**values, "captions": tuple(values["captions"])}))
    return tuple(clips)
