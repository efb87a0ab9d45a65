"""Masked and hybrid runs from command to record, and what runs that differ in decoding alone share."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench.commands import evaluate, generate, train
from musicbench.errors import UserError
from musicbench.runs.folder import BEST
from musicbench.study.records import read_record
from tests.helpers.counter import Counter

MAGNET = ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]")
HYBRID = ("family=hybrid", "decode=hybrid_10s", "decode.masked.iterations=[3,2]")


def record_of(output: Path, row: str) -> dict:
    (path,) = output.glob(f"{row}-*/record.json")
    return read_record(path)


def test_magnet_writes_a_record_without_a_likelihood(overrides, tmp_path):
    assert train.main([*overrides, *MAGNET]) == 0
    record = record_of(tmp_path, "magnet")
    assert "bits_per_frame" not in record["metrics"]
    assert {"fad", "kld", "clap_mini"} <= set(record["metrics"])
    assert "pattern" not in record["config"]
    assert "schedule" not in record["config"]
    assert (record["plan"]["pattern"], record["plan"]["steps"], record["plan"]["positions"]) == ("magnet", 5, 200)
    assert record["training"]["positions"] == 4 * 4 * 20
    assert record["training"]["train_bits_per_frame"] is None
    sampling = record["protocol"]["sampling"]
    assert (sampling["kind"], sampling["iterations"], sampling["span"]) == ("MaskedSampling", [3, 2], 3)
    speed = record["speed"]["1"]
    assert speed["generate_seconds"] > 0
    assert speed["first_audio_length"] == 4, "there is no sound before all of it is there"
    parts = (speed["text_seconds"], speed["generate_seconds"], speed["codec_seconds"])
    assert speed["first_audio_seconds"] == pytest.approx(sum(parts))


def test_hybrid_writes_a_record(overrides, tmp_path):
    assert train.main([*overrides, *HYBRID, "pattern=flat", "decode.handover=0.5"]) == 0
    record = record_of(tmp_path, "hybrid.flat")
    assert record["plan"]["steps"] == 2 * 20 + 5
    assert record["protocol"]["sampling"]["masked"]["iterations"] == [3, 2]
    assert record["config"]["pattern"] == {"pattern": "flat"}


def test_decoding_knobs_reuse_one_training(overrides, tmp_path, monkeypatch, capsys):
    train.main([*overrides, *MAGNET])
    counter = Counter(monkeypatch)
    knobs = [*MAGNET, "label=[decode.span,decode.top_p]"]
    train.main([*overrides, *knobs, "decode.span=1"])
    assert counter.batches == 0
    assert "trained already" in capsys.readouterr().out
    first, second = record_of(tmp_path, "magnet"), record_of(tmp_path, "magnet.span-1.top_p-0.9")
    assert first["id"] != second["id"]
    assert first["training"] == second["training"]
    one, other = (next(tmp_path.glob(f"{row}-*/{BEST}")) for row in ("magnet", "magnet.span-1.top_p-0.9"))
    assert one.stat().st_ino == other.stat().st_ino, "one copy of the weights"
    # A run folder stands for itself.
    (other.parent / "record.json").unlink()
    one.unlink()
    assert evaluate.main([f"run={other.parent}"]) == 0
    # Another training is another training.
    train.main([*overrides, *knobs, "decode.span=1", "seed=1"])
    assert counter.batches == 4


@pytest.mark.parametrize("damage", ["no weights", "no id", "no text"])
def test_half_a_run_lends_nothing(overrides, tmp_path, monkeypatch, damage):
    train.main([*overrides, *MAGNET])
    (folder,) = tmp_path.glob("magnet-*")
    if damage == "no weights":
        (folder / BEST).unlink()
    else:
        (folder / "trained").write_bytes(b"" if damage == "no id" else b"\xff\xfe")
    counter = Counter(monkeypatch)
    train.main([*overrides, *MAGNET, "decode.span=1"])
    assert counter.batches == 4


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (["family=magnet"], "does not decode by Sampling; choose decode=magnet_10s or magnet_30s"),
        (["family=hybrid", "decode=magnet_10s"], "does not decode by MaskedSampling; choose decode=hybrid_10s"),
        (["decode=magnet_10s"], "does not decode by MaskedSampling; choose decode=musicgen"),
        ([*MAGNET, "decode.spans=both"], "spans must be one of nonoverlap, stride1; got 'both'"),
        ([*MAGNET, "decode.spans=stride1"], "spans=stride1 scores a span by all of its tokens; set span_score"),
        ([*MAGNET, "decode.anneal=true"], "decode.anneal=True must be text, such as linear"),
        ([*MAGNET, "model.position=none"], "unknown position code 'none'"),
        ([*MAGNET, "decode.iterations=[3,2,1]"], "iterations must be given for 2 levels"),
        ([*MAGNET, "decode.rescore=0.5"], "rescore=0.5 needs a rescorer"),
        ([*MAGNET, "decode.rescorer=/nowhere"], "/nowhere is no run folder with a finished training"),
        ([*MAGNET, "family.context=-1"], "context must be"),
        ([*MAGNET, "family.span=0"], "family.span=0 must be at least 1"),
        ([*HYBRID, "decode.handover=1.5"], "handover must be a share of the clip"),
        ([*MAGNET, "label=[decode.spam]"], "label names decode.spam"),
        ([*MAGNET, "label=[decode]"], "label names decode, a group of keys"),
    ],
)
def test_mistakes_are_found_before_training(overrides, monkeypatch, family, message):
    counter = Counter(monkeypatch)
    with pytest.raises(UserError) as error:
        train.main([*overrides, *family])
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert counter.batches == 0


class TestRescorer:
    def test_an_autoregressive_run_gives_a_second_opinion(self, overrides, tmp_path):
        train.main([*overrides, "family.level_dropout=0.5"])
        (folder,) = tmp_path.glob("delay-*")
        rescored = [*MAGNET, "decode.rescore=0.3", f"decode.rescorer={folder}", "row=rescored"]
        train.main([*overrides, *MAGNET])
        train.main([*overrides, *rescored])
        plain, other = record_of(tmp_path, "magnet"), record_of(tmp_path, "rescored")
        assert plain["training"] == other["training"]
        assert other["protocol"]["sampling"]["rescore"] == 0.3
        # Asked after 2 of 3 iterations and 1 of 2, each time about the 41 positions of delay.
        assert [record["plan"]["steps"] for record in (plain, other)] == [5, 8]
        assert [record["plan"]["positions"] for record in (plain, other)] == [200, 200 + 3 * 41]
        assert str(folder) not in str(other["config"])
        # The same opinion from elsewhere is the same run.
        moved = folder.rename(tmp_path / "elsewhere")
        train.main([*overrides, *rescored[:-2], f"decode.rescorer={moved}", "row=rescored"])
        assert len(list(tmp_path.glob("rescored-*"))) == 1

    def test_it_should_know_clips_without_upper_levels(self, overrides, tmp_path, capsys):
        train.main(overrides)
        (folder,) = tmp_path.glob("delay-*")
        train.main([*overrides, *MAGNET, "decode.rescore=0.3", f"decode.rescorer={folder.parent}/del*"])
        assert "never met a clip without its upper levels" in capsys.readouterr().err
        (kept,) = tmp_path.glob("magnet-*/config.yaml")
        assert f"rescorer: {folder}" in kept.read_text(encoding="utf-8"), "found again, whatever comes beside it"
        folder.rename(tmp_path / "delay-a")
        (tmp_path / "delay-b").mkdir()
        with pytest.raises(UserError, match="fits 2 folders"):
            train.main([*overrides, *MAGNET, f"decode.rescorer={folder.parent}/del*"])

    def test_a_masked_run_cannot_rescore(self, overrides, tmp_path):
        train.main([*overrides, *MAGNET])
        (folder,) = tmp_path.glob("magnet-*")
        with pytest.raises(UserError, match="is no autoregressive run"):
            train.main([*overrides, *MAGNET, f"decode.rescorer={folder}", "decode.span=1"])


class TestGenerate:
    @pytest.fixture
    def folder(self, overrides, tmp_path) -> Path:
        train.main([*overrides, *MAGNET])
        return next(tmp_path.glob("magnet-*"))

    def clips(self, folder: Path, output: Path, *arguments: str) -> list[np.ndarray]:
        assert generate.main(["--run", str(folder), "--output", str(output), "--seconds", "3", *arguments]) == 0
        return [soundfile.read(path)[0] for path in sorted(output.glob("*.flac"))]

    def test_with_and_without_a_caption(self, folder, tmp_path):
        (told,) = self.clips(folder, tmp_path / "a", "tune")
        (untold,) = self.clips(folder, tmp_path / "b")
        assert len(told) == len(untold) == 3000

    def test_a_part_is_drawn_anew(self, folder, tmp_path):
        """The stub hears only zeros, and plays them as silence."""
        prompt = tmp_path / "prompt.wav"
        soundfile.write(prompt, np.random.default_rng(0).uniform(-0.5, 0.5, 3100), 1000)
        redraw = ("--redraw", "0.5-1", "--redraw", "2-2.3")
        (audio,) = self.clips(folder, tmp_path / "a", "tune", "--prompt", str(prompt), *redraw)
        kept = np.ones(3000, dtype=bool)
        kept[500:1000] = kept[2000:2300] = False
        assert not audio[kept].any()
        assert audio[~kept].any()

    @pytest.mark.parametrize("span", ["1", "2-1", "a-b", "-1-2", "1-inf"])
    def test_spans_that_are_none(self, span):
        with pytest.raises(UserError, match="is no span of seconds"):
            generate.main(["tune", "--run", "somewhere", "--prompt", "x.wav", f"--redraw={span}"])

    def test_what_cannot_be(self, folder, tmp_path):
        prompt = tmp_path / "prompt.wav"
        soundfile.write(prompt, np.zeros(2000), 1000)
        nothing = ["tune", "--run", str(folder), "--seconds", "3", "--prompt", str(prompt), "--redraw", "2.5-9"]
        with pytest.raises(UserError, match=r"--redraw 2\.5-9: no frame of the prompt lies there"):
            generate.main(nothing)
        with pytest.raises(UserError, match="--redraw needs a --prompt"):
            generate.main(["tune", "--run", str(folder), "--redraw", "1-2"])
        (made,) = (next(iter((tmp_path / "out").glob("*.flac"))) for _ in self.clips(folder, tmp_path / "out", "tune"))
        made = made.with_suffix(".wav")
        made.write_bytes(b"made before")
        with pytest.raises(UserError, match="nothing to stream"):
            self.clips(folder, tmp_path / "out", "tune", "--stream", "--force")
        assert made.read_bytes() == b"made before"
