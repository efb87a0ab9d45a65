"""``musicbench evaluate audio=FOLDER``: other people's systems as rows, and audio with captions of its own."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench.commands import evaluate
from musicbench.data import hashing
from musicbench.errors import UserError
from musicbench.study.comparability import require_comparable
from musicbench.study.records import read_record
from tests.damage import flip
from tests.helpers.tiny_run import RATE


def tone(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, round(seconds * rate))
    return noise * np.linspace(0.2, 1, len(noise))


def record_of(folder: Path, row: str):
    (path,) = folder.glob(f"{row}-*/record.json")
    return read_record(path)


@pytest.fixture
def held_out(overrides, tmp_path):
    """The prompts file and a folder with a file for each."""
    prompts, folder = tmp_path / "prompts.jsonl", tmp_path / "theirs"
    assert evaluate.main([*overrides, f"prompts={prompts}"]) == 0
    folder.mkdir()
    lines = [json.loads(line) for line in prompts.read_text().splitlines()]
    for number, line in enumerate(lines):
        assert line["text"] and line["seconds"] == 4.0
        soundfile.write(folder / line["audio"], tone(4.0, seed=number), RATE)
    return lines, folder


def test_another_system_is_a_row_beside_ours(overrides, held_out, tmp_path):
    _, folder = held_out
    evaluate.main([*overrides, f"audio={folder}", "row=theirs"])
    evaluate.main([*overrides, "system=codec"])
    theirs, codec = record_of(tmp_path, "theirs"), record_of(tmp_path, "codec")
    require_comparable([theirs, codec])
    assert theirs["kind"] == "external" and theirs["protocol"] == codec["protocol"]
    assert set(theirs["metrics"]) == set(codec["metrics"]) >= {"fad", "kad", "kld", "clap_mini", "codec_distance"}
    assert theirs["files"]["read"] == len(theirs["clips"]) and not theirs["files"]["skipped"]
    assert str(tmp_path) not in json.dumps(theirs["config"])
    assert list(tmp_path.glob("theirs-*/samples/*.flac"))


def test_the_codec_system_from_files_scores_as_from_codes(overrides, tmp_path):
    """The same sound, once from the store and once as float files of another system."""
    from musicbench.assessment.clips import held_out
    from musicbench.runs.compose import compose
    from musicbench.runs.run import Run
    from musicbench.study.listening import sample_name

    run = Run(compose("train", overrides))
    held = held_out(run.jury)
    (tmp_path / "files").mkdir()
    for crop, codes_KT in zip(held.crops, held.codes_NKT, strict=True):
        audio_N = run.parts.codec.decode(codes_KT[None])[0, 0].numpy()
        soundfile.write(tmp_path / "files" / f"{sample_name(crop.id)}.wav", audio_N, RATE, subtype="FLOAT")
    evaluate.main([*overrides, f"audio={tmp_path / 'files'}", "row=files"])
    evaluate.main([*overrides, "system=codec"])
    files, codec = record_of(tmp_path, "files"), record_of(tmp_path, "codec")
    for name in ("fad", "kad", "kld", "clap_mini"):
        assert files["metrics"][name]["value"] == pytest.approx(codec["metrics"][name]["value"], rel=1e-6, abs=1e-9)


def test_a_missing_or_damaged_held_out_clip_is_one_line(overrides, held_out):
    lines, folder = held_out
    first = folder / lines[0]["audio"]
    whole = first.read_bytes()
    first.write_bytes(whole[:30])
    with pytest.raises(UserError, match=r"all held-out clips are needed"):
        evaluate.main([*overrides, f"audio={folder}", "row=theirs"])
    soundfile.write(first, tone(3.5), RATE)
    with pytest.raises(UserError, match="too short"):
        evaluate.main([*overrides, f"audio={folder}", "row=theirs"])
    first.unlink()
    with pytest.raises(UserError, match="lacks 1 of"):
        evaluate.main([*overrides, f"audio={folder}", "row=theirs"])
    first.write_bytes(whole)
    with pytest.raises(UserError, match="name it with row=NAME"):
        evaluate.main([*overrides, f"audio={folder}"])
    assert evaluate.main([*overrides, f"audio={folder}", "row=theirs"]) == 0


@pytest.fixture
def own(tmp_path):
    """Twelve clips of six pieces in odd formats, with bad ones among them, captions and originals."""
    folder, originals = tmp_path / "own", tmp_path / "recordings"
    folder.mkdir()
    originals.mkdir()
    lines = []
    for number in range(12):
        rate = (RATE, 2 * RATE)[number % 2]
        audio_N = tone(5.0, rate, number)
        stereo_NC = np.stack([audio_N, 0.5 * audio_N], axis=1)
        soundfile.write(folder / f"c{number:02}.wav", stereo_NC, rate, subtype="PCM_24")
        soundfile.write(originals / f"c{number:02}.flac", tone(5.0, RATE, number + 50), RATE)
        lines.append({"audio": f"c{number:02}.wav", "text": f"tune {number}", "piece": f"p{number // 2}"})
    for name, audio_N in (("nan", np.full(5 * RATE, np.nan)), ("one", np.zeros(1)), ("silent", np.zeros(5 * RATE))):
        soundfile.write(folder / f"{name}.wav", audio_N, RATE, subtype="FLOAT")
        lines.append({"audio": f"{name}.wav", "text": name})
    (folder / "cut.flac").write_bytes(b"fLaC")
    lines += [{"audio": "cut.flac", "text": "cut"}, {"audio": "absent.wav", "text": "absent"}]
    soundfile.write(folder / "uncaptioned.wav", tone(5.0), RATE)
    soundfile.write(originals / "silent.flac", tone(5.0), RATE)
    captions = tmp_path / "captions.jsonl"
    captions.write_text("\n".join(json.dumps(line) for line in lines))
    return folder, captions, originals


def test_own_captions_beside_damaged_codes(overrides, own, tmp_path):
    """The codec distance compares with the store's codes; what is kept of them must be right."""
    folder, captions, _ = own
    store = Path(overrides[0].partition("=")[2])
    flip(store / "codes.npy", 8 * 400)
    with pytest.raises(UserError, match=r"codes\.npy does not match its card"):
        evaluate.main([*overrides, f"audio={folder}", f"captions={captions}", "row=alone"])
    assert not list(tmp_path.glob("cache/codec_reference/*"))


