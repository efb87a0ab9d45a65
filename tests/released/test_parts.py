"""Text encoder and codec of a MusicGen checkpoint of transformers, in all forms in which one is saved."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from musicbench.codecs import load_codec
from musicbench.conditions.text import TransformersEncoder
from musicbench.errors import UserError
from musicbench.files import sha256_file
from musicbench.released import tensors
from musicbench.released.parts import save_codec, save_named_text, save_text
from tests.helpers.small_codecs import noise
from tests.helpers.small_released import save_musicgen, small_musicgen, small_tokenizer

CAPTIONS = ["drums", "a slow waltz for string ensemble, quiet and sad"]
FORMS = ("one", "sharded", "pickle", "sharded pickle", "melody", "first names")


def as_pickles(folder: Path) -> None:
    """Turn safetensors into PyTorch's own files, as older checkpoints have them, with tied weights under both names."""
    for path in sorted(folder.glob("*.safetensors")):
        tensors: dict[str, Any] = load_file(path)
        if "text_encoder.shared.weight" in tensors:
            tensors["text_encoder.encoder.embed_tokens.weight"] = tensors["text_encoder.shared.weight"]
        torch.save(tensors, folder / path.name.replace("model", "pytorch_model").replace(".safetensors", ".bin"))
        path.unlink()
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        content = json.loads(index.read_text())
        content["weight_map"] = {
            name: shard.replace("model", "pytorch_model").replace(".safetensors", ".bin")
            for name, shard in content["weight_map"].items()
        }
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps(content))
        index.unlink()


def with_first_names(folder: Path) -> None:
    """Name weights as in checkpoints of 2023: torch's first weight norm, and the text's embedding by its other name."""
    changes = {
        "parametrizations.weight.original0": "weight_g",
        "parametrizations.weight.original1": "weight_v",
        "text_encoder.shared.weight": "text_encoder.encoder.embed_tokens.weight",
    }
    tensors = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for new, old in changes.items():
            name = name.replace(new, old)
        tensors[name] = tensor
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.fixture(scope="module", params=FORMS)
def musicgen(request, tmp_path_factory) -> tuple[Any, Path]:
    """The model and its folder."""
    model = small_musicgen(melody=request.param == "melody")
    options = {"max_shard_size": "60KB"} if "sharded" in request.param else {}
    folder = save_musicgen(model, tmp_path_factory.mktemp("musicgen"), **options)
    if "pickle" in request.param:
        as_pickles(folder)
    if request.param == "first names":
        with_first_names(folder)
    assert ("sharded" in request.param) == (len(list(folder.glob("*model-*"))) > 2)
    return model, folder


@torch.no_grad()
def test_the_text_encoder_says_what_it_says_in_the_checkpoint(musicgen, tmp_path):
    model, source = musicgen
    save_text(source, tmp_path / "text")
    states = TransformersEncoder(str(tmp_path / "text")).encode(CAPTIONS)
    for caption, states_LE in zip(CAPTIONS, states, strict=True):
        ids = small_tokenizer()(caption, return_tensors="pt").input_ids
        wanted_LE = model.text_encoder(input_ids=ids).last_hidden_state[0]
        assert wanted_LE.std() > 0.1
        torch.testing.assert_close(states_LE, wanted_LE, atol=1e-5, rtol=0)


@torch.no_grad()
def test_the_codec_codes_as_it_does_in_the_checkpoint(musicgen, tmp_path):
    model, source = musicgen
    save_codec(source, tmp_path / "codec")
    codec, audio_BCN = load_codec(str(tmp_path / "codec")), noise(2, 1, 640)
    expected = model.audio_encoder.encode(audio_BCN, bandwidth=0.9)
    decoded_BCN = model.audio_encoder.decode(expected.audio_codes, expected.audio_scales).audio_values
    codes_BKT = codec.encode(audio_BCN)
    assert len(codes_BKT.unique()) > 20
    assert torch.equal(codes_BKT, expected.audio_codes[0])
    torch.testing.assert_close(codec.decode(codes_BKT), decoded_BCN, atol=1e-6, rtol=1e-5)
    stereo = load_codec(str(tmp_path / "codec"), channels=2)
    assert (stereo.channels, stereo.levels) == (2, 6)


def test_one_codec_has_one_hash_in_all_forms(tmp_path):
    model, hashes = small_musicgen(), set()
    for form, change in {"new": None, "pickle": as_pickles, "first": with_first_names}.items():
        source = save_musicgen(model, tmp_path / form)
        if change:
            change(source)
        save_codec(source, tmp_path / f"{form} codec")
        hashes.add(sha256_file(tmp_path / f"{form} codec" / "model.safetensors"))
    assert len(hashes) == 1


