"""From command to record: a run without text, and one whose encoder cuts captions."""

import pytest

from musicbench.commands import train
from musicbench.conditions.none import NoText
from musicbench.conditions.text_facts import NO_TEXT
from musicbench.runs.contents import Contents
from musicbench.runs.parts import Parts
from musicbench.study.records import read_record
from tests.helpers.tiny_run import StubEncoder


def trained(overrides, tmp_path, monkeypatch, encoder, *more) -> dict:
    monkeypatch.setattr(Parts, "encoder", property(lambda _: encoder))
    monkeypatch.setattr(Contents, "encoder", property(lambda _: encoder.sha256))
    assert train.main([*overrides, "row=mine", *more]) == 0
    (path,) = tmp_path.glob("mine-*/record.json")
    return read_record(path)


def test_without_text_a_caption_says_nothing(overrides, tmp_path, monkeypatch):
    record = trained(overrides, tmp_path, monkeypatch, NoText(), "text=none", "evaluation.clap_mini=null")
    metrics = record["metrics"]
    assert metrics["bits_per_frame"]["per_clip"] == pytest.approx(metrics["bits_per_frame_shuffled"]["per_clip"])
    assert record["config"]["text"] == {"name": "none"} and NoText.sha256 == NO_TEXT
    assert not [warning for warning in record.get("warnings", []) if "captions" in warning]


def test_a_record_says_how_many_captions_were_cut(overrides, tmp_path, monkeypatch, capsys):
    class Short(StubEncoder):
        id = "short"

        def cut(self, captions):
            return sum(len(caption) > 7 for caption in captions)

    record = trained(overrides, tmp_path, monkeypatch, Short())
    captions = [f"piece {number}" + " again" * extra for number in range(8) for extra in range(1 + number % 3)]
    cut = sum(len(caption) > 7 for caption in captions)
    assert 0 < cut < len(captions)
    said = capsys.readouterr().err
    assert said.count(f"warning: short reads the first tokens alone of {cut} of {len(captions)} captions") == 1
    # The held-out clips have the first phrasing of each piece.
    assert not [warning for warning in record.get("warnings", []) if "captions" in warning]


def test_control_a_record_with_cut_captions_warns(overrides, tmp_path, monkeypatch):
    class Shorter(StubEncoder):
        id = "shorter"

        def cut(self, captions):
            return len(captions)

    record = trained(overrides, tmp_path, monkeypatch, Shorter())
    asked = record["protocol"]["clips"]
    assert (
        f"shorter reads the first tokens alone of {asked} of {asked} captions, which are longer" in record["warnings"]
    )
