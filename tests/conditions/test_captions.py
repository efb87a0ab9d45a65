"""Captions on their way to an encoder: empty ones never reach it, long ones are counted and told once."""

import pytest
import torch

from musicbench.conditions import captions
from musicbench.conditions.captions import cut_note, encoded, require_read, say_cut
from musicbench.conditions.none import NoText
from musicbench.conditions.text import OneByOne
from musicbench.errors import UserError


class Encoder:
    """One state for each word; reads three words. An empty caption would poison everything."""

    id, sha256, dim = "words", "8" * 64, 2

    def encode(self, captions):
        assert all(caption.strip() for caption in captions), "an empty caption was encoded"
        return [torch.full((min(3, len(caption.split())), 2), float(len(caption))) for caption in captions]

    def cut(self, captions):
        return sum(len(caption.split()) > 3 for caption in captions)


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch):
    monkeypatch.setattr(captions, "_said", set())


def test_empty_captions_are_never_encoded():
    states = encoded(Encoder(), ["a b", "", " \t\n\u2003", "c"])
    assert [tuple(state.shape) for state in states] == [(2, 2), (0, 2), (0, 2), (1, 2)]
    assert states[0].unique().item() == 3 and states[3].unique().item() == 1
    assert [tuple(state.shape) for state in encoded(Encoder(), ["", ""])] == [(0, 2), (0, 2)]
    assert encoded(Encoder(), []) == []


def test_no_text_reads_nothing_and_refuses_a_caption_that_is_given():
    none = NoText(device="cpu")
    assert [tuple(state.shape) for state in encoded(none, ["a", "", "b c"])] == [(0, 1)] * 3
    require_read(none, ["", "  "])
    require_read(Encoder(), ["a"])
    with pytest.raises(UserError, match=r"trained without text \(text=none\) and reads no caption"):
        require_read(none, ["", "a waltz"])


def test_cut_captions_are_told_once_with_their_count(capsys):
    long = ["a b c d", "a b c", "e f g h i"]
    assert cut_note(Encoder(), long[1:2]) is None
    note = cut_note(Encoder(), long)
    assert note is not None and "words" in note and "2 of 3 captions" in note
    assert cut_note(OneByOne(Encoder()), long) == note
    for _ in range(3):
        say_cut(Encoder(), long)
        say_cut(OneByOne(Encoder()), long)
    assert capsys.readouterr().err == f"warning: {note}\n"
    say_cut(Encoder(), long[:1])
    assert "1 of 1 captions" in capsys.readouterr().err, "another count is another note"


def test_an_encoder_need_not_count(capsys):
    say_cut(NoText(), ["a b c d e"])
    assert capsys.readouterr().err == ""
