"""Autoregressive models of ours in transformers' format: it loads them and draws the same tokens."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoTokenizer,
    DynamicCache,
    EncoderDecoderCache,
    GenerationConfig,
    MusicgenForCausalLM,
    MusicgenForConditionalGeneration,
)

from musicbench import released
from musicbench.conditions.text import TransformersEncoder
from musicbench.errors import UserError
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.models.conditions import Conditions
from musicbench.models.sampling import Sampling
from musicbench.released.export import export
from musicbench.released.export_musicgen import PROJECTION_FILE
from musicbench.released.parts import save_text
from musicbench.released.surroundings import Surroundings
from tests.helpers.peers import CAPTIONS, conditions_of, peer_greedy, peer_logits
from tests.helpers.small_codecs import small_encodec
from tests.helpers.small_released import LEVELS, SIZE, lively, save_musicgen, small_musicgen

FRAMES = 104
MODEL = {"levels": LEVELS, "codebook_size": SIZE, "text_dim": 16, "dim": 32, "layers": 2, "heads": 4}
OPTIMISER = {"lr": 1e-3, "total_steps": 1}
GREEDY = Sampling(cfg=1.0, temperature=0)


def make(pattern: str = "delay", **changes: Any) -> AutoregressiveLM:
    """A module of ours, as a run has it."""
    torch.manual_seed(0)
    options = {name: changes.pop(name) for name in ("positional", "schedule") if name in changes}
    model = {**MODEL, "null_caption": "zeros", **changes}
    module = AutoregressiveLM(model=model, pattern={"pattern": pattern, **options}, frames=20, optimiser=OPTIMISER)
    lively(module)
    return module.eval()


@pytest.fixture(scope="module")
def encoder(tmp_path_factory) -> TransformersEncoder:
    folder = tmp_path_factory.mktemp("text")
    save_text(save_musicgen(small_musicgen(), folder / "whole"), folder / "text")
    return TransformersEncoder(str(folder / "text"))


@pytest.fixture(scope="module")
def codec(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("codec")
    small_encodec(use_causal_conv=False).save_pretrained(folder)
    return folder


@pytest.fixture
def around(encoder, codec) -> Surroundings:
    return Surroundings(encoder, codec, channels=1, frame_rate=50.0, seconds=10.0)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("stereo", [False, True])
def test_transformers_draws_the_same_tokens(around, stereo, cfg, tmp_path):
    if stereo:
        module = make("stereo_partial_delay", levels=2 * LEVELS)
        around = around._replace(channels=2)
    else:
        module = make()
    assert export(module, Sampling(cfg=cfg, temperature=0), around, tmp_path / "out") == []
    peer = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    conditions = conditions_of(peer, CAPTIONS)
    found_BKT = module.generate(conditions, FRAMES, [1, 2, 3], Sampling(cfg=cfg, temperature=0))
    assert torch.equal(peer_greedy(peer, CAPTIONS, FRAMES, cfg), found_BKT)
    assert len(found_BKT.unique()) > 20


def test_with_the_bundled_text_encoder(around, tmp_path):
    """MiniLM is a BERT, which transformers' MusicGen takes as well as a T5."""
    encoder = TransformersEncoder()
    module = make(text_dim=encoder.dim)
    assert export(module, Sampling(temperature=0), around._replace(encoder=encoder), tmp_path / "out") == []
    peer = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    conditions = conditions_of(peer, CAPTIONS, tokenizer)
    found_BKT = module.generate(conditions, FRAMES, [1, 2, 3], Sampling(temperature=0))
    assert torch.equal(peer_greedy(peer, CAPTIONS, FRAMES, 3.0, tokenizer), found_BKT)
    states_BLE, mask_BL = conditions.text
    for states_LE, mask_L, wanted_LE in zip(states_BLE, mask_BL, encoder.encode(CAPTIONS), strict=True):
        torch.testing.assert_close(states_LE[mask_L], wanted_LE, atol=1e-5, rtol=0)


