"""Names that may be part of a path, and text that shows what it holds."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.escapes import markdown_line
from musicbench.names import (
    LONGEST,
    is_own_file,
    one_line,
    require_caption,
    require_inside,
    require_name,
    require_visible,
    visible,
)
from musicbench.study.samples import sample_name


@pytest.mark.parametrize(
    "name", ["delay", "hybrid.delay", "a b", "=x", "größe 🎵", "x" * LONGEST, "-x", "C:", "%2e%2e"]
)
def test_names(name: str) -> None:
    assert require_name(name, "row") == name


@pytest.mark.parametrize(
    "name",
    ["", " ", ".", "..", ".x", "../x", "/x", "a/b", "a\\b", "a\0b", "a\nb", "a\tb", "\x1b[1m", "a\u202eb", "a\u200bb",
     "a\u2028b", "\ud800", "x" * (LONGEST + 1), "ü" * LONGEST],
)  # fmt: skip
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(UserError, match=r"row .* is no name for a file") as error:
        require_name(name, "row")
    assert str(error.value).isprintable()


def test_visible_text() -> None:
    assert visible("größe 🎵, 日本\n\tx") == "größe 🎵, 日本\n\tx"
    assert visible("\x1b[1m \x9b \u202e \r \u2028 \ufeff") == r"\x1b[1m \x9b \u202e \r \u2028 \ufeff"
    assert one_line("  a \n\n b\tc\r") == r"a b c\r"
    assert require_visible("a\nb", "note") == "a\nb"
    with pytest.raises(UserError, match=r"note .* holds control characters"):
        require_visible("a\x1bb", "note")


@given(st.text(max_size=300))
def test_every_clip_has_a_file_name(clip: str) -> None:
    if clip:
        require_name(sample_name(clip) if sample_name(clip).strip() else "x", "clip")
    assert markdown_line(clip).isprintable() or "\u200c" in clip or "\u200d" in clip or not visible(clip).isprintable()


def test_names_of_clips() -> None:
    assert sample_name("a/b #1%41?@3") == "a_b #1%41?@3"
    assert sample_name("../../x") == "_._.._x"
    assert sample_name(".hidden") == "_hidden"
    assert sample_name("a\\b\n\x1b") == "a_b__x1b"
    long = [sample_name("folder/" * 60 + end) for end in ("a", "b")]
    assert len(set(long)) == 2 and all(len(name) <= LONGEST for name in long)


def test_links_that_lead_out(tmp_path: Path) -> None:
    folder, outside = tmp_path / "folder", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "file").touch()
    (folder / "file").touch()
    (folder / "link").symlink_to(outside)
    (folder / "within").symlink_to(folder / "file")
    (folder / "circle").symlink_to(folder / "circle")
    os.mkfifo(folder / "pipe")
    assert require_inside(folder / "new" / "deep", folder) == folder / "new" / "deep"
    for place in ("link", "link/new", "..", "../outside"):
        with pytest.raises(UserError, match="leads out of"):
            require_inside(folder / place, folder)
    assert is_own_file(folder / "file", folder) and is_own_file(folder / "within", folder)
    for place in ("link/file", "pipe", "circle", "absent", "."):
        assert not is_own_file(folder / place, folder)
    # The folder itself may be reached by a link.
    (tmp_path / "alias").symlink_to(folder)
    assert is_own_file(tmp_path / "alias" / "file", tmp_path / "alias")


LANGUAGES = (
    "größe",
    "Gro\u0308ße",
    "موسيقى هادئة",
    "\u200fעברית\u200f 120 bpm",
    "静かなワルツ",
    "धीमा वाल्ट्ज़",
    "👩🏽\u200d🎤🎵",
    "a\tb\r\nc",
    "",
)


@pytest.mark.parametrize("text", LANGUAGES)
def test_captions_of_any_language(text: str) -> None:
    assert require_caption(text, "line 3") == text, "as it was written: marks are not composed"


@pytest.mark.parametrize("character", ["\0", "\x01", "\x07", "\x1b", "\x7f", "\x85", "\ud800"])
def test_control_characters_in_captions_are_named(character: str) -> None:
    with pytest.raises(UserError, match="line 3 has the control character") as error:
        require_caption(f"a waltz{character}", "line 3")
    assert str(error.value).isprintable() and visible(str(error.value)) == str(error.value)
