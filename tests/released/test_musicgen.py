"""MusicGen in transformers' format: the same logits and the same tokens as there, for random weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

from musicbench import released
from musicbench.models.sampling import Sampling
from tests.helpers.peers import CAPTIONS, conditions_of, peer_greedy, peer_logits
from tests.helpers.small_released import lively, save_musicgen, small_musicgen

FRAMES = 110
SHAPES: dict[str, dict[str, Any]] = {
    "three levels": {},
    "four levels": {
        "sizes": {"num_codebooks": 4, "hidden_size": 48, "ffn_dim": 192, "num_attention_heads": 3, "vocab_size": 30,
                  "pad_token_id": 30, "bos_token_id": 30, "num_hidden_layers": 3}
    },
    "one layer, two levels": {"sizes": {"num_hidden_layers": 1, "num_codebooks": 2}},
    "captions as wide as the network": {"d_model": 32, "d_kv": 8},
    "stereo": {"audio_channels": 2, "sizes": {"num_codebooks": 8}},
}  # fmt: skip


@pytest.fixture(scope="module", params=SHAPES)
def musicgen(request, tmp_path_factory) -> tuple[Any, Path]:
    """The model of transformers and its folder."""
    model = small_musicgen(**SHAPES[request.param])
    torch.manual_seed(1)
    lively(model.decoder)
    if hasattr(model, "enc_to_dec_proj"):
        lively(model.enc_to_dec_proj)
    return model, save_musicgen(model, tmp_path_factory.mktemp("musicgen"))


def codes_like(lm: Any, frames: int, seed: int = 2) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(lm.codebook_size, (len(CAPTIONS), lm.levels, frames), generator=random)


@torch.inference_mode()
def test_logits_are_those_of_transformers(musicgen):
    peer, folder = musicgen
    loaded = released.load(folder)
    lm, conditions = loaded.module.lm, conditions_of(peer, CAPTIONS)
    codes_BKT = codes_like(lm, 40)
    for dropped in (False, True):
        given = conditions.without(torch.tensor([dropped] * len(CAPTIONS)))
        found_BKTV = lm(codes_BKT, loaded.module.tables.tensors(40), given)
        wanted_BKTV = peer_logits(peer, codes_BKT, CAPTIONS, dropped)
        assert wanted_BKTV.std() > 0.5
        torch.testing.assert_close(found_BKTV, wanted_BKTV, atol=1e-4, rtol=0)


def test_captions_matter(musicgen):
    """Or the comparison of logits would say nothing of them."""
    peer, _ = musicgen
    codes_BKT = torch.zeros(len(CAPTIONS), peer.decoder.num_codebooks, 20, dtype=torch.long)
    told, untold = (peer_logits(peer, codes_BKT, CAPTIONS, dropped) for dropped in (False, True))
    assert (told - untold).abs().mean() > 0.1 and (told[0] - told[1]).abs().mean() > 0.1


@pytest.mark.parametrize("cfg", [1.0, 3.0])
def test_greedy_tokens_are_those_of_transformers(musicgen, cfg):
    peer, folder = musicgen
    loaded = released.load(folder)
    conditions = conditions_of(peer, CAPTIONS)
    found_BKT = loaded.module.generate(conditions, FRAMES, [1, 2, 3], Sampling(cfg=cfg, temperature=0))
    wanted_BKT = peer_greedy(peer, CAPTIONS, FRAMES, cfg)
    assert torch.equal(found_BKT, wanted_BKT)
    assert len(wanted_BKT.unique()) > 20 and not torch.equal(wanted_BKT[0], wanted_BKT[1])
