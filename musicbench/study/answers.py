"""Answer sheets of the page's blind comparison, read and checked."""

import csv
import io
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from musicbench.errors import UserError
from musicbench.names import require_name, require_visible
from musicbench.regular_files import require_regular

COLUMNS = (
    "title", "table", "session", "seed", "answers", "trial", "prompt", "system_a", "system_b", "heard", "answer",
    "seconds", "matched", "comment", "time", "crc32",
)  # fmt: skip
"""Columns of a sheet, a line an answer.

``table`` is the hash of the table's audio, ``session`` a random name of the sitting, ``answers`` how many lines the
sheet has. ``heard`` is the sides in the order of their first playing (AB or BA), ``seconds`` how long both were
played, and ``matched`` whether they were equally loud (yes or no): a clip may be silent or much too
faint, and some browsers leave loudness alone. ``crc32`` is the ``cells_crc32`` of the line's other cells.
"""
ANSWERS = ("A", "B", "none", "failed")
"""The possible answers: A or B is preferred, neither is, or a clip did not play (which does not count)."""


@dataclass(frozen=True)
class Answer:
    """The listener's answer to one trial: ``answer`` is one of ``ANSWERS``."""

    trial: int
    prompt: str
    system_a: str
    system_b: str
    answer: str


@dataclass(frozen=True)
class Sheet:
    """The answers of one sitting."""

    path: Path
    title: str
    table: str
    session: str
    unmatched: int
    answers: tuple[Answer, ...]


def read_sheet(path: Path) -> Sheet:
    """Read one answer sheet as the page downloads it.

    Raises:
        UserError: the file cannot be read, or is cut, edited or no answer sheet.
    """
    lines = _lines(path)
    for name in ("title", "table", "session", "seed", "answers"):
        if len({line[name] for line in lines}) != 1:
            raise UserError(f"{path}: column {name} changes within the sheet; give each sheet as its own file")
    if lines[0]["answers"] != str(len(lines)):
        raise UserError(
            f"{path} holds {len(lines)} of its {lines[0]['answers']} answers; download the sheet again from the page"
        )
    answers = tuple(_answer(path, line) for line in lines)
    trials = [answer.trial for answer in answers]
    if len(set(trials)) != len(trials):
        raise UserError(f"{path} answers a trial twice; download the sheet again from the page")
    require_visible(lines[0]["title"], f"{path}: title")
    unmatched = sum(line["matched"] != "yes" for line in lines)
    return Sheet(path, lines[0]["title"], lines[0]["table"], lines[0]["session"], unmatched, answers)


def read_sheets(paths: Sequence[Path], table: str | None = None) -> list[Sheet]:
    """Read sheets that are counted together.

    Args:
        table: hash of the audio that they must be about; without it they must agree with each other.

    Raises:
        UserError: as ``read_sheet``, or a sheet is of another table, or two hold the same sitting.
    """
    sheets = [read_sheet(path) for path in paths]
    sessions: dict[str, Path] = {}
    for sheet in sheets:
        if sheet.table != (table or sheets[0].table):
            other = "the table's audio as it is now" if table else f"{sheets[0].path} ({sheets[0].title})"
            raise UserError(f"{sheet.path} ({sheet.title}) is about other audio than {other}; leave it out")
        if sheet.session in sessions:
            raise UserError(f"{sheet.path} and {sessions[sheet.session]} hold the same sitting; leave one out")
        sessions[sheet.session] = sheet.path
    return sheets


def cells_crc32(cells: Iterable[str]) -> str:
    """Checksum of a line's cells, which ``crc32`` in ``ab_sheet.js`` writes: eight hex digits."""
    return f"{zlib.crc32(chr(10).join(cells).encode()):08x}"


def _lines(path: Path) -> list[dict[str, str]]:
    """The sheet's lines by column."""
    try:
        require_regular(path)
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read answer sheet {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text; take the sheet as the page downloaded it") from error
    try:
        header, *lines = list(csv.reader(io.StringIO(text), strict=True)) or [[]]
    except csv.Error as error:
        raise UserError(f"{path} is no whole CSV file ({error}); download the sheet again from the page") from error
    if tuple(header) != COLUMNS:
        raise UserError(f"{path} is no answer sheet: its first line must be {','.join(COLUMNS)}")
    if not lines:
        raise UserError(f"{path} holds no answer; leave it out")
    for number, line in enumerate(lines, 1):
        if len(line) != len(COLUMNS):
            raise UserError(
                f"{path}: answer {number} has {len(line)} fields instead of {len(COLUMNS)}; "
                "download the sheet again from the page"
            )
        if line[-1] != cells_crc32(line[:-1]):
            raise UserError(
                f"{path}: answer {number} does not match its checksum, so the sheet is damaged or was edited; "
                "download it again from the page"
            )
    return [dict(zip(COLUMNS, line, strict=True)) for line in lines]


def _answer(path: Path, line: dict[str, str]) -> Answer:
    trial, first, second = line["trial"], line["system_a"], line["system_b"]
    if not trial.isdecimal() or len(trial) > 9:
        raise UserError(f"{path}: trial {trial!r} is no number; take the sheet as the page downloaded it")
    if not first or not second or first == second:
        raise UserError(f"{path}: trial {trial} needs two different systems, it has {first!r} and {second!r}")
    if line["answer"] not in ANSWERS:
        raise UserError(f"{path}: trial {trial} is answered {line['answer']!r}, which is none of {', '.join(ANSWERS)}")
    for column in ("prompt", "system_a", "system_b"):
        require_name(line[column], f"{path}: {column} of trial {trial}")
    return Answer(int(trial), line["prompt"], first, second, line["answer"])
