"""Logits of transformers' MusicGen decoder with our weights, which sees captions padded with zero vectors."""

import pytest
import torch
from torch import Tensor

from musicbench import plans
from musicbench.models.autoregressive.pattern_lm import PatternLM

FRAMES, LEVELS, SIZE, DIM = 9, 3, 11, 32
NAMES = {
    "self_out": "self_attn.out_proj",
    "cross_q": "encoder_attn.q_proj",
    "cross_out": "encoder_attn.out_proj",
    "ffn_in": "fc1",
    "ffn_out": "fc2",
    "norm_self": "self_attn_layer_norm",
    "norm_cross": "encoder_attn_layer_norm",
    "norm_ffn": "final_layer_norm",
}


def named_as_there(lm: PatternLM) -> dict[str, Tensor]:
    """Our weights under the peer's names."""
    ours, theirs = lm.state_dict(), {}
    for k, rows_VD in enumerate(ours["embedding.weight"].view(LEVELS, SIZE + 1, DIM)):
        theirs[f"model.decoder.embed_tokens.{k}.weight"] = rows_VD
        theirs[f"lm_heads.{k}.weight"] = ours["heads_KVD"][k]
    for end in ("weight", "bias"):
        theirs[f"model.decoder.layer_norm.{end}"] = ours[f"transformer.out_norm.{end}"]
    for name, weight in ours.items():
        if not name.startswith("transformer.blocks."):
            continue
        _, _, number, part, end = name.split(".")
        layer = f"model.decoder.layers.{number}"
        if part in NAMES:
            theirs[f"{layer}.{NAMES[part]}.{end}"] = weight
        else:
            attention, letters = {"qkv": ("self_attn", "qkv"), "cross_kv": ("encoder_attn", "kv")}[part]
            for letter, rows_DD in zip(letters, weight.chunk(len(letters)), strict=True):
                theirs[f"{layer}.{attention}.{letter}_proj.{end}"] = rows_DD
    return theirs


@pytest.fixture
def peer():
    from transformers import MusicgenForCausalLM
    from transformers.models.musicgen.configuration_musicgen import MusicgenDecoderConfig

    config = MusicgenDecoderConfig(
        vocab_size=SIZE,
        hidden_size=DIM,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=4 * DIM,
        num_codebooks=LEVELS,
        dropout=0.0,
        pad_token_id=SIZE,
        bos_token_id=SIZE,
    )
    return MusicgenForCausalLM(config).eval()


def test_delay_with_a_dropped_caption_and_captions_of_unequal_length(peer, make_lm, make_captions, full_logits):
    lm = make_lm(LEVELS, SIZE, null_caption="zeros", text_padding="zeros", initialisation="musicgen")
    missing = peer.load_state_dict(named_as_there(lm), strict=False)
    assert missing.unexpected_keys == []
    assert [name for name in missing.missing_keys if "embed_positions" not in name] == []
    codes_BKT = torch.randint(SIZE, (3, LEVELS, FRAMES), generator=torch.Generator().manual_seed(2))
    conditions = make_captions([3, 7, 0])  # the last one is the null caption
    ids_BKP = torch.full((3, LEVELS, FRAMES + LEVELS - 1), SIZE)
    for k in range(LEVELS):
        ids_BKP[:, k, k + 1 : k + 1 + FRAMES] = codes_BKT[:, k, : ids_BKP.shape[2] - k - 1]
    with torch.inference_mode():
        states_BLD = lm.conditioner.project(conditions.text.states_BLE) * conditions.text.mask_BL[..., None]
        logits = peer(input_ids=ids_BKP.flatten(0, 1), encoder_hidden_states=states_BLD, use_cache=False).logits
    logits_BKPV = logits.view(3, LEVELS, -1, SIZE)
    wanted_BKTV = torch.stack([logits_BKPV[:, k, k : k + FRAMES] for k in range(LEVELS)], 1)
    found_BKTV = full_logits(lm, plans.build("delay", FRAMES, LEVELS), codes_BKT, conditions)
    assert wanted_BKTV.std() > 0.1
    torch.testing.assert_close(found_BKTV, wanted_BKTV, atol=2e-5, rtol=0)
