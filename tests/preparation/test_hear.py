"""``prepare stages=[hear]``: the windows of training recordings, as the listener hears them, beside the tokens."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench.commands import prepare
from musicbench.conditions import joint
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judges.musicnn import MusiCNN as Listener

RATE = 16000
SECONDS = {"train0": 7.0, "train1": 4.0, "train2": 1.0, "validation0": 3.0, "test0": 3.0}


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    """A manifest of noises and the token store that is made of it."""
    folder, random, lines = tmp_path_factory.mktemp("music"), np.random.default_rng(0), []
    for name, seconds in SECONDS.items():
        soundfile.write(folder / f"{name}.wav", 0.3 * random.uniform(-1, 1, round(seconds * RATE)), RATE, "FLOAT")
        lines.append({"audio": f"{name}.wav", "text": f"noise {name}", "split": name.rstrip("012")})
    path = folder / "music.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert prepare.main(["stages=[tokens]", f"manifest={path}", f"store={folder / 'tokens'}"]) == 0
    return path


def options(music: Path, tmp_path: Path) -> list[str]:
    few = ["hear.every_seconds=2", "hear.quantisers=2", "hear.codes=3"]
    return ["stages=[hear]", f"manifest={music}", f"store={music.parent / 'tokens'}", f"clap_output={tmp_path}", *few]


@pytest.fixture
def listening(monkeypatch) -> list[int]:
    """How many clips were judged in each call of the listener."""
    calls: list[int] = []
    original = Listener.__call__
    monkeypatch.setattr(Listener, "__call__", lambda *a: calls.append(len(a[1])) or original(*a))
    return calls


def test_training_recordings_are_heard_once(music, tmp_path, capsys, listening):
    store = music.parent / "tokens"
    (store / "heard_clap_mini.npz").unlink(missing_ok=True)
    assert prepare.main(options(music, tmp_path)) == 0
    assert f"heard clips: {store / 'heard_clap_mini.npz'}" in capsys.readouterr().out
    assert listening == [3, 1, 1], "windows of the training clips alone"
    heard = joint.clap_mini(training="audio", quantised=True, store=store).heard
    assert (heard.every_seconds, heard.window_seconds) == (2.0, 3.0) and heard.codebooks_QVD.shape == (2, 3, 64)
    judge = MusiCNN()
    for name, starts in (("train0", (0, 2, 4)), ("train1", (0,)), ("train2", (0,))):
        audio_N = torch.from_numpy(soundfile.read(music.parent / f"{name}.wav", dtype="float32")[0])
        audio_N = audio_N.repeat(3) if name == "train2" else audio_N  # shorter than a window
        windows_BN = torch.stack([audio_N[s * RATE : (s + 3) * RATE] for s in starts])
        wanted_WF = judge(windows_BN, RATE).embeddings_BWD[:, 0].half().float().numpy()
        np.testing.assert_array_equal(heard.of_crop(f"{name}.wav", 0.0, 60.0), wanted_WF)
    listening.clear()
    assert prepare.main(options(music, tmp_path)) == 0
    assert "is complete" in capsys.readouterr().out and listening == []
    (store / "heard_clap_mini.npz").unlink()
    assert prepare.main(options(music, tmp_path)) == 0
    assert listening == [], "what was heard is kept"


def test_a_clip_without_its_recording_is_told(music, tmp_path, refused):
    (music.parent / "tokens" / "heard_clap_mini.npz").unlink(missing_ok=True)
    fewer = tmp_path / "fewer.jsonl"
    lines = [json.loads(line) for line in music.read_text().splitlines()]
    fewer.write_text("".join(json.dumps({**x, "audio": str(music.parent / x["audio"])}) + "\n" for x in lines[1:]))
    arguments = [o for o in options(music, tmp_path) if not o.startswith("manifest=")]
    assert "holds clip train0.wav, which is not among these recordings" in refused(
        "prepare", *arguments, f"manifest={fewer}"
    )


def test_encoders_that_hear_nothing_are_refused(music, tmp_path, refused):
    for text in ("minilm", "none"):
        assert "stage hear needs a model that hears" in refused("prepare", *options(music, tmp_path), f"text={text}")


def test_too_little_music_for_the_codes(music, tmp_path, refused):
    (music.parent / "tokens" / "heard_clap_mini.npz").unlink(missing_ok=True)
    assert "5 windows are too few for hear.codes=64" in refused("prepare", *options(music, tmp_path), "hear.codes=64")
