"""Stereo from recordings to a record, samples and generated files, with nothing but real parts."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from musicbench import cli
from musicbench.codecs import load_codec
from musicbench.data.store import TokenStore
from musicbench.evaluation.judges import MusiCNN
from musicbench.evaluation.judging import judged
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence
from musicbench.study.records import read_record
from tests.helpers.real_run import SIZES

RATE, SECONDS = 32000, 5
CHOICES = ("codec.channels=2", "data.store=tokens", "cache=cache", "pattern=stereo_partial_delay")


def run(*arguments: str) -> None:
    assert cli.main(list(arguments)) == 0, arguments


def write_recordings(folder: Path) -> None:
    """Noise on the left and another noise on the right; ``mono`` has a single channel."""
    random, lines = np.random.default_rng(0), []
    splits = ["train"] * 3 + ["validation"] + ["test"] * 2
    for number, split in enumerate(splits):
        name = "mono.wav" if number == len(splits) - 1 else f"{number}.wav"
        audio_NC = random.normal(0, 0.1, (SECONDS * RATE, 2)) * (0.2, 1.0)
        if name == "mono.wav":
            audio_NC = audio_NC[:, :1]
        soundfile.write(folder / name, audio_NC, RATE, "PCM_16")
        lines.append({"audio": name, "text": f"noise {number}", "split": split})
    (folder / "music.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stereo")
    write_recordings(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        prepared = ("manifest=music.jsonl", "codec.channels=2", "store=tokens", "stages=[tokens,reference]")
        run("prepare", *prepared)
        settings = (*SIZES, *CHOICES, "training.steps=2", "training.validate_every=2", "output=runs")
        settings += ("evaluation.samples=2", "evaluation.per_piece=1", "evaluation.originals=.")
        run("train", *settings)
        for system in ("codec", "ground_truth"):
            run("evaluate", *settings, f"system={system}")
        trained = str(next(Path("runs").glob("stereo_partial_delay-*")))
        made = ("generate", "a tune", "--run", trained, "--output", "made")
        run(*made, "--seconds", "1")
        run(*made, "--seconds", "1", "--stream")
        run(*made, "--seconds", "7", "--prompt", "3.wav")
    return folder


def heard(path: Path) -> np.ndarray:
    audio_NC, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == RATE
    return audio_NC


def record_of(project: Path, row: str) -> dict:
    (path,) = project.glob(f"runs/{row}-*/record.json")
    return dict(read_record(path))


def test_a_store_of_both_channels(project: Path) -> None:
    store = TokenStore.open(project / "tokens")
    assert (store.channels, store.levels, store.card["codec"]["id"]) == (2, 8, "mini (stereo)")
    mono = load_codec()
    for clip in store.clips:
        audio_NC = torch.from_numpy(heard(project / clip.id))
        for channel in range(2):
            alone_KT = mono.encode(audio_NC[None, None, :, channel % audio_NC.shape[1]])[0]
            assert np.array_equal(store.codes(clip)[channel::2], alone_KT.numpy())


def test_the_record_names_channels_and_plan(project: Path) -> None:
    record = record_of(project, "stereo_partial_delay")
    assert record["protocol"]["codec"]["channels"] == 2 and record["config"]["codec"]["channels"] == 2
    frames = record["plan"]["frames"]
    assert (record["plan"]["levels"], record["plan"]["steps"]) == (8, frames + 3)
    assert {"bits_level_7", "fad", "kld", "codec_distance"} <= set(record["metrics"])
    assert record_of(project, "codec")["protocol"]["codec"] == record["protocol"]["codec"]


def samples(project: Path, row: str) -> dict[str, np.ndarray]:
    return {path.stem: heard(path) for path in project.glob(f"runs/{row}-*/samples/*.flac")}


@pytest.mark.parametrize("row", ["ground_truth", "codec", "stereo_partial_delay"])
def test_samples_are_stereo(project: Path, row: str) -> None:
    found = samples(project, row)
    assert [name.partition("@")[0] for name in sorted(found)] == ["4.wav", "mono.wav"]
    for name, sound_NC in found.items():
        assert sound_NC.shape == (3.5 * RATE, 2)
        equal = bool(np.array_equal(sound_NC[:, 0], sound_NC[:, 1]))
        assert equal == (name.startswith("mono") and row != "stereo_partial_delay")


def test_judges_hear_the_mean(project: Path) -> None:
    """The classes of the codec's clips and of their originals, both heard again from the samples."""
    record = record_of(project, "codec")
    values = dict(zip([clip["id"] for clip in record["clips"]], record["metrics"]["kld"]["per_clip"], strict=True))
    judge, original, coded = MusiCNN(), samples(project, "ground_truth"), samples(project, "codec")

    def classes(sound_NC: np.ndarray) -> np.ndarray:
        sound_N = torch.from_numpy(sound_NC.mean(axis=1))
        return class_probabilities(judged(judge, sound_N, RATE, None).logits_WC)[None]

    for name, value in values.items():
        whole = kl_divergence(classes(original[name]), classes(coded[name]))[0]
        left = kl_divergence(classes(original[name][:, :1]), classes(coded[name][:, :1]))[0]
        assert value == pytest.approx(whole, rel=0.02, abs=1e-3)
        assert (value == pytest.approx(left, rel=0.02, abs=1e-3)) == name.startswith("mono")


def test_generated_files_are_stereo(project: Path) -> None:
    (stream,) = project.glob("made/*.wav")
    whole = stream.with_suffix(".flac")
    prompted = next(path for path in project.glob("made/*.flac") if path != whole)
    assert heard(stream).shape == heard(whole).shape == (RATE, 2)
    np.testing.assert_allclose(heard(stream), heard(whole), atol=2**-14)
    assert not np.allclose(heard(whole)[:, 0], heard(whole)[:, 1], atol=0.01)
    begun, prompt = heard(prompted)[: 4 * RATE], heard(project / "3.wav")[: 4 * RATE]
    loudness = [float(np.std(sound[:, 1]) / np.std(sound[:, 0])) for sound in (prompt, begun)]
    assert loudness[0] == pytest.approx(5, rel=0.05) and loudness[1] > 1.5