def test_its_captions_and_its_audio_are_those_of_the_parts(around, codec, tmp_path):
    export(make(), GREEDY, around, tmp_path / "out")
    peer = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    states_BLE, mask_BL = conditions_of(peer, CAPTIONS).text
    for states_LE, mask_L, wanted_LE in zip(states_BLE, mask_BL, around.encoder.encode(CAPTIONS), strict=True):
        torch.testing.assert_close(states_LE[mask_L], wanted_LE, atol=1e-5, rtol=0)
    codes = torch.randint(SIZE, (1, 1, LEVELS, 40), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found, wanted = (model.decode(codes, [None]).audio_values for model in (peer.audio_encoder, _codec(codec)))
    assert torch.equal(found, wanted)


def _codec(folder: Path) -> Any:
    from transformers import EncodecModel

    return EncodecModel.from_pretrained(folder).eval()


def test_settings_of_sampling_are_those_of_the_run(around, tmp_path):
    export(make(), Sampling(cfg=2.5, top_k=40, temperature=0.7), around, tmp_path / "out")
    there = GenerationConfig.from_pretrained(tmp_path / "out")
    found = there.guidance_scale, there.top_k, there.temperature, there.do_sample, there.max_length
    assert found == (2.5, 40, 0.7, True, 500)
    back = released.open(tmp_path / "out")
    assert back.sampling == {"cfg": 2.5, "top_k": 40, "temperature": 0.7}
    assert (back.seconds, back.frame_rate, back.channels, back.pattern) == (10.0, 50.0, 1, "delay")


def test_there_and_back_all_weights_are_the_same(around, tmp_path):
    module = make()
    export(module, GREEDY, around, tmp_path / "out")
    back = released.load(tmp_path / "out").module.lm.state_dict()
    assert back.keys() == module.lm.state_dict().keys()
    assert all(torch.equal(back[name], weight) for name, weight in module.lm.state_dict().items())


def test_from_there_and_back_all_weights_are_the_same(tmp_path):
    source = small_musicgen()
    lively(source.decoder)
    loaded = released.load(save_musicgen(source, tmp_path / "in"))
    loaded.released.save_codec(tmp_path / "codec")
    around = Surroundings(loaded.text(), tmp_path / "codec", 1, 50.0, 10.0)
    export(loaded.module, GREEDY, around, tmp_path / "out")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("in", "out"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_captions_as_wide_as_the_network(around, tmp_path):
    """transformers has no projection then, so that one that changes nothing can be left out, and no other."""
    module = make(dim=16, heads=4)
    with pytest.raises(UserError, match=r"captions of width 16 cannot be exported with a network of the same width"):
        export(module, GREEDY, around, tmp_path / "out")
    with torch.no_grad():
        module.lm.conditioner.project.weight.copy_(torch.eye(16))
        module.lm.conditioner.project.bias.zero_()
    export(module, GREEDY, around, tmp_path / "out")
    peer = MusicgenForConditionalGeneration.from_pretrained(tmp_path / "out").eval()
    codes_BKT = torch.zeros(len(CAPTIONS), LEVELS, 12, dtype=torch.long)
    with torch.inference_mode():
        found_BKTV = module.lm(codes_BKT, module.tables.tensors(12), conditions_of(peer, CAPTIONS))
    torch.testing.assert_close(found_BKTV, peer_logits(peer, codes_BKT, CAPTIONS), atol=1e-4, rtol=0)


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_a_decoder_by_itself_draws_the_same_tokens(encoder, cfg, tmp_path):
    """As the room's README says how to use it."""
    module = make()
    sampling, around = Sampling(cfg=cfg, temperature=0), Surroundings(encoder, None, 1, 50.0, 2.08)
    (note,) = export(module, sampling, around, tmp_path / "out")
    assert "its codec is no folder of transformers" in note
    states = encoder.encode(CAPTIONS)
    mask_BL = torch.arange(max(map(len, states))) < torch.tensor([[len(one)] for one in states])
    states_BLE = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
    found_BKT = module.generate(Conditions.of_text(states_BLE, mask_BL), FRAMES, [1, 2, 3], sampling)

    decoder = MusicgenForCausalLM.from_pretrained(tmp_path / "out").eval()
    projection = load_file(tmp_path / "out" / PROJECTION_FILE)
    rows_BLD = (states_BLE @ projection["weight"].T + projection["bias"]) * mask_BL[..., None]
    if cfg > 1:
        rows_BLD, mask_BL = (torch.cat([told, torch.zeros_like(told)]) for told in (rows_BLD, mask_BL))
    start_S1 = torch.full((len(CAPTIONS) * LEVELS, 1), SIZE)
    codes_BKT = decoder.generate(
        start_S1,
        attention_mask=torch.ones(len(CAPTIONS), 1, dtype=torch.long),
        encoder_hidden_states=rows_BLD,
        encoder_attention_mask=mask_BL.long(),
        past_key_values=EncoderDecoderCache(DynamicCache(), DynamicCache()),
        num_return_sequences=1,
        num_beams=1,
        max_length=FRAMES + LEVELS,
    )
    assert torch.equal(codes_BKT, found_BKT)


class TestRefusals:
    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"pattern": "flat"}, "flat under sequential with codes of the step cannot be exported"),
            ({"pattern": "stack_delay"}, "stack_delay under sequential"),
            ({"positional": "frame"}, "with codes of the frame cannot be exported"),
            ({"schedule": "block_4"}, "delay under block_4"),
            ({"position": "rotary"}, "model.position=rotary cannot be exported"),
            ({"prefixes": {"melody": {"width": 12, "per_frame": 0.5}}}, "that is told melody cannot be exported"),
        ],
        ids=str,
    )
    def test_models_that_the_format_cannot_express(self, around, changes, said, tmp_path):
        self.refused(make(**changes), GREEDY, around, tmp_path, said)

    def test_guidance_against_a_learned_null_caption(self, around, tmp_path):
        module = make(null_caption=None)
        self.refused(
            module, Sampling(cfg=3.0), around, tmp_path, "train with model.null_caption=zeros, or export without"
        )
        assert export(module, GREEDY, around, tmp_path / "out") == []

    def test_guidance_that_transformers_has_not(self, around, tmp_path):
        self.refused(make(), Sampling(cfg=0.5), around, tmp_path, "transformers guides from 1 on")

    def test_channels_in_another_order(self, around, tmp_path):
        around = around._replace(channels=2)
        self.refused(make(), GREEDY, around, tmp_path, "audio of 2 channels in the order of delay cannot be exported")

    def test_a_family_without_a_format(self, around, tmp_path):
        self.refused(SimpleNamespace(lm=make().lm), GREEDY, around, tmp_path, "SimpleNamespace has no released format")

    def refused(self, module: Any, sampling: Sampling, around: Surroundings, tmp_path: Path, said: str) -> None:
        with pytest.raises(UserError) as error:
            export(module, sampling, around, tmp_path / "out")
        assert said in str(error.value) and "\n" not in str(error.value)
        assert not (tmp_path / "out").exists()


def test_padding_that_is_seen_is_said(around, tmp_path):
    (note,) = export(make(text_padding="zeros"), GREEDY, around, tmp_path / "out")
    assert note.endswith("their padding is seen in this run, and not seen in transformers")
