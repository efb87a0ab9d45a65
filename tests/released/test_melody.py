"""MusicGen-melody in both formats: the same logits and tokens as by transformers, for random weights.

Shape suffixes: B batch, K levels, T frames, S steps, V codebook size, L moments, C pitch classes.
"""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from musicbench import released
from musicbench.errors import UserError
from musicbench.generators.autoregressive import AutoregressiveLM
from musicbench.models import kernels
from musicbench.models.conditions import MELODY, Conditions, States
from musicbench.models.prefix import Prefix
from musicbench.models.sampling import Sampling
from musicbench.released.export_musicgen import write_musicgen
from musicbench.released.surroundings import Surroundings
from musicbench.runs.parts import Parts
from tests.helpers.audiocraft_reference import save_state, settings
from tests.helpers.peers import CAPTIONS, conditions_of, delays_of, peer_greedy, tokens
from tests.helpers.small_released import lively, save_musicgen, small_musicgen

FRAMES, CLIPS = 110, len(CAPTIONS)
MATTERS = 0.02
"""Mean change of logits that shows a condition at work: few rows of text stand beside 235 of melody. It is 200 times
what logits may differ from those of transformers."""
MOMENTS = {"no melody": None, "a short melody": 40, "30 s": 235, "a long melody": 250}
SHAPES: dict[str, dict[str, Any]] = {
    "mono": {},
    "stereo, one layer": {"audio_channels": 2, "sizes": {"num_codebooks": 4, "num_hidden_layers": 1}},
}
PARTS = {
    "self_attn_layer_norm": "norm1", "final_layer_norm": "norm2", "fc1": "linear1", "fc2": "linear2",
    "self_attn.out_proj": "self_attn.out_proj",
}  # fmt: skip
WAV = {
    "model": "chroma_stem",
    "chroma_stem": {
        "sample_rate": "${sample_rate}", "n_chroma": 12, "radix2_exp": 14, "argmax": True, "match_len_on_eval": False,
        "eval_wavs": None, "n_eval_wavs": 100, "cache_path": None,
    },
}  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES)
def peer(request) -> Any:
    model = small_musicgen(melody=True, **SHAPES[request.param])
    torch.manual_seed(1)
    for part in (model.decoder, model.enc_to_dec_proj, model.audio_enc_to_dec_proj):
        lively(part)
    return model


