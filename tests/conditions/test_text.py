"""The bundled encoder and a T5 in the real format, both offline, through the same class."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from musicbench.conditions.text import OneByOne, TransformersEncoder, bundled_encoder_folder
from musicbench.errors import UserError
from tests.helpers.small_clap import write_vocabulary
from tests.helpers.small_released import small_tokenizer

CAPTIONS = ["drums", "a slow waltz for string ensemble in F minor, quiet and sad", "fast fiddle tune, 120 bpm"]


@pytest.fixture(scope="module")
def minilm() -> TransformersEncoder:
    return TransformersEncoder("minilm")


def test_bundled_encoder_loads_offline(minilm):
    states = minilm.encode(CAPTIONS)
    assert minilm.dim == 384
    assert [s.shape[1] for s in states] == [384] * 3
    assert len(states[0]) < len(states[2]) < len(states[1])
    assert all(s.dtype == torch.float32 for s in states)
    weights = bundled_encoder_folder() / "model.safetensors"
    assert minilm.sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()


def test_padding_changes_no_state(minilm):
    together = minilm.encode(CAPTIONS)
    for caption, states_LE in zip(CAPTIONS, together, strict=True):
        (alone,) = minilm.encode([caption])
        torch.testing.assert_close(states_LE, alone, atol=1e-5, rtol=0)


def test_one_by_one_no_caption_changes_a_bit_of_another(minilm):
    one_by_one = OneByOne(minilm)
    assert one_by_one.sha256 != minilm.sha256 and (one_by_one.id, one_by_one.dim) == (minilm.id, minilm.dim)
    together, turned = one_by_one.encode(CAPTIONS), one_by_one.encode(CAPTIONS[::-1])[::-1]
    for caption, states_LE, again_LE in zip(CAPTIONS, together, turned, strict=True):
        assert torch.equal(states_LE, again_LE) and torch.equal(states_LE, one_by_one.encode([caption])[0])


def test_many_captions_keep_their_order(minilm):
    captions = [f"tune number {i}" + " and on" * (i % 3) for i in range(70)]
    together = minilm.encode(captions)
    for i in (0, 1, 63, 64, 69):
        torch.testing.assert_close(together[i], minilm.encode([captions[i]])[0], atol=1e-5, rtol=0)


def test_states_are_those_of_the_sentence_model(minilm):
    """Their mean puts a paraphrase nearer than another music: the weights are really there."""
    mean = [s.mean(0) for s in minilm.encode(["a sad slow waltz", "a melancholic, slow waltz", "loud fast drums"])]
    near = torch.cosine_similarity(mean[0], mean[1], dim=0)
    far = torch.cosine_similarity(mean[0], mean[2], dim=0)
    assert near > far + 0.2


FLAN = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}


@pytest.fixture(scope="module", params=[{}, FLAN], ids=["t5", "flan_t5"])
def t5_folder(tmp_path_factory, request) -> Path:
    """A T5 or a Flan-T5 with tiny random weights, saved as transformers saves any of them."""
    from transformers import T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    tokenizer = small_tokenizer()
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=16,
        d_kv=4,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
        **request.param,
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_t5_from_a_folder(t5_folder):
    from transformers import AutoTokenizer, T5EncoderModel

    encoder = TransformersEncoder(str(t5_folder))
    assert encoder.dim == 16
    assert encoder.sha256 == hashlib.sha256((t5_folder / "model.safetensors").read_bytes()).hexdigest()
    together = encoder.encode(CAPTIONS)
    reference = T5EncoderModel.from_pretrained(t5_folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(t5_folder)
    for caption, states_LE in zip(CAPTIONS, together, strict=True):
        ids = tokenizer(caption, return_tensors="pt").input_ids
        with torch.no_grad():
            wanted = reference(input_ids=ids).last_hidden_state[0]
        torch.testing.assert_close(states_LE, wanted, atol=1e-5, rtol=0)
        assert len(states_LE) > 2


def test_a_folder_of_the_encoder_alone(t5_folder, tmp_path):
    """As T5's encoder saves itself: nothing in its configuration says that there is a decoder elsewhere."""
    from transformers import T5EncoderModel

    folder = shutil.copytree(t5_folder, tmp_path / "alone")
    T5EncoderModel.from_pretrained(t5_folder).save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["is_encoder_decoder"] is False
    whole, alone = TransformersEncoder(str(t5_folder)), TransformersEncoder(str(folder))
    for ours, wanted in zip(alone.encode(CAPTIONS), whole.encode(CAPTIONS), strict=True):
        assert torch.equal(ours, wanted)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_t5_on_a_gpu_says_what_it_says_on_the_cpu(t5_folder):
    here, there = (TransformersEncoder(str(t5_folder), device) for device in ("cpu", "cuda"))
    assert there.model.device.type == "cuda" and there.sha256 == here.sha256
    for one, other in zip(here.encode(CAPTIONS), there.encode(CAPTIONS), strict=True):
        assert other.device.type == "cpu"
        torch.testing.assert_close(other, one, atol=1e-3, rtol=1e-3)


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(UserError, match="text=minilm for the bundled one") as error:
        TransformersEncoder(str(tmp_path / "nothing"))
    assert "\n" not in str(error.value)


def test_a_hub_id_without_a_hub_is_one_line():
    with pytest.raises(UserError, match=r"'google-t5/t5-base' cannot be loaded.*give a local folder"):
        TransformersEncoder("google-t5/t5-base")


