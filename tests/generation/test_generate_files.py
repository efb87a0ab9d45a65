"""Files of ``musicbench generate``: names tell apart what sounds apart, none is overwritten, all say what they are."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musicbench import cli
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.generation.clip_files import Clip, clip_files, require_new
from musicbench.generation.windows import Windows
from musicbench.runs.folder import read_training_id
from musicbench.seals import content_sha256
from musicbench.study.records import read_record
from musicbench.temporaries import unhidden


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def prompts(tmp_path: Path) -> list[Path]:
    """Two sounds that the stub codec encodes differently: one is longer."""
    found = [tmp_path / "a.wav", tmp_path / "b.wav"]
    for path, count in zip(found, (1250, 1450), strict=True):
        soundfile.write(path, np.zeros(count), 1000)
    return found


def made(output: Path) -> set[str]:
    return {path.name for path in output.iterdir()} if output.exists() else set()


def make(output: Path, run: Path, *arguments: object) -> set[str]:
    """Names of the files that a call adds; those that were there are as they were."""
    before = {path: path.read_bytes() for path in output.iterdir()} if output.exists() else {}
    places = ["--run", str(run), "--output", str(output), "--seconds", "3"]
    assert cli.main(["generate", str(arguments[0]), *places, *map(str, arguments[1:])]) == 0
    assert {path: path.read_bytes() for path in before} == before
    return made(output) - {path.name for path in before}


def test_whatever_changes_the_sound_changes_the_name(trained_run, output, prompts, tmp_path):
    copy = shutil.copytree(trained_run, tmp_path / "delay-ffffffff")
    one, other = prompts
    (tmp_path / "deep").mkdir()
    same = shutil.copyfile(one, tmp_path / "deep" / one.name)
    calls: list[tuple[Path, tuple[object, ...]]] = [
        (trained_run, ("tune",)),
        (copy, ("tune",)),
        (trained_run, ("tune", "--seconds", "3.5")),
        (trained_run, ("tune", "--", "decode.cfg=2")),
        (trained_run, ("tune", "--", "decode.cfg=2", "decode.temperature=0.5")),
        (trained_run, ("tune", "--seed", "1")),
        (trained_run, ("tune!", "--seed", "0")),
        (trained_run, ("tune", "--prompt", one)),
        (trained_run, ("tune", "--prompt", other)),
        (trained_run, ("tune", "--prompt", one, "--redraw", "0.5-1.3")),
        (trained_run, ("tune", "--prompt", one, "--redraw", "0.9-1.3")),
        (trained_run, ("tune", "--window", "3")),
        (trained_run, ("tune", "--window", "2.5")),
        (trained_run, ("tune", "--overlap", "0.5")),
    ]
    names = [make(output, run, *arguments) for run, arguments in calls]
    assert all(len(added) == 2 for added in names)
    with pytest.raises(AssertionError):  # the same sound by another path is the same prompt
        make(output, trained_run, "tune", "--prompt", same)
    readable = f"tune-0-{trained_run.name}-"
    assert all(name.startswith(readable) for name in names[0])
    assert all(name.startswith("tune-0-delay-ffffffff-") for name in names[1])


def test_other_weights_have_another_name(make_run, stub_codec, output, tmp_path):
    """Also in a folder of the same name: a training that went on."""
    run = make_run()
    run.contents.__dict__.update(codec=stub_codec, encoder="5" * 64)
    names = set()
    for weights in (b"some", b"others"):
        (tmp_path / "run").mkdir(exist_ok=True)
        (tmp_path / "run" / "best.ckpt").write_bytes(weights)
        names |= {clip.stem.name for clip in clip_files(run, tmp_path / "run", [Clip("tune", 0, 30)], output)}
    assert len(names) == 2


def test_ids_of_clips_that_are_drawn_at_once_stay(make_run, stub_codec, output, tmp_path):
    run = make_run()
    run.contents.__dict__.update(codec=stub_codec, encoder="5" * 64)
    clips = [Clip("tune", 3, 20), Clip("tune", 3, 50, None, Windows(20, 13)), Clip("tune", 3, 50, None, Windows(20, 9))]
    files = clip_files(run, tmp_path, clips, output)
    hashed = [[run.generation_id(tmp_path), "tune", 3, *rest] for rest in ([20, None], [50, None, 20, 13])]
    assert [file.facts["id"] for file in files[:2]] == [content_sha256(content)[:8] for content in hashed]
    assert [file.facts.get("windows") for file in files] == [
        None,
        {"window": 2.0, "overlap": 1.3},
        {"window": 2.0, "overlap": 0.9},
    ]


def test_what_changes_no_sound_changes_no_name(refused, trained_run, output):
    make(output, trained_run, "tune")
    line = refused("generate", "tune", "--run", trained_run, "--output", output, "--seconds", "3", "--",
                   "trainer.threads=1")  # fmt: skip
    assert "exists already" in line
    asked = ("generate", "tune", "--run", trained_run, "--output", output, "--seconds")
    for same in (("--window", "2"), ("--overlap", "1.3"), ("--", "evaluation.batch_size=1")):
        assert "exists already" in refused(*asked, "3", *same)
    make(output, trained_run, "tune", "--seconds", "2")
    for same in (("--window", "2.5"), ("--overlap", "1")):
        assert "exists already" in refused(*asked, "2", *same), "one window is one, however long it may be"


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_the_same_again_is_refused_before_anything_is_made(refused, trained_run, output, monkeypatch, stream):
    names = make(output, trained_run, "tune", *stream)
    before = {name: (output / name).read_bytes() for name in names}
    again = ("generate", "other", "tune", "--run", trained_run, "--output", output, "--seconds", "3", *stream)
    monkeypatch.setattr("musicbench.generation.generate.load_trained", lambda *_: pytest.fail("the model was loaded"))
    line = refused("generate", "tune", *again[3:])
    assert "exists already" in line and "--force" in line and str(output) in line
    monkeypatch.undo()
    assert {name: (output / name).read_bytes() for name in made(output)} == before


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_one_clip_of_several_that_is_there_stops_all(refused, trained_run, output, stream):
    arguments = ["--run", trained_run, "--output", output, "--seconds", "3", *stream]
    assert cli.main(["generate", "b", *map(str, arguments), "--seed", "1"]) == 0
    before = made(output)
    assert "exists already" in refused("generate", "a", "b", *arguments)
    assert made(output) == before


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_force_makes_it_anew(trained_run, output, stream):
    names = make(output, trained_run, "tune", *stream)
    before = {name: (output / name).read_bytes() for name in names}
    for name in names:
        (output / name).write_bytes(b"edited")
    arguments = ["--run", str(trained_run), "--output", str(output), "--seconds", "3", *stream, "--force"]
    assert cli.main(["generate", "tune", *arguments]) == 0
    assert {name: (output / name).read_bytes() for name in made(output)} == before


def test_a_stream_beside_a_file_is_no_conflict(trained_run, output):
    whole = make(output, trained_run, "tune")
    (stream,) = make(output, trained_run, "tune", "--stream")
    assert {Path(name).stem for name in whole} == {Path(stream).stem}


def test_captions_that_give_the_same_words_do_not_meet(trained_run, output):
    captions = ["a b", "a-b", "a/b", "a b", "A b"]
    arguments = ["--run", str(trained_run), "--output", str(output), "--seconds", "3"]
    assert cli.main(["generate", *captions, *arguments]) == 0
    assert len(made(output)) == 2 * len(captions)
    texts = sorted(path.read_text(encoding="utf-8").strip() for path in output.glob("*.txt"))
    assert texts == sorted(captions)


@pytest.mark.parametrize("caption", ["slow " * 200, "ü" * 300, "琴の音" * 100, "🎵" * 100, "𝄞x" * 100, "..", "-"])
def test_long_captions_have_names_that_fit(trained_run, output, tmp_path, caption):
    run = shutil.copytree(trained_run, tmp_path / ("ü" * 100 + "-" + "r" * 50))
    for stream in ((), ("--stream",)):
        names = make(output, run, caption, "--seed", str(2**61), *stream)
        assert names and all(len(os.fsencode(name)) < 255 for name in names)
        assert not any(name.startswith((".", "-")) for name in names)


def test_a_seed_that_no_generator_takes(refused, trained_run):
    assert "--seed from 0 to" in refused("generate", "tune", "--run", trained_run, "--seed", 2**64)


def comment(path: Path) -> tuple[str, dict[str, Any]]:
    with soundfile.SoundFile(path) as sound:
        found = sound.copy_metadata()
    return found.get("title", ""), json.loads(found["comment"])


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_files_say_what_they_are(trained_run, output, prompts, stream):
    caption = "größe: 3/4 = “ünïcödé” 琴 🎵"
    make(output, trained_run, caption, "--seed", "7", "--prompt", prompts[0], "--redraw", "0.5-1.3", *stream,
         "--", "decode.cfg=2")  # fmt: skip
    (path,) = output.glob("*.wav" if stream else "*.flac")
    title, facts = comment(path)
    assert title == caption
    assert facts["run"] == trained_run.name and facts["training"] == read_training_id(trained_run)
    assert (facts["seed"], facts["seconds"], facts["decode"]["cfg"]) == (7, 3.0, 2)
    assert facts["prompt"]["file"] == "a.wav" and facts["prompt"]["redraw"] == [[0.5, 1.3]]
    assert path.stem.endswith(f"-{facts['id']}")
    assert str(output) not in json.dumps(facts), "no path of this machine"
    # As any reader of the formats finds it (RIFF's INFO list; Vorbis comments).
    text = caption.encode()
    length = struct.pack("<I", len(text) + (1 if stream else 6))
    assert (b"INAM" + length if stream else length + b"TITLE=") + text in re.sub(
        b"(?i)title=", b"TITLE=", path.read_bytes()
    )


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_files_say_in_which_windows_they_were_drawn(trained_run, output, stream):
    make(output, trained_run, "tune", "--seconds", "5", "--overlap", "0.5", *stream)
    make(output, trained_run, "tune", "--seconds", "2", *stream)
    facts = [comment(path)[1] for path in output.glob("*.wav" if stream else "*.flac")]
    windows = {found["seconds"]: found.get("windows") for found in facts}
    assert windows == {5.0: {"window": 2.0, "overlap": 0.5}, 2.0: None}


def test_a_clip_without_a_caption_has_no_title(trained_run, output):
    arguments = ["--run", str(trained_run), "--output", str(output), "--seconds", "3"]
    assert cli.main(["generate", *arguments]) == 0
    (path,) = output.glob("clip-0-*.flac")
    title, facts = comment(path)
    assert title == "" and facts["prompt"] is None


def test_samples_of_an_evaluation_say_what_they_are(trained_run):
    record = read_record(trained_run / "record.json")
    paths = unhidden(trained_run / "samples", "*.flac")
    assert len(paths) == 2
    for path in paths:
        title, facts = comment(path)
        assert title == path.with_suffix(".txt").read_text(encoding="utf-8").strip()
        assert (facts["run"], facts["row"], facts["seed"]) == (record["id"], record["row"], record["seed"])
        assert facts["clip"] in {clip["id"] for clip in record["clips"]}


def test_samples_are_the_same_bytes_when_they_are_made_again(trained_run):
    """Listeners' answers count for audio by its hash."""
    before = {path: sha256_file(path) for path in unhidden(trained_run / "samples", "*.flac")}
    assert cli.main(["evaluate", f"run={trained_run}"]) == 0
    assert {path: sha256_file(path) for path in unhidden(trained_run / "samples", "*.flac")} == before


def test_a_link_that_leads_nowhere_is_there(tmp_path):
    (tmp_path / "a.flac").symlink_to(tmp_path / "none")
    with pytest.raises(UserError, match=r"a\.flac exists already"):
        require_new([tmp_path / "a.flac"])
    require_new([tmp_path / "b.flac"])


def test_an_interrupted_stream_keeps_its_beginning(tmp_path):
    script = (
        "import os, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from musicbench.generation.clip_files import ClipFile\n"
        "from musicbench.generation.growing import write_stream\n"
        "def pieces():\n"
        "    yield torch.full((1, 1, 1500), 0.5)\n"
        "    raise KeyboardInterrupt\n"
        "try: write_stream([ClipFile('tune', Path(sys.argv[1]) / 'tune', {'seed': 0})], pieces(), 1000, False)\n"
        "except KeyboardInterrupt: os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL
    assert "tune.wav: 1.5 s of it can be played" in done.stderr
    assert soundfile.info(tmp_path / "tune.wav").frames == 1500
