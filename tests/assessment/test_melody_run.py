"""A model that is told melodies, from the token store to its record and to clips for a user's own tune."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from musicbench import cli
from musicbench.commands import train
from musicbench.conditions.melody import FINER, MOMENTS_PER_SECOND, SILENCE, melody
from musicbench.data.melodies import write_melodies
from musicbench.data.store import TokenStore
from musicbench.study.records import read_record

FAMILIES = {
    "autoregressive": ["pattern=stack_delay"],
    "magnet": ["family=magnet", "decode=magnet_10s", "decode.iterations=[2,1]"],
    "as released": [
        "pattern=delay",
        "data.melody=musicgen",
        "model.text_fusion=prepend",
        "model.text_padding=zeros",
        "model.null_caption=zeros",
    ],
    "hybrid": ["family=hybrid", "decode=hybrid_10s", "decode.masked.iterations=[2,1]"],
}


@pytest.fixture
def melodic(overrides: list[str]) -> list[str]:
    """Overrides of a tiny run whose store has melodies."""
    store = TokenStore.open(overrides[0].partition("=")[2])
    random = np.random.default_rng(0)
    lengths = [int(np.ceil(clip.frames / store.frame_rate * MOMENTS_PER_SECOND * FINER)) for clip in store.clips]
    tunes = [random.integers(0, 12, n) for n in lengths]
    write_melodies(store, tunes, MOMENTS_PER_SECOND, FINER, SILENCE, "recordings")
    return overrides


def record_of(tmp_path: Path) -> dict:
    (path,) = tmp_path.glob("*/record.json")
    return read_record(path)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_melody_counts_in_training_evaluation_and_generation(family, melodic, tmp_path, capsys):
    train.main([*melodic, "data.melody=chroma", *FAMILIES[family]])
    record = record_of(tmp_path)
    if family in ("autoregressive", "as released"):  # what is recorded of training is told the melodies too
        curve = record["training"]["curve"][-1]["score"]
        assert record["training"]["validation_bits_per_frame"] == pytest.approx(curve, rel=0.05)
    similar = record["metrics"]["melody_similarity"]
    assert 0 <= similar["value"] <= 1 and len(similar["per_clip"]) == record["protocol"]["clips"]
    (run,) = (path.parent for path in tmp_path.glob("*/record.json"))
    tunes = []
    # No C, because the released models are told one where there is no melody.
    for number, pitch in enumerate((293.7, 392.0)):
        tunes.append(tmp_path / f"tune{number}.wav")
        time = np.arange(4 * 8000) / 8000
        soundfile.write(tunes[-1], 0.3 * np.sin(2 * np.pi * pitch * time), 8000)
    sounds, seconds = [], "5" if family == "as released" else "2"  # two windows and a half
    for number, arguments in enumerate(([], ["--melody", str(tunes[0])], ["--melody", str(tunes[1])])):
        output = tmp_path / f"out{number}"
        assert (
            cli.main(["generate", "tune", "--run", str(run), "--seconds", seconds, "--output", str(output), *arguments])
            == 0
        )
        (flac,) = output.glob("*.flac")
        sounds.append(soundfile.read(flac)[0])
        facts = json.loads(soundfile.SoundFile(flac).comment)
        assert ("melody" in facts) == bool(arguments)
    assert len({sound.tobytes() for sound in sounds}) == 3, "each melody, and none, gives another clip"


def test_withheld_melodies_share_the_training_and_change_the_numbers(melodic, tmp_path):
    told = [*melodic, "data.melody=chroma", "training.steps=4"]
    train.main(told)
    first = record_of(tmp_path)
    train.main([*told, "evaluation.melody=withheld", "row=withheld"])
    (second,) = (read_record(path) for path in tmp_path.glob("withheld-*/record.json"))
    assert (
        first["training"]["training_id"] == second["training"]["training_id"]
        if "training_id" in first["training"]
        else True
    )
    assert first["metrics"]["bits_per_frame"]["value"] != second["metrics"]["bits_per_frame"]["value"]
    assert "melody_similarity" in second["metrics"]
    bits = [record["training"]["validation_bits_per_frame"] for record in (first, second)]
    assert abs(bits[0] - first["training"]["curve"][-1]["score"]) < abs(bits[1] - bits[0]), "training is told melodies"


def test_a_model_that_is_told_none_can_be_compared_and_refuses_a_melody(melodic, tmp_path, capsys):
    train.main([*melodic, "evaluation.melody=compared"])
    assert "melody_similarity" in record_of(tmp_path)["metrics"]
    (run,) = (path.parent for path in tmp_path.glob("*/record.json"))
    soundfile.write(tmp_path / "tune.wav", np.sin(np.arange(16000) * 0.2), 8000)
    assert cli.main(["generate", "tune", "--run", str(run), "--melody", str(tmp_path / "tune.wav")]) == 2
    assert "trained without melodies" in capsys.readouterr().err


def test_a_store_without_melodies_is_refused_before_training(overrides, tmp_path, capsys):
    assert cli.main(["train", *overrides, "data.melody=chroma"]) == 2
    assert "musicbench prepare stages=[melody]" in capsys.readouterr().err


def test_settings_without_effect_are_refused(melodic, capsys):
    for line in ("training.melody_dropout=0.3", "training.text_dropout=0.3"):
        assert cli.main(["train", *melodic, line]) == 2
        assert "changes nothing without data.melody" in capsys.readouterr().err
    for lines in ((), ("data.melody=chroma",)):
        assert cli.main(["train", *melodic, *lines, "decode.cfg_inner=2.0"]) == 2
        assert "training.text_dropout above 0" in capsys.readouterr().err


def test_a_tune_without_sound_is_refused(tmp_path):
    from musicbench.errors import UserError
    from musicbench.generation.tunes import read_tune

    soundfile.write(tmp_path / "silence.wav", np.zeros(16000), 8000)
    with pytest.raises(UserError, match="nothing sounds"):
        read_tune(tmp_path / "silence.wav", 2.0, 16, "chroma")
    soundfile.write(tmp_path / "tone.wav", np.sin(np.arange(64000) * 2 * np.pi * 440 / 32000), 32000)
    tune = read_tune(tmp_path / "tone.wav", 1.0, 7, "chroma")
    assert len(tune.classes_M) == 7 and set(tune.classes_M.tolist()) == {9}
    tune = read_tune(tmp_path / "tone.wav", 1.0, 235, "musicgen")
    assert len(tune.classes_M) == 235 and set(tune.classes_M.tolist()) == {9}
    audio, rate = soundfile.read(tmp_path / "tone.wav", dtype="float32")
    assert rate == 32000 and len(melody(__import__("torch").from_numpy(audio), rate)) == 16
