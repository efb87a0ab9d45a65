"""The clips that a user asks for, on the command line and in a file of captions."""

from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musicbench.errors import UserError
from musicbench.names import require_caption
from musicbench.plain_files import parse_json
from musicbench.regular_files import why_not_read

LARGEST_SEED = 1 << 62
LONGEST_SECONDS = 600.0

_ENTRIES = ("text", "seed", "seconds", "prompt", "melody")
_SOUNDS = ("prompt", "melody")
"""What a line of JSON may say of its clip."""

_SHOWN = 20
"""Mistakes of a file that are listed; the others are counted."""


@dataclass(frozen=True)
class ClipSpec:
    """One clip that a user asks for.

    Attributes:
        caption: what the clip is to sound like; "" means no caption.
        seed: of all its random numbers.
        seconds: its length, prompt included.
        prompt: audio with which it begins.
        redraw: spans of the prompt, in seconds, to draw anew.
        melody: audio whose melody it is to follow.
    """

    caption: str
    seed: int
    seconds: float
    prompt: Path | None = None
    redraw: Sequence[tuple[float, float]] = ()
    melody: Path | None = None


def clip_specs(captions: Sequence[str], file: Path | None, default: ClipSpec) -> list[ClipSpec]:
    """List the clips of captions, then those of a file of captions; one clip without a caption if there is neither.

    Args:
        default: what holds for a clip that says nothing else; its seed is that of the first clip, and each further
            clip takes the next number. Its caption is not looked at.

    Raises:
        UserError: see ``read_caption_file``.
    """
    entries: list[dict[str, Any]] = [{"text": caption} for caption in captions]
    entries += read_caption_file(file) if file is not None else []
    return [
        ClipSpec(
            entry["text"],
            entry.get("seed", default.seed + number),
            entry.get("seconds", default.seconds),
            entry.get("prompt", default.prompt),
            () if "prompt" in entry else default.redraw,
            entry.get("melody", default.melody),
        )
        for number, entry in enumerate(entries or [{"text": ""}])
    ]


def read_caption_file(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file of captions that are not blank, as entries of which only ``text`` is always there.

    By its suffix it is plain text (.txt), a caption a line, or JSON lines (.jsonl) such as
    ``{"text": "a waltz", "seed": 3, "seconds": 20, "prompt": "begin.wav", "melody": "tune.wav"}``; both are in UTF-8.
    Paths are relative to the file.

    Raises:
        UserError: the file cannot be read or holds no caption, or lines are mistaken; all of them are named.
    """
    read = {".txt": _plain, ".jsonl": _json}.get(path.suffix.lower())
    if read is None:
        raise UserError(
            f"captions {path} are neither .txt (a caption a line) nor .jsonl (an object a line); name the file after "
            "what it is"
        )
    if reason := why_not_read(path):
        raise UserError(f"no captions at {path} ({reason}); give a file with a caption a line")
    entries, mistakes = [], []
    # By bytes: text also breaks lines at characters that a caption may hold, and a mistaken encoding is one line's.
    for number, line in enumerate(path.read_bytes().removeprefix(BOM_UTF8).splitlines(), start=1):
        try:
            text = line.decode("utf-8").strip()
            if text:
                entries.append(read(text, path.parent))
                require_caption(entries[-1]["text"], f"line {number}")
        except UserError as error:
            mistakes.append(str(error))
        except UnicodeDecodeError:
            mistakes.append(f"line {number}: it is not UTF-8")
        except ValueError as error:
            mistakes.append(f"line {number}: {error}")
    if mistakes:
        more = f"; and {len(mistakes) - _SHOWN} lines more" if len(mistakes) > _SHOWN else ""
        raise UserError(f"{path}: {'; '.join(mistakes[:_SHOWN])}{more}; correct them")
    if not entries:
        raise UserError(f"{path} holds no caption; write one a line")
    return entries


def _plain(text: str, folder: Path) -> dict[str, Any]:
    return {"text": text}


def _json(text: str, folder: Path) -> dict[str, Any]:
    try:
        values = parse_json(text)
    except ValueError as error:
        raise ValueError(f"it is not valid JSON ({error})") from error
    if not isinstance(values, dict):
        raise ValueError('it is no object such as {"text": "a waltz"}')
    for name in _SOUNDS:
        if isinstance(values.get(name), str):
            values[name] = folder / values[name]
    if mistakes := list(_mistakes(values)):
        raise ValueError(", ".join(mistakes))
    return values


def _mistakes(values: dict[str, Any]) -> Iterator[str]:
    """Say what is wrong with the entries of a line."""
    if unknown := [name for name in values if name not in _ENTRIES]:
        yield f"{unknown[0]!r} is none of {', '.join(_ENTRIES)}"
    text = values.get("text")
    if not isinstance(text, str) or (text and not text.strip()):
        yield 'there is no "text"; "" stands for no caption'
    seed = values.get("seed", 0)
    if not (_is(int, seed) and 0 <= seed < LARGEST_SEED):
        yield f'"seed" must be a whole number from 0 to {LARGEST_SEED - 1}'
    seconds = values.get("seconds", 1)
    if not (_is(int | float, seconds) and 0 < seconds <= LONGEST_SECONDS):
        yield f'"seconds" must be above 0 and at most {LONGEST_SECONDS:g}'
    for name in _SOUNDS:
        if name in values and not isinstance(values[name], Path):
            yield f'"{name}" must be the path of a sound'
        elif name in values and (reason := why_not_read(values[name])):
            yield f'"{name}" {values[name]} cannot be read ({reason})'


def _is(kind: Any, value: Any) -> bool:
    """Whether a value is a number of this kind; true and false are none."""
    return isinstance(value, kind) and not isinstance(value, bool)
