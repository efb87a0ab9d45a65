"""The speed that a run's record tells."""

import pytest

from musicbench.commands import evaluate
from musicbench.runs.compose import run_configuration
from musicbench.runs.run import Run
from musicbench.study.quantities import quantity
from musicbench.study.records import read_record


def test_a_streaming_run_is_timed_in_all_its_parts(trained_run):
    record = read_record(trained_run / "record.json")
    assert not [line for line in record["failures"] if line.startswith("speed")]
    speed = record["speed"]["1"]
    (part,) = speed["repeats"]
    assert set(part) == {"text_seconds", "generate_seconds", "codec_seconds", "first_audio_seconds"}
    for name, seconds in part.items():
        assert speed[name] == seconds > 0
    assert speed["first_audio_seconds"] > speed["text_seconds"]
    # Half a second, five frames, less the two whose sound depends on what follows.
    assert speed["first_audio_length"] == pytest.approx(0.3)
    assert quantity([record], "speed.1.first_audio_seconds").value == speed["first_audio_seconds"]


def test_the_text_encoder_reads_captions_anew(trained_run):
    encoder = Run(run_configuration(trained_run)).parts.encoder
    evaluate.main([f"run={trained_run}"])
    # Tables of states ask for each caption once.
    warm_up, repeat = encoder.captions[-2:]
    assert warm_up == repeat


def test_a_speed_that_cannot_be_measured_is_told_in_the_record(trained_run, stub_codec, monkeypatch):
    def fail(*_):
        raise RuntimeError("no memory left\nlong explanations")

    monkeypatch.setattr(type(stub_codec), "decoding", fail)
    assert evaluate.main([f"run={trained_run}"]) == 0
    record = read_record(trained_run / "record.json")
    assert record["speed"] == {}
    assert [line for line in record["failures"] if line.startswith("speed")] == [
        "speed, batch 1: streaming failed (RuntimeError: no memory left)"
    ]
    assert "kld" in record["metrics"]
