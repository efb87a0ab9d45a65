"""Damaged files of a run or a token store: one line each, nothing executed, and what was finished stays."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.launch.job import FAILED
from musicbench.runs.compose import compose, instantiated
from musicbench.runs.folder import BEST, LAST, TRAINED
from musicbench.seals import sealed_text
from tests import damage

Damage = Callable[[Path], Any]


class Evil:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:2000] = bytes(255 - byte for byte in content[100:2000])
    path.write_bytes(content)


DAMAGES: dict[str, Damage] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "flipped": flip,
    "evil": lambda path: torch.save({"state_dict": Evil(), "global_step": 1, "callbacks": {}}, path),
    "a tensor": lambda path: torch.save(torch.ones(3), path),
    "another dictionary": lambda path: torch.save({"weights": 3}, path),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_generate_from_a_damaged_checkpoint(refused, trained_run, tmp_path, in_folder, damage):
    damage(trained_run / BEST)
    assert BEST in refused("generate", "tune", "--run", trained_run, "--output", tmp_path / "out")
    assert not (tmp_path / "executed").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", sorted(DAMAGES.keys() - {"a folder"}))
def test_going_on_from_a_damaged_checkpoint(refused, trained_run, overrides, tmp_path, in_folder, kind):
    for name in ("record.json", TRAINED):
        (trained_run / name).unlink()
    best = (trained_run / BEST).read_bytes()
    DAMAGES[kind](trained_run / LAST)
    line = refused("train", *overrides)
    assert LAST in line
    assert (trained_run / FAILED).read_text(encoding="utf-8").strip() == line
    assert not (tmp_path / "executed").exists()
    assert (trained_run / BEST).read_bytes() == best


def test_a_damaged_record_is_no_finished_run(refused, trained_run, overrides):
    cut(trained_run / "record.json")
    assert "record.json is not a whole JSON record" in refused("train", *overrides)
    assert (trained_run / BEST).is_file()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is damaged or was edited"),
        (b"- a\n", "is damaged or was edited"),
        (b"3\n", "is damaged or was edited"),
        (b"a: [\n", "is damaged or was edited"),
        (b"\xff\xfe", "missing or damaged"),
        (b"!!python/object/apply:os.mkdir [executed]\n", "is damaged or was edited"),
        (b"seed: 3\n", "family is missing"),
        (b"seed: ${nowhere}\n", "seed has an interpolation"),
    ],
)
def test_a_damaged_configuration(refused, trained_run, tmp_path, in_folder, content, message):
    path = trained_run / "config.yaml"
    path.write_bytes(content)
    assert path.name in refused("evaluate", f"run={trained_run}")
    if message != "missing or damaged":  # and with a checksum that fits
        path.write_text(sealed_text(content.decode()))
        assert message in refused("evaluate", f"run={trained_run}")
    assert not (tmp_path / "executed").exists()
    json.loads((trained_run / "record.json").read_text())


@pytest.mark.parametrize(("key", "value"), [("model.heads", 0), ("data.store", "nowhere"), ("seed", "x")])
def test_an_edited_configuration(refused, trained_run, key, value):
    damage.edit_config(trained_run, key, value)
    assert str(value) in refused("generate", "tune", "--run", trained_run)


@pytest.mark.parametrize("override", ["trainer.threads=x", "model.heads=0", "decode=3", "seed=1e99", "seed=${nowhere}"])
def test_mistaken_overrides_of_a_run(refused, trained_run, override):
    refused("generate", "tune", "--run", trained_run, "--", override)


def edit_card(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    damage.edit_card(folder / "card.json", change)


def edit_plainly(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def edit_clips(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change every clip, and the hash with them."""
    clips = [json.loads(line) for line in (folder / "clips.jsonl").read_text().splitlines()]
    for clip in clips:
        change(clip)
    (folder / "clips.jsonl").write_text("".join(json.dumps(clip) + "\n" for clip in clips))
    edit_card(folder, lambda card: card.update(clips_sha256=sha256_file(folder / "clips.jsonl")))


