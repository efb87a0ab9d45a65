"""What is on this machine of the released checkpoints: in folders, and in the model hub's cache."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from musicbench.errors import UserError
from musicbench.released.catalogue import CATALOGUE, entry_of
from musicbench.released.presence import check
from tests.helpers.small_released import save_musicgen, small_musicgen

SMALL, MAGNET = entry_of("musicgen-small"), entry_of("facebook/magnet-small-10secs")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sharded checkpoint of transformers."""
    return save_musicgen(small_musicgen(), tmp_path_factory.mktemp("whole") / "musicgen-small", max_shard_size="60KB")


@pytest.fixture
def models(whole: Path, tmp_path: Path) -> Path:
    """A folder of released models that holds one of each format, with the text encoder that the second needs."""
    shutil.copytree(whole, tmp_path / "musicgen-small")
    shutil.copytree(whole, tmp_path / "t5-base")
    (tmp_path / MAGNET.name).mkdir()
    for name in ("state_dict.bin", "compression_state_dict.bin"):
        torch.save({"best_state": {}}, tmp_path / MAGNET.name / name)
    return tmp_path


def as_cache(models: Path, cache: Path) -> None:
    """Lay the models out as the hub's cache does."""
    for name, owner in {"musicgen-small": "facebook", "t5-base": "google-t5", MAGNET.name: "facebook"}.items():
        repository = cache / f"models--{owner}--{name}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("c0ffee")
        shutil.copytree(models / name, repository / "snapshots" / "c0ffee")


def refusal(*arguments: object) -> str:
    with pytest.raises(UserError) as error:
        check(*arguments)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    return str(error.value)


def test_whole_ones_in_folders(models):
    assert check(SMALL, models, True).startswith("transformers format, 0.00 GB in ")
    line = check(MAGNET, models, True)
    assert line.startswith("audiocraft format")
    assert f"in {models / MAGNET.name} and {models / 't5-base'}" in line


def test_whole_ones_in_the_hubs_cache(models, tmp_path, monkeypatch):
    as_cache(models, tmp_path / "cache")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert "snapshots" in check(SMALL, None, True) and "snapshots" in check(MAGNET, None, True)
    assert f"not in the model hub's cache {tmp_path / 'cache'}" in refusal(entry_of("musicgen-large"), None, True)
    (tmp_path / "cache" / "models--google-t5--t5-base" / "snapshots" / "c0ffee" / "tokenizer.json").unlink()
    line = refusal(MAGNET, None, False)
    assert "not whole in the model hub's cache" in line and "with a network its first use fetches it" in line
    assert "put tokenizer.json of https://huggingface.co/google-t5/t5-base into FOLDER/t5-base" in line


@pytest.mark.parametrize("pattern", ["config.json", "tokenizer.json", "model-00002-of-*.safetensors"])
def test_each_missing_file_is_named(pattern, models):
    (path,) = (models / "musicgen-small").glob(pattern)
    missing = path.name
    path.unlink()
    wanted = f"put {missing} of https://huggingface.co/facebook/musicgen-small into {models / 'musicgen-small'}"
    assert refusal(SMALL, models, True) == wanted


def test_an_empty_folder_lacks_everything(tmp_path):
    line = refusal(SMALL, tmp_path, True)
    assert line.startswith(
        "put config.json, tokenizer.json, model.safetensors (or model.safetensors.index.json and what it names) of"
    )
    line = refusal(MAGNET, tmp_path, True)
    assert line.startswith("put state_dict.bin, compression_state_dict.bin of https://huggingface.co/facebook/magnet-")
    assert line.endswith(f"into {tmp_path / MAGNET.name} and {tmp_path / 't5-base'}")


def test_the_format_that_is_here_counts(models):
    """A MusicGen that audiocraft fetched needs no files of transformers' format beside."""
    shutil.rmtree(models / "musicgen-small")
    shutil.copytree(models / MAGNET.name, models / "musicgen-small")
    assert check(SMALL, models, True).startswith("audiocraft format")
    (models / "musicgen-small" / "compression_state_dict.bin").unlink()
    assert refusal(SMALL, models, True).startswith("put compression_state_dict.bin of")


@pytest.mark.parametrize("pattern", ["musicgen-small/model-00003-of-*.safetensors", f"{MAGNET.name}/state_dict.bin"])
def test_a_broken_download_does_not_work(pattern, models):
    (path,) = models.glob(pattern)
    path.write_bytes(path.read_bytes()[:-200])
    entry = SMALL if "musicgen" in pattern else MAGNET
    assert refusal(entry, models, True).startswith(f"{path} is not whole (")


def test_an_index_without_files(models):
    (models / "musicgen-small" / "model.safetensors.index.json").write_text(json.dumps({}))
    assert "has no weight_map" in refusal(SMALL, models, True)


def test_the_catalogue_knows_its_names():
    assert len({entry.hub for entry in CATALOGUE}) == len(CATALOGUE) == 14
    for entry in CATALOGUE:
        assert entry_of(entry.hub) is entry_of(entry.name) is entry
    with pytest.raises(UserError, match=r"no released model musicgen-smal; did you mean musicgen-small\?"):
        entry_of("musicgen-smal")
