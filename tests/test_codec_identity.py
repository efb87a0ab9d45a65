"""What files say of a codec is what the loaded codec says of itself."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from musicbench.codec_identity import MINI_FOLDER, described, identity, located
from musicbench.codecs import load_codec
from musicbench.errors import UserError
from musicbench.runs import contents
from musicbench.runs.compose import compose
from tests.helpers.small_codecs import SEGMENTED, small_dac, small_encodec

MAKE: dict[str, Callable[[Path], Any]] = {
    "mini": lambda folder: shutil.copytree(MINI_FOLDER, folder),
    "encodec": lambda folder: small_encodec().save_pretrained(folder),
    "stereo encodec": lambda folder: small_encodec(**SEGMENTED).save_pretrained(folder),
    "dac": lambda folder: small_dac().save_pretrained(folder),
}


@pytest.mark.parametrize("kind", MAKE)
def test_id_and_hash_are_those_of_the_loaded_codec(kind: str, tmp_path: Path) -> None:
    folder = str(tmp_path / "own")
    MAKE[kind](tmp_path / "own")
    whole = load_codec(folder)
    found = located(folder)
    assert found is not None and described(found) == (whole.levels, whole.channels)
    seen = set()
    for levels in (None, 2, whole.levels):
        for channels in (None, 1, 2):
            told = identity(folder, levels, channels)
            if channels == 1 and whole.channels == 2:
                assert told is None
                with pytest.raises(UserError, match="channels=1 is impossible"):
                    load_codec(folder, levels, channels)
                continue
            codec = load_codec(folder, levels, channels)
            assert told == (codec.id, codec.sha256)
            seen.add(told)
    assert len(seen) == (2 if whole.channels == 2 else 4)
    assert identity(folder, None, None) == identity(folder, whole.levels, None) == (whole.id, whole.sha256)


@pytest.mark.parametrize("levels", [0, -1, 5, "two", 1.0, True])
def test_impossible_levels_are_left_to_the_codec(levels: Any) -> None:
    assert identity("mini", levels, None) is None
    with pytest.raises(UserError, match=f"codec.levels={levels} is impossible with mini; choose 1 .. 4, or null"):
        load_codec("mini", levels)


@pytest.mark.parametrize(
    "config", ["", "[]", '{"model_type": "bert"}', '{"model_type": "encodec", "target_bandwidths": 3}']
)
def test_damaged_descriptions_are_left_to_the_codec(config: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert identity(str(tmp_path), 2, None) is None


def test_models_of_a_hub_are_found_where_it_keeps_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert identity("somebody/own", None, None) is None
    with pytest.raises(
        UserError, match=r"no codec somebody/own: .* put config\.json and model\.safetensors of https://"
    ):
        load_codec("somebody/own")
    snapshot = tmp_path / "models--somebody--own" / "snapshots" / ("1" * 40)
    small_dac().save_pretrained(snapshot)
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("1" * 40)
    codec = load_codec("somebody/own", levels=2)
    assert codec.id == "somebody/own (2 levels)"
    assert identity("somebody/own", 2, None) == (codec.id, codec.sha256)


def test_a_run_learns_it_without_loading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_dac().save_pretrained(tmp_path / "own")
    codec = load_codec(str(tmp_path / "own"), levels=2)

    def fail(*_: object) -> None:
        raise AssertionError("a codec was loaded")

    monkeypatch.setattr(contents.compose, "instantiated", fail)
    told = contents.Contents(compose("train", [f"codec.name_or_folder={tmp_path / 'own'}", "codec.levels=2"])).codec
    assert (told.id, told.sha256) == (codec.id, codec.sha256)


def test_folders_of_no_codec(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no config\.json"):
        located(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        located(str(tmp_path))