def set_codes(folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    np.save(folder / "codes.npy", change(np.load(folder / "codes.npy")))


STORES: dict[str, tuple[Damage, str]] = {
    "no card": (lambda folder: (folder / "card.json").unlink(), "card.json is missing"),
    "cut card": (lambda folder: cut(folder / "card.json"), "card.json is not valid JSON"),
    "no codec": (lambda folder: edit_card(folder, lambda card: card.pop("codec")), "field codec is missing"),
    "no codec hash": (lambda folder: edit_card(folder, lambda card: card["codec"].pop("sha256")), "sha256 is missing"),
    "no hash": (lambda folder: edit_card(folder, lambda card: card.pop("codes_sha256")), "codes_sha256 is missing"),
    "no size": (lambda folder: edit_card(folder, lambda card: card["codec"].update(codebook_size=0)), "above 0"),
    "NaN rate": (lambda folder: edit_card(folder, lambda card: card["codec"].update(frame_rate=np.nan)), "NaN is no"),
    "edited card": (lambda folder: edit_plainly(folder / "card.json", '"levels": 2', '"levels": 3'), "or edited"),
    "half a level": (lambda folder: edit_card(folder, lambda card: card["codec"].update(levels=2.5)), "not 2.5"),
    "cut codes": (lambda folder: cut(folder / "codes.npy"), "codes.npy is truncated or damaged"),
    "empty codes": (lambda folder: (folder / "codes.npy").write_bytes(b""), "codes.npy is truncated or damaged"),
    "pickled codes": (lambda folder: np.save(folder / "codes.npy", np.array([Evil()])), "truncated or damaged"),
    "float codes": (lambda folder: set_codes(folder, lambda codes: codes.astype(float)), "holds float64"),
    "changed codes": (lambda folder: set_codes(folder, lambda codes: codes[:, ::-1]), "codes.npy does not match"),
    "edited clips": (lambda folder: cut(folder / "clips.jsonl"), "clips.jsonl does not match its card"),
    "text start": (lambda folder: edit_clips(folder, lambda clip: clip.update(start="x")), "line 1 is not a clip"),
    "no captions": (lambda folder: edit_clips(folder, lambda clip: clip.update(captions=[])), "line 1 is not a clip"),
    "odd captions": (lambda folder: edit_clips(folder, lambda clip: clip.update(captions=[3])), "line 1 is not a clip"),
    "odd split": (lambda folder: edit_clips(folder, lambda clip: clip.update(split="x")), "line 1 is not a clip"),
    "no reference": (lambda folder: (folder / "judge_musicnn.npz").unlink(), "no judge reference"),
    "cut reference": (lambda folder: cut(folder / "judge_musicnn.npz"), "no readable judge reference"),
}  # fmt: skip


@pytest.mark.parametrize(("damage", "message"), STORES.values(), ids=STORES)
def test_a_damaged_token_store(refused, overrides, tmp_path, in_folder, damage, message):
    damage(tmp_path / "tokens")
    assert message in refused("evaluate", *overrides, "system=unigram")
    assert not list(tmp_path.glob("unigram-*"))
    assert not (tmp_path / "executed").exists()


def test_codes_that_the_codec_does_not_have(refused, overrides, tmp_path):
    set_codes(tmp_path / "tokens", lambda codes: codes + 1000)
    edit_card(
        tmp_path / "tokens", lambda card: card.update(codes_sha256=sha256_file(tmp_path / "tokens" / "codes.npy"))
    )
    assert "codes that its codec does not have" in refused("evaluate", *overrides, "system=unigram")


@pytest.mark.parametrize("store", ["nowhere", "a file", "an empty folder"])
def test_no_token_store_at_all(refused, overrides, tmp_path, store):
    shutil.rmtree(tmp_path / "tokens")
    if store == "a file":
        (tmp_path / "tokens").write_text("x")
    elif store == "an empty folder":
        (tmp_path / "tokens").mkdir()
    assert "no token store in" in refused("train", *overrides)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", b"{", "is not valid JSON"),
        ("config.json", b"\xff\xfe", "is not valid JSON"),
        ("config.json", b"[]", "is not valid JSON"),
        ("config.json", b'{"model_type": "bert"}', "is a bert model"),
        ("config.json", None, "holds no config.json"),
        ("model.safetensors", b"", "cannot load the codec"),
        ("model.safetensors", b"\xff" * 100, "cannot load the codec"),
        ("model.safetensors", None, "holds no model.safetensors"),
    ],
)
def test_a_damaged_codec_folder(refused, tiny_overrides, tmp_path, name, content, message):
    from musicbench.codec_identity import MINI_FOLDER

    folder = shutil.copytree(MINI_FOLDER, tmp_path / "codec")
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    assert message in refused("train", *tiny_overrides, f"codec.name_or_folder={folder}")


def test_a_missing_text_encoder(tmp_path):
    with pytest.raises(UserError, match=f"^text encoder '{tmp_path}' cannot be loaded"):
        instantiated("text", compose("train", [f"text.source={tmp_path}"]).text)