@pytest.fixture(scope="module")
def folder(peer, tmp_path_factory) -> Path:
    """In shards, as large ones are."""
    folder = save_musicgen(peer, tmp_path_factory.mktemp("melody"), max_shard_size="30KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    return folder


@pytest.fixture(scope="module")
def audiocraft_folder(peer, tmp_path_factory) -> Path:
    return save_audiocraft(peer, tmp_path_factory.mktemp("melody") / "audiocraft")


def save_audiocraft(peer: Any, folder: Path, **changes: Any) -> Path:
    """The same weights by audiocraft's names, and its configuration."""
    theirs, provider = peer.state_dict(), "condition_provider.conditioners"
    state: dict[str, Tensor] = {f"{provider}.self_wav.chroma.spec.window": torch.hann_window(2**14)}
    for k in range(peer.decoder.num_codebooks):
        state[f"emb.{k}.weight"] = theirs[f"decoder.model.decoder.embed_tokens.{k}.weight"]
        state[f"linears.{k}.weight"] = theirs[f"decoder.lm_heads.{k}.weight"]
    for end in ("weight", "bias"):
        state[f"{provider}.description.output_proj.{end}"] = theirs[f"enc_to_dec_proj.{end}"]
        state[f"{provider}.self_wav.output_proj.{end}"] = theirs[f"audio_enc_to_dec_proj.{end}"]
        state[f"out_norm.{end}"] = theirs[f"decoder.model.decoder.layer_norm.{end}"]
    for i in range(peer.config.decoder.num_hidden_layers):
        layer = f"decoder.model.decoder.layers.{i}"
        qkv = [theirs[f"{layer}.self_attn.{letter}_proj.weight"] for letter in "qkv"]
        state[f"transformer.layers.{i}.self_attn.in_proj_weight"] = torch.cat(qkv)
        for there, here in PARTS.items():
            for end in ("weight", "bias"):
                if (name := f"{layer}.{there}.{end}") in theirs:
                    state[f"transformer.layers.{i}.{here}.{end}"] = theirs[name]
    described = settings(state, peer.config.decoder.num_attention_heads)
    described["fuser"] |= {"prepend": ["self_wav", "description"], "cross": []}
    described["conditioners"]["self_wav"] = {**WAV, "chroma_stem": WAV["chroma_stem"] | changes}
    described["codebooks_pattern"]["delay"]["delays"] = delays_of(peer.decoder)
    return save_state(folder, state, described)


def melodies(moments: int | None, seed: int = 0) -> dict[str, Tensor]:
    """What transformers is told: one-hot classes; the second clip has no melody, which is the first class there."""
    if moments is None:
        return {}
    classes_BL = torch.randint(12, (CLIPS, moments), generator=torch.Generator().manual_seed(seed))
    classes_BL[1] = 0
    return {"input_features": torch.nn.functional.one_hot(classes_BL, 12).float()}


def told(peer: Any, moments: int | None, seed: int = 0, captions: list[str] = CAPTIONS) -> Conditions:
    """The same as ours takes it; what is not there is rubbish."""
    conditions = conditions_of(peer, captions)
    if moments is None:
        return conditions
    states_BLC = melodies(moments, seed)["input_features"].clone()
    states_BLC[1] = 50.0
    mask_BL = torch.ones(CLIPS, moments, dtype=torch.bool)
    mask_BL[1] = False
    return Conditions({**conditions.named, MELODY: States(states_BLC, mask_BL)})


def codes_like(lm: Any, frames: int) -> Tensor:
    return torch.randint(lm.codebook_size, (CLIPS, lm.levels, frames), generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def peer_logits(peer: Any, codes_BKT: Tensor, moments: int | None) -> tuple[Tensor, Tensor]:
    """Logits [B, K, T, V] of the plain call, and [2 B, K, T, V] with the copies that its own guidance adds."""
    size, delays, (_, levels, frames) = peer.decoder.config.vocab_size, delays_of(peer.decoder), codes_BKT.shape
    ids_BKS = torch.full((CLIPS, levels, frames + max(delays)), size)
    for k, late in enumerate(delays):
        ids_BKS[:, k, late + 1 : late + 1 + frames] = codes_BKT[:, k, : ids_BKS.shape[2] - late - 1]

    def aligned(logits: Tensor) -> Tensor:
        logits_BKSV = logits.unflatten(0, (-1, levels))[:, :, -ids_BKS.shape[2] :]
        return torch.stack([logits_BKSV[:, k, late : late + frames] for k, late in enumerate(delays)], 1)

    text, tune, ids = tokens(CAPTIONS), melodies(moments), ids_BKS.flatten(0, 1)
    plain = peer(**text, **tune, decoder_input_ids=ids, use_cache=False).logits
    guided = peer._prepare_encoder_hidden_states_kwargs_for_generation(
        text["input_ids"],
        {"attention_mask": text["attention_mask"], **tune},
        "input_ids",
        SimpleNamespace(guidance_scale=3.0, output_attentions=False, output_hidden_states=False),
    )["encoder_hidden_states"]
    both = peer.decoder(input_ids=ids.repeat(2, 1), encoder_hidden_states=guided, use_cache=False).logits
    return aligned(plain), aligned(both)


@torch.inference_mode()
@pytest.mark.parametrize("moments", MOMENTS.values(), ids=MOMENTS)
@pytest.mark.parametrize("source", ["transformers", "audiocraft"])
def test_logits_are_those_of_transformers(source, moments, peer, folder, audiocraft_folder):
    loaded = released.load(folder if source == "transformers" else audiocraft_folder)
    lm, conditions = loaded.module.lm, told(peer, moments)
    codes_BKT, tables = codes_like(lm, 40), loaded.module.tables.tensors(40)
    plain, both = peer_logits(peer, codes_BKT, moments)
    nothing = conditions.without(torch.ones(CLIPS, dtype=torch.bool))
    for given, wanted in ((conditions, plain), (conditions, both[:CLIPS]), (nothing, both[CLIPS:])):
        assert wanted.std() > 0.5
        torch.testing.assert_close(lm(codes_BKT, tables, given), wanted, atol=1e-4, rtol=0)
    assert (both[:CLIPS] - both[CLIPS:]).abs().mean((1, 2, 3)).min() > MATTERS, "or nothing would be said of conditions"


@pytest.mark.parametrize("way", ["auto", "plain"], ids=["compiled", "torch"])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("moments", [None, 40], ids=["no melody", "a short melody"])
def test_greedy_tokens_are_those_of_transformers(moments, cfg, way, peer, folder):
    loaded = released.load(folder)
    with kernels.using(way):
        found_BKT = loaded.module.generate(told(peer, moments), FRAMES, [1, 2, 3], Sampling(cfg=cfg, temperature=0))
    wanted_BKT = peer_greedy(peer, CAPTIONS, FRAMES, cfg, **melodies(moments))
    assert torch.equal(found_BKT, wanted_BKT)
    assert len(wanted_BKT.unique()) > 20 and not torch.equal(wanted_BKT[0], wanted_BKT[1])


@torch.inference_mode()
def test_captions_and_melodies_both_matter(peer, folder):
    loaded = released.load(folder)
    lm, tables = loaded.module.lm, loaded.module.tables.tensors(20)
    codes_BKT, others = codes_like(lm, 20), ["tubas", "a slow waltz for string ensemble, quiet and sad", "one harp"]
    usual, text, tune = (
        lm(codes_BKT, tables, given)
        for given in (told(peer, 40), told(peer, 40, captions=others), told(peer, 40, seed=1))
    )
    assert (text - usual)[[0, 2]].abs().mean((1, 2, 3)).min() > MATTERS
    assert (tune - usual)[[0, 2]].abs().mean((1, 2, 3)).min() > MATTERS


def test_what_a_checkpoint_is(peer, folder, audiocraft_folder):
    ours, theirs = released.open(folder), released.open(audiocraft_folder)
    assert ours.model == theirs.model and ours.pattern == theirs.pattern and ours.channels == theirs.channels
    assert ours.model["text_fusion"] == "prepend" and ours.model["prefixes"]["melody"]["length"] == 235
    own, again = dict(ours.weights()), dict(theirs.weights())
    assert own.keys() == again.keys() and all(torch.equal(own[name], again[name]) for name in own)


@pytest.mark.parametrize(("key", "value"), [("chroma_length", 100), ("num_chroma", 24)])
def test_another_melody_is_refused(key, value, peer, folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").unlink()
    (tmp_path / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(UserError, match=f"{key}={value} is not what our network computes"):
        released.open(tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"n_chroma": 24}, "n_chroma=24 is not"),
        ({"argmax": False}, "argmax=False is not"),
        ({"sample_rate": 16000}, "melodies of 30 s at 16000 Hz are not"),
    ],
    ids=str,
)
def test_another_melody_of_audiocraft_is_refused(changes, told, peer, tmp_path):
    with pytest.raises(UserError, match=told):
        released.open(save_audiocraft(peer, tmp_path / "other", **changes))


@pytest.mark.parametrize(
    "options",
    [
        {"text_fusion": "prepend", "text_padding": "zeros"},
        {"prefixes": {"melody": {"width": 12, "per_frame": 0.15}}},
    ],
    ids=["text", "melody"],
)
def test_no_export_drops_a_condition(options, tmp_path):
    sizes = {"levels": 3, "codebook_size": 64, "text_dim": 16, "dim": 32, "layers": 1, "heads": 4, **options}
    module = AutoregressiveLM(sizes, {"pattern": "delay"}, 20, {"lr": 1e-4, "total_steps": 1})
    encoder = SimpleNamespace(dim=16, id="stub")
    with pytest.raises(UserError, match="cannot be exported"):
        write_musicgen(module, Sampling(), Surroundings(encoder, None, 1, 50.0, 2.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_a_token_store_has_the_melody_that_checkpoints_have(folder):
    released_model = released.open(folder)
    config = SimpleNamespace(cache="", data=SimpleNamespace(melody="musicgen", store=None))
    parts = Parts(config, None)  # type: ignore[arg-type]
    parts.codec = SimpleNamespace(frame_rate=released_model.frame_rate)
    assert parts.melody_prefix == Prefix(**released_model.model["prefixes"]["melody"])
