"""Check names and texts from files: whether a name fits a file of ours, and how a text is shown safely."""

import os
import unicodedata
from pathlib import Path

from musicbench.errors import UserError

LONGEST = 200
"""Bytes of a name: file systems take 255, and seeds, suffixes and the marks of temporary files are added to it."""

_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
# Joiners shape letters and emoji and hide nothing.
_SHOWN = "\n\t\u200c\u200d"


def require_name(name: str, what: str) -> str:
    """Return the name if it can become a part of a path.

    Args:
        what: the place of the name, for the message.

    Raises:
        UserError: it is empty or too long, begins with a dot, or holds a slash or an invisible character.
    """
    if reason := _unfit(name):
        raise UserError(f"{what} {visible(repr(name[:60]))} is no name for a file: {reason}; choose another name")
    return name


def require_visible(text: str, what: str) -> str:
    """Return the text if all its characters are visible; it may have several lines.

    Raises:
        UserError: it holds a control character, such as those that colour a terminal or turn the direction of text.
    """
    if visible(text) != text:
        raise UserError(f"{what} {visible(repr(text[:60]))} holds control characters; take them out")
    return text


def require_caption(text: str, what: str) -> str:
    """Return the text if it can be a caption: any language, marks and emoji, but no control characters.

    Args:
        what: the place of the text, for the message.

    Raises:
        UserError: it holds a control character that is neither a tab nor a line end, or half of a surrogate pair.
    """
    wrong = next((c for c in text if c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cs")), None)
    if wrong is not None:
        raise UserError(f"{what} has the control character {_spelled(wrong)} in its caption; take it out")
    return text


def visible(text: str) -> str:
    """Return the text with each control character (terminal commands, direction of text) spelt out, as in ``\\x1b``."""
    if text.isprintable():
        return text
    return "".join(_spelled(character) if _is_hidden(character) else character for character in text)


def one_line(text: str) -> str:
    """Return the ``visible`` text with single spaces for its blanks, tabs and line ends."""
    return " ".join(part for line in visible(text).split("\n") for part in line.replace("\t", " ").split(" ") if part)


def is_inside(path: Path, folder: Path) -> bool:
    """Return whether a path, its links followed, leads below a folder."""
    # ``Path.resolve`` raises for links in a circle.
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def require_inside(path: Path, folder: Path) -> Path:
    """Return the path if writing or deleting it stays below the folder.

    Raises:
        UserError: a link leads out of it.
    """
    if not is_inside(path, folder):
        raise UserError(f"{path} leads out of {folder} by a link; put a folder of its own in place of the link")
    return path


def is_own_file(path: Path, folder: Path) -> bool:
    """Return whether a path is a regular file (no pipe, no device) that lies, its links followed, below a folder."""
    return path.is_file() and is_inside(path, folder)


def _unfit(name: str) -> str:
    """Return the reason why a name cannot be a part of a path; empty if it can."""
    if not name.strip():
        return "it is empty"
    if name.startswith("."):
        return "it begins with a dot"
    if "/" in name or "\\" in name:
        return "it holds a slash"
    if visible(name) != name or "\n" in name or "\t" in name:
        return "it holds control characters"
    if len(name.encode()) > LONGEST:
        return f"it is longer than {LONGEST} bytes"
    return ""


def _is_hidden(character: str) -> bool:
    return character not in _SHOWN and unicodedata.category(character) in _HIDDEN


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