def test_own_captions_with_and_without_originals(overrides, own, tmp_path):
    folder, captions, originals = own
    given = [*overrides, f"audio={folder}", f"captions={captions}"]
    evaluate.main([*given, "row=alone"])
    alone = record_of(tmp_path, "alone")
    assert len(alone["clips"]) == 13 and alone["protocol"]["pieces"] == 7
    assert {"fad", "clap_mini", "codec_distance"} <= set(alone["metrics"]) and "kld" not in alone["metrics"]
    skipped, warned = alone["files"]["skipped"], alone["files"]["warnings"]
    assert sum(skipped.values()) == 5 and warned["silent"] == 1
    assert skipped["no audio file"] == skipped["no caption"] == skipped["too short"] == 1
    assert alone["protocol"]["clip_seconds"] == 5.0 and alone["protocol"]["tokens_sha256"] is None
    evaluate.main([*given, "row=paired", f"originals={originals}"])
    paired = record_of(tmp_path, "paired")
    assert {"kld", "kld_reverse", "kad"} <= set(paired["metrics"])
    (originals / "c03.flac").unlink()
    with pytest.raises(UserError, match=r"lacks the originals of 1 clips, such as c03"):
        evaluate.main([*given, "row=lacking", f"originals={originals}"])


def test_the_record_says_which_originals_and_which_lengths(overrides, own, tmp_path):
    folder, captions, originals = own
    others = tmp_path / "others"
    others.mkdir()
    for number, path in enumerate(sorted(originals.iterdir())):
        soundfile.write(others / path.name, tone(5.0, RATE, number + 90), RATE)
    given = [*overrides, f"audio={folder}", f"captions={captions}"]
    evaluate.main([*given, "row=one", f"originals={originals}"])
    evaluate.main([*given, "row=two", f"originals={others}"])
    one, two = record_of(tmp_path, "one"), record_of(tmp_path, "two")
    assert one["metrics"]["kld"] != two["metrics"]["kld"]
    with pytest.raises(UserError, match=r"protocol\.originals_sha256"):
        require_comparable([one, two])
    rate = 2 * RATE
    soundfile.write(folder / "c01.wav", tone(7.0, rate, 1), rate)
    evaluate.main([*given, "row=longer"])
    longer = record_of(tmp_path, "longer")["protocol"]
    assert longer["clip_seconds"] is None and longer["seconds_range"] == [5.0, 7.0]
    assert longer["captions_sha256"] != one["protocol"]["captions_sha256"]


