"""The card of a token store: ``card.json``, checked whole, and the lines of its clip table."""

import math
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from musicbench.errors import UserError
from musicbench.plain_files import parse_json, read_json
from musicbench.schema import check
from musicbench.seals import CARD_SEAL, unsealed

FORMAT = 2
CARD = "card.json"
_VALUES = 2**16  # codes are uint16


class CodecFacts(TypedDict):
    """The codec that made the codes; ``levels`` codes a frame, each below ``codebook_size``; no ``channels``: mono; no
    ``segment_frames``: codes may be cut anywhere."""

    id: str
    sha256: str
    sample_rate: int
    frame_rate: float
    levels: int
    codebook_size: int
    channels: NotRequired[int]
    segment_frames: NotRequired[int]


class SplitSize(TypedDict):
    """How much there is in a split."""

    pieces: int
    clips: int
    seconds: float


class StoreCard(TypedDict):
    """All of ``card.json`` but its seal: what the files are, and where the music came from."""

    format: int
    codec: CodecFacts
    splits: dict[str, SplitSize]
    codes_sha256: str
    clips_sha256: str
    licences: NotRequired[list[str]]
    statistics: NotRequired[dict[str, dict[str, int]]]
    examples: NotRequired[dict[str, list[str]]]
    sources: NotRequired[list[dict[str, object]]]
    scores: NotRequired[str]
    soundfont: NotRequired[dict[str, str]]
    command: NotRequired[str]


class ClipLine(TypedDict):
    """A line of ``clips.jsonl``."""

    id: str
    piece: str
    split: Literal["train", "validation", "test"]
    start: int
    frames: int
    captions: list[str]
    attributes: dict[str, object]
    source: dict[str, object]


def read_card(path: Path) -> dict[str, Any]:
    """The card of a store, without its seal.

    Raises:
        UserError: it is no JSON, of another format, not as it was written, or a field is not what it must be.
    """
    again = "restore it or make the store again"
    try:
        content = read_json(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not valid JSON ({error}); {again}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        found = content.get("format") if isinstance(content, dict) else None
        raise UserError(f"{path} has format {found}, not {FORMAT}; make the store again")
    try:
        card = unsealed(content, CARD_SEAL)
        check_card(card, str(path))
    except ValueError as error:
        raise UserError(f"{path} is damaged or edited ({error}); {again}") from error
    except UserError as error:
        raise UserError(f"{error}; {again}") from error
    return card


def check_card(card: dict[str, Any], source: str) -> None:
    """Refuse a card with a field that is missing, unknown or no possible value.

    Args:
        source: the file, for the message.

    Raises:
        UserError: names the field.
    """
    check(card, StoreCard, source)
    codec = card["codec"]
    for name in ("sample_rate", "frame_rate", "levels", "codebook_size"):
        if not 0 < codec[name] < math.inf:
            raise UserError(f"{source}: codec.{name} is {codec[name]}; it must be above 0")
    if codec.get("channels", 1) not in (1, 2):
        raise UserError(f"{source}: codec.channels is {codec['channels']}; it must be 1 or 2")
    if codec.get("segment_frames", 1) < 1:
        raise UserError(f"{source}: codec.segment_frames is {codec['segment_frames']}; it must be above 0")
    if codec["codebook_size"] > _VALUES:
        raise UserError(f"{source}: codec.codebook_size is {codec['codebook_size']}; at most {_VALUES} are possible")
    for split, sizes in card["splits"].items():
        for name, value in sizes.items():
            if not 0 <= value < math.inf:  # type: ignore[operator]
                raise UserError(f"{source}: splits.{split}.{name} is {value}; it must not be negative")


def read_clip(line: bytes) -> dict[str, Any]:
    """The values of a line of the clip table.

    Raises:
        ValueError: it is no clip.
    """
    values = parse_json(line.decode("utf-8"))
    try:
        check(values, ClipLine, "it")
    except UserError as error:
        raise ValueError(str(error)) from error
    if not values["captions"]:
        raise ValueError("it has no caption")
    return dict(values)
