"""Captions of audio files, as JSON lines or CSV."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicbench.data.manifest import json_lines
from musicbench.errors import UserError
from musicbench.names import require_caption
from musicbench.regular_files import why_not_read


@dataclass(frozen=True)
class Caption:
    """A line of a caption file; ``where`` names the line for messages."""

    where: str
    audio: str
    text: str
    piece: str | None


def read_captions(path: Path) -> list[Caption]:
    """The lines of a caption file: ``audio``, ``text`` and optionally ``piece``; other entries are not looked at.

    By its suffix it is JSON lines (.jsonl) or CSV with these headings (.csv), both in UTF-8.

    Raises:
        UserError: the file is missing, empty, of another kind, or has a malformed line.
    """
    readers = {".jsonl": json_lines, ".csv": _csv_lines}
    if path.suffix.lower() not in readers:
        raise UserError(f"captions {path} are neither .jsonl nor .csv; name the file after what it is")
    if reason := why_not_read(path):
        raise UserError(f"no captions at {path} ({reason}); give a file of JSON lines or a CSV with audio and text")
    captions = [_caption(where, values) for where, values in readers[path.suffix.lower()](path)]
    if not captions:
        raise UserError(f"{path} is empty; give lines with audio and text")
    return captions


def _caption(where: str, values: Any) -> Caption:
    if not isinstance(values, dict):
        raise UserError(f'{where} is no object; write {{"audio": "file.wav", "text": "caption"}}')
    for name in ("audio", "text"):
        if not isinstance(values.get(name), str) or not values[name].strip():
            raise UserError(f'{where} has no "{name}"; give one file and one caption a line')
    require_caption(values["text"], where)
    if "\0" in values["audio"]:
        raise UserError(f"{where} has a null character in its path; correct it")
    piece = values.get("piece")
    if piece is not None and (isinstance(piece, bool) or not isinstance(piece, str | int)):
        raise UserError(f'{where}: "piece" must be a name, not {piece!r}')
    return Caption(where, values["audio"], values["text"], None if piece in (None, "") else str(piece))


def _csv_lines(path: Path) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:  # spreadsheets write a byte order mark
            reader = csv.reader(stream, strict=True)
            headings = next(reader, [])
            for name in ("audio", "text"):
                if headings.count(name) != 1:
                    raise UserError(f'{path} line 1 has not one heading "{name}"; write audio,text or audio,text,piece')
            start = reader.line_num
            for row in reader:
                where, start = f"{path} line {start + 1}", reader.line_num
                if row and len(row) != len(headings):
                    raise UserError(f"{where} has {len(row)} columns, not {len(headings)}; quote texts with commas")
                if row:
                    yield where, dict(zip(headings, row, strict=True))
    except csv.Error as error:
        raise UserError(f"{path} line {reader.line_num} is not valid CSV ({error}); correct it") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 ({error}); save it in that encoding") from error
