"""Which audio there is and what is said of it: the rendered corpus, or a user's own recordings."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from musicbench.data.store import SPLITS
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.names import require_caption
from musicbench.plain_files import parse_json, read_json
from musicbench.regular_files import why_not_read
from musicbench.seals import CARD_SEAL, LINE_SEAL, unsealed

HELD_OUT_PERCENT = 10  # of a user's pieces, for each of validation and test


@dataclass(frozen=True)
class Recording:
    """An audio file with its captions, before encoding."""

    id: str
    piece: str
    split: str
    audio: Path
    captions: tuple[str, ...]
    attributes: dict[str, Any]
    source: dict[str, Any]


def read_corpus(folder: Path) -> list[Recording]:
    """The recordings of a corpus folder.

    Raises:
        UserError: a file is missing or not valid.
    """
    read_corpus_card(folder)
    recordings = []
    for where, values in json_lines(folder / "clips.jsonl"):
        try:
            fields = {name: values[name] for name in ("id", "piece", "split", "attributes", "source")}
            recording = Recording(
                **fields, captions=tuple(values["captions"]), audio=folder / "audio" / f"{values['id']}.flac"
            )
        except (KeyError, TypeError) as error:
            raise UserError(f"{where} is not a clip ({error!r}); build the corpus again") from error
        recordings.append(recording)
    return recordings


def read_corpus_card(folder: Path) -> dict[str, Any]:
    """What made a corpus folder; its clip table is held against it.

    Raises:
        UserError: one of the two is missing or damaged.
    """
    for name in ("clips.jsonl", "corpus.json"):
        if not (folder / name).is_file():
            raise UserError(f"no finished audio corpus in {folder}: {name} is missing; build it first")
    try:
        card = unsealed(read_json(folder / "corpus.json"), CARD_SEAL)
        if sha256_file(folder / "clips.jsonl") != card.get("clips_sha256"):
            raise UserError(f"{folder}/clips.jsonl does not match corpus.json; build the corpus again")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}/corpus.json is damaged ({error}); build the corpus again") from error
    return card


def read_user_manifest(path: Path) -> list[Recording]:
    """A user's own music: JSON lines of {"audio", "text"} and optionally "piece", "split", "licence".

    "source" (such as {"title", "composer"}) and "attributes" are objects that the token store keeps as they are.
    Audio paths are relative to the manifest. "text" is a caption or a list of them, in any language; an empty one means
    music without caption. Tags such as {"key", "bpm", "genre"} among the attributes can be merged into captions while
    training (``data.tag_merging``). Without "piece" a file is its own piece; without "split" a piece goes to validation
    or test by its hash (about a tenth each).

    Raises:
        UserError: the manifest is missing or malformed, an audio file does not exist, or a piece has
            two splits.
    """
    if reason := why_not_read(path):
        raise UserError(f"no manifest at {path} ({reason}); give a file of JSON lines with audio and text")
    recordings = [_own_recording(path, where, values) for where, values in json_lines(path)]
    # A split named on one line holds for the whole piece, wherever the line is.
    splits: dict[str, str] = {}
    for recording in recordings:
        if recording.split and splits.setdefault(recording.piece, recording.split) != recording.split:
            raise UserError(f"{path}: piece {recording.piece} is in two splits; give all its lines the same split")
    recordings = [replace(r, split=splits.get(r.piece) or hashed_split(r.piece)) for r in recordings]
    if not recordings:
        raise UserError(f"{path} is empty; give JSON lines with audio and text")
    return recordings


def _own_recording(path: Path, where: str, values: Any) -> Recording:
    if not isinstance(values, dict) or not isinstance(values.get("audio"), str):
        raise UserError(f'{where} has no "audio"; write {{"audio": "file.wav", "text": "caption"}}')
    texts = values.get("text")
    texts = [texts] if isinstance(texts, str) else texts
    if (
        not isinstance(texts, list)
        or not texts
        or not all(isinstance(t, str) and (t == "" or t.strip()) for t in texts)
    ):
        raise UserError(f'{where} has no "text"; write a caption or a list of captions; "" for music without one')
    for text in texts:
        require_caption(text, where)
    name, split = values["audio"], values.get("split") or ""
    audio = path.parent / name
    if reason := why_not_read(audio):
        raise UserError(
            f"{where} names {name}, which is not there ({reason}); correct the path (relative to the manifest)"
        )
    if split and split not in SPLITS:
        raise UserError(f"{where} has split {split!r}; choose one of {', '.join(SPLITS)}")
    piece = str(values.get("piece", name))
    source = {"title": piece, "composer": None, "path": name, "licence": values.get("licence")}
    given, attributes = values.get("source", {}), values.get("attributes", {})
    if not isinstance(given, dict) or not isinstance(attributes, dict):
        raise UserError(f'{where}: "source" and "attributes" must be objects, such as {{"title": "a title"}}')
    return Recording(name, piece, split, audio, tuple(texts), attributes, {**source, **given})


def hashed_split(piece: str) -> str:
    """The split of a piece: the same on every machine, whatever else is in the manifest."""
    bucket = int(hashlib.sha256(piece.encode()).hexdigest(), 16) % 100
    return "test" if bucket < HELD_OUT_PERCENT else "validation" if bucket < 2 * HELD_OUT_PERCENT else "train"


def json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """(where, value) of each line of a file that is not blank; ``where`` names the line for messages.

    A line with a checksum (of a file that musicbench wrote) is held against it.

    Raises:
        UserError: a line is not valid JSON in UTF-8, or does not match its checksum.
    """
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if line.strip():
            try:
                values = parse_json(line.decode("utf-8"))
            except ValueError as error:
                raise UserError(f"{path} line {number} is not valid JSON ({error}); correct it") from error
            if isinstance(values, dict) and LINE_SEAL in values:
                try:
                    values = unsealed(values, LINE_SEAL)
                except ValueError as error:
                    said = f"was damaged, or edited without taking out its {LINE_SEAL}"
                    raise UserError(f"{path} line {number} {said}; write the file again") from error
            yield f"{path} line {number}", values