def test_settings_that_do_not_go_together(overrides, own):
    folder, captions, originals = own
    for wrong in (["system=codec", f"captions={captions}"], [f"audio={folder}", f"originals={originals}"]):
        with pytest.raises(UserError, match="goes with"):
            evaluate.main([*overrides, "row=x", *wrong])


def test_a_single_clip(overrides, own, tmp_path):
    folder, captions, _ = own
    captions.write_text(captions.read_text().splitlines()[0])
    evaluate.main([*overrides, f"audio={folder}", f"captions={captions}", "row=single"])
    single = record_of(tmp_path, "single")
    assert (
        single["metrics"]["clap_mini"]["value"] is not None and single["metrics"]["clap_mini_shuffled"]["value"] is None
    )
    assert any("cannot be shuffled" in line for line in single["failures"])


def test_a_folder_as_reference(overrides, own, held_out, tmp_path):
    _, folder = held_out
    reference = own[2]
    for name in ("one", "two"):
        evaluate.main([*overrides, f"audio={folder}", f"row={name}", f"evaluation.reference={reference}"])
    one, two = record_of(tmp_path, "one"), record_of(tmp_path, "two")
    assert one["protocol"]["reference"]["id"] == "recordings"
    assert one["protocol"]["reference"]["windows"] == 13 * 3
    assert one["metrics"] == two["metrics"]
    evaluate.main([*overrides, "system=codec"])
    with pytest.raises(UserError, match=r"differ in protocol\.reference"):
        require_comparable([one, record_of(tmp_path, "codec")])


def test_judging_anew_generates_nothing_anew(overrides, tmp_path, monkeypatch):
    """Drawn codes are kept: an evaluation that stopped goes on, and other references need no new clips."""
    from musicbench.evaluation.systems import UnigramModel

    calls = []
    original = UnigramModel.generate

    def generate(self, captions, frames, seeds):
        calls.append(list(seeds))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(self, captions, frames, seeds)

    monkeypatch.setattr(UnigramModel, "generate", generate)
    given = [*overrides, "system=unigram", "evaluation.batch_size=1"]
    with pytest.raises(KeyboardInterrupt):
        evaluate.main(given)
    evaluate.main(given)
    drawn = len(calls)
    assert calls[1] == calls[2] and calls[0] not in calls[1:]
    (path,) = tmp_path.glob("unigram-*/record.json")
    path.unlink()
    evaluate.main(given)
    assert len(calls) == drawn
    before = read_record(path)["metrics"]
    for kept in (tmp_path / "cache" / "generated").glob("*.npz"):
        flip(kept, 8 * 200)  # within the codes
    path.unlink()
    evaluate.main(given)
    assert len(calls) == drawn + 2
    assert read_record(path)["metrics"] == before


def test_files_are_listed_and_hashed_once(overrides, own, tmp_path, monkeypatch):
    """Whatever they are for: the run's identity, the record's protocol, the reference set."""
    folder, captions, originals = own
    hashed, listed, sha256, walk = [], [], hashing.sha256_file, os.walk
    monkeypatch.setattr(hashing, "sha256_file", lambda path: (hashed.append(path), sha256(path))[1])
    monkeypatch.setattr(os, "walk", lambda top, **options: (listed.append(top), walk(top, **options))[1])
    given = [f"audio={folder}", f"captions={captions}", f"originals={originals}", f"evaluation.reference={originals}"]
    evaluate.main([*overrides, *given, "row=once"])
    assert sorted(hashed) == sorted([*folder.iterdir(), *originals.iterdir()])
    assert [top for top in listed if top == folder] == [folder]
    assert record_of(tmp_path, "once")["protocol"]["originals_sha256"]


def test_a_bad_folder_is_told_before_anything_is_loaded(overrides, own, tmp_path, monkeypatch):
    folder, captions, _ = own
    loaded = []
    for room in ("parts", "jury"):
        monkeypatch.setattr(f"musicbench.runs.{room}.instantiated", lambda *given, **_: loaded.append(given))
    captions.write_text("")
    for given, message in ((folder, "is empty"), (tmp_path / "none", "is not a folder")):
        with pytest.raises(UserError, match=message):
            evaluate.main([*overrides, f"audio={given}", f"captions={captions}", "row=x"])
    assert not loaded