def test_a_folder_without_weights(t5_folder, tmp_path):
    folder = tmp_path / "t5"
    shutil.copytree(t5_folder, folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        TransformersEncoder(str(folder))


def test_truncated_weights(t5_folder, tmp_path):
    folder = tmp_path / "t5"
    shutil.copytree(t5_folder, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(UserError, match="cannot be loaded"):
        TransformersEncoder(str(folder))


def test_an_empty_tokenizer_is_refused(t5_folder, tmp_path):
    """Offline, some tokenizers come back with special tokens only; every caption would be the same."""
    folder = tmp_path / "t5"
    shutil.copytree(t5_folder, folder)
    for file in folder.glob("*token*"):
        file.unlink()
    with pytest.raises(UserError, match=r"tokenizer .* is empty|cannot be loaded"):
        TransformersEncoder(str(folder))


TEXTS = st.lists(st.text(min_size=1, max_size=60).filter(str.strip), min_size=2, max_size=5)


@settings(max_examples=15, deadline=None)
@given(captions=TEXTS)
def test_no_caption_of_any_language_hears_its_neighbours(t5_folder, captions):
    encoder = loaded(t5_folder)
    for caption, states_LE in zip(captions, encoder.encode(captions), strict=True):
        torch.testing.assert_close(states_LE, encoder.encode([caption])[0], atol=2e-5, rtol=0)


def loaded(folder: Path, _known: dict[Path, TransformersEncoder] = {}) -> TransformersEncoder:  # noqa: B006
    """An encoder that all examples of a test share."""
    if folder not in _known:
        _known[folder] = TransformersEncoder(str(folder))
    return _known[folder]


def changed(folder: Path, to: Path, change) -> str:
    """A copy of a model whose weights have been changed."""
    shutil.copytree(folder, to)
    weights = load_file(to / "model.safetensors")
    change(weights)
    save_file(weights, to / "model.safetensors", {"format": "pt"})
    return str(to)


def test_weights_that_are_missing_are_not_drawn_at_random(t5_folder, tmp_path):
    def drop(weights):
        del weights["encoder.block.1.layer.0.SelfAttention.q.weight"]

    with pytest.raises(UserError, match=r"lacks weights such as encoder.block.1.layer.0.SelfAttention.q.weight"):
        TransformersEncoder(changed(t5_folder, tmp_path / "t5", drop))


def test_weights_stored_in_half_precision_compute_in_fp32(t5_folder, tmp_path):
    def halve(weights):
        weights |= {name: weight.half() for name, weight in weights.items()}

    def round_(weights):
        weights |= {name: weight.half().float() for name, weight in weights.items()}

    half = TransformersEncoder(changed(t5_folder, tmp_path / "half", halve))
    full = TransformersEncoder(changed(t5_folder, tmp_path / "full", round_))
    assert {parameter.dtype for parameter in half.model.parameters()} == {torch.float32}
    for one, other in zip(half.encode(CAPTIONS), full.encode(CAPTIONS), strict=True):
        assert torch.equal(one, other)


def test_a_tokenizer_that_reads_all_captions_alike_is_refused(t5_folder, tmp_path):
    from transformers import T5Tokenizer

    folder = shutil.copytree(t5_folder, tmp_path / "t5")
    fillers = [(f"▁filler{number}", -5.0) for number in range(1200)]
    T5Tokenizer(vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *fillers]).save_pretrained(folder)
    with pytest.raises(UserError, match="reads unrelated captions alike"):
        TransformersEncoder(str(folder))


def test_a_sentencepiece_model_alone_is_told(t5_folder, tmp_path):
    folder = shutil.copytree(t5_folder, tmp_path / "t5")
    (folder / "tokenizer.json").rename(folder / "spiece.model")
    with pytest.raises(UserError, match=r"cannot be loaded \(its tokenizer.json is missing\)"):
        TransformersEncoder(str(folder))


class TestLongCaptions:
    LONG = "so many words " * 60

    def test_the_bundled_encoder_counts_those_that_it_cuts(self, minilm):
        assert minilm.cut(CAPTIONS) == 0 and minilm.cut([]) == 0
        longest = minilm.longest
        assert longest is not None and minilm.cut([*CAPTIONS, self.LONG * 4]) == 1
        assert len(minilm.encode([self.LONG * 4])[0]) == longest

    def test_t5_has_no_end_unless_its_tokenizer_says_one(self, t5_folder, tmp_path):
        encoder = TransformersEncoder(str(t5_folder))
        assert encoder.longest is None and encoder.cut([self.LONG]) == 0
        assert len(encoder.encode([self.LONG])[0]) > 240
        encoder.tokenizer.model_max_length = 7
        assert encoder.longest == 7 and encoder.cut([self.LONG, "a", *CAPTIONS]) == 3
        states = encoder.encode([self.LONG, "a"])
        assert [len(state) for state in states] == [7, len(encoder.encode(["a"])[0])]

    @pytest.mark.parametrize(("kind", "positions"), [("bert", 16), ("roberta", 18)])
    def test_absolute_positions_end_where_the_model_ends(self, tmp_path, kind, positions):
        """Also where the tokenizer states no end: torch would stop with an index out of range."""
        from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel, RobertaTokenizer

        folder = write_vocabulary(tmp_path / kind)
        sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
        config, model = {"bert": (BertConfig, BertModel), "roberta": (RobertaConfig, RobertaModel)}[kind]
        model(config(vocab_size=1200, max_position_embeddings=positions, pad_token_id=1, **sizes)).save_pretrained(
            folder
        )
        tokenizer = RobertaTokenizer.from_pretrained(str(folder))
        tokenizer.save_pretrained(folder)
        encoder = TransformersEncoder(str(folder))
        assert encoder.longest == 16 and encoder.cut([self.LONG, "a"]) == 1
        assert [len(state) for state in encoder.encode([self.LONG, "a"])] == [16, 3]