def test_files_without_the_part_are_not_read(tmp_path):
    source = save_musicgen(small_musicgen(), tmp_path / "sharded", max_shard_size="60KB")
    shards = json.loads((source / "model.safetensors.index.json").read_text())["weight_map"]
    needed = {shard for name, shard in shards.items() if name.startswith("audio_encoder.")}
    others = set(shards.values()) - needed
    assert others
    for shard in others:
        (source / shard).write_bytes(b"poison")
    save_codec(source, tmp_path / "codec")
    load_codec(str(tmp_path / "codec"))
    with pytest.raises(UserError, match=r"is damaged .*; download it again"):
        save_text(source, tmp_path / "text")
    assert not (tmp_path / "text").exists()


def test_no_tensor_of_another_part_is_read(tmp_path, monkeypatch):
    source, read, opened = save_musicgen(small_musicgen(), tmp_path / "one"), [], tensors.safe_open

    class Watched:
        def __init__(self, *arguments: Any) -> None:
            self.file = opened(*arguments)

        def __enter__(self) -> "Watched":
            self.file.__enter__()
            return self

        def __exit__(self, *error: Any) -> None:
            self.file.__exit__(*error)

        def keys(self) -> Any:
            return self.file.keys()

        def get_slice(self, name: str) -> Any:
            return self.file.get_slice(name)

        def get_tensor(self, name: str) -> Any:
            read.append(name)
            return self.file.get_tensor(name)

    monkeypatch.setattr(tensors, "safe_open", Watched)
    save_codec(source, tmp_path / "codec")
    assert len(read) > 50 and all(name.startswith("audio_encoder.") for name in read)


def test_a_gated_t5_is_written_too(tmp_path):
    source = save_musicgen(small_musicgen(feed_forward_proj="gated-gelu"), tmp_path / "flan")
    save_text(source, tmp_path / "text")
    assert TransformersEncoder(str(tmp_path / "text")).dim == 16


class TestNamedText:
    @pytest.fixture
    def t5(self, tmp_path: Path) -> Path:
        """A whole T5 with its decoder, as the hub has it."""
        from transformers import T5Config, T5ForConditionalGeneration

        torch.manual_seed(0)
        model = small_musicgen().config.text_encoder.to_dict()
        kept = {name: model[name] for name in ("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_heads")}
        T5ForConditionalGeneration(T5Config(**kept)).save_pretrained(tmp_path / "t5")
        small_tokenizer().save_pretrained(tmp_path / "t5")
        return tmp_path / "t5"

    def test_the_encoder_alone_says_the_same(self, t5, tmp_path):
        save_named_text(str(t5), tmp_path / "text")
        whole, alone = TransformersEncoder(str(t5)), TransformersEncoder(str(tmp_path / "text"))
        for ours, wanted in zip(alone.encode(CAPTIONS), whole.encode(CAPTIONS), strict=True):
            assert torch.equal(ours, wanted)
        assert not [name for name in load_file(tmp_path / "text" / "model.safetensors") if "decoder" in name]

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("t5-base", r"no google-t5/t5-base: .* from https://huggingface.co/google-t5/t5-base into a folder"),
            ("nobody/nothing", r"no nobody/nothing: .* into a folder and give that"),
            ("nothing here", r"no folder nothing here, and no name on the model hub"),
        ],
    )
    def test_what_is_not_here_is_one_line(self, name, message, tmp_path, monkeypatch):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(UserError, match=message) as error:
            save_named_text(name, tmp_path / "text")
        assert "\n" not in str(error.value)


def index_outside(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    shards = {"text_encoder.shared.weight": "../secret.safetensors"}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))


def two_embeddings(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["text_encoder.encoder.embed_tokens.weight"] = tensors["text_encoder.shared.weight"] + 1
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


class Harm:
    def __reduce__(self) -> Any:
        return Path.touch, (Path("harm"),)


def pickle_with_code(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"text_encoder.shared.weight": Harm()}, folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), r"cannot read .*config.json \(no such file\)"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not valid JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds no mapping"),
        (lambda folder: (folder / "config.json").write_text("{}"), "has no text_encoder, so it is no MusicGen"),
        (lambda folder: (folder / "model.safetensors").unlink(), "holds no model.safetensors or pytorch_model.bin"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 100), "is damaged"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "has no tokenizer.json; download"),
        (index_outside, r"names '../secret.safetensors', which is no file beside it"),
        (two_embeddings, "has two different embeddings of text"),
        (pickle_with_code, "holds more than tensors and plain values, so nothing of it was loaded"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(change, message, tmp_path, monkeypatch):
    source = shutil.copytree(whole(tmp_path), tmp_path / "changed")
    change(source)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message) as error:
        save_text(source, tmp_path / "text")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "text").exists() and not (tmp_path / "harm").exists()


def test_a_folder_with_content_is_left_alone(tmp_path):
    source = whole(tmp_path)
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="cannot write"):
        save_text(source, tmp_path / "text")
    assert [path.name for path in (tmp_path / "text").iterdir()] == ["mine.txt"]


def whole(tmp_path: Path) -> Path:
    return save_musicgen(small_musicgen(), tmp_path / "whole")
