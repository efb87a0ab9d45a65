"""MusicGen and MAGNeT in audiocraft's format: the same logits and tokens as by its rules, for random weights."""

from typing import Any

import pytest
import torch

from musicbench import released
from musicbench.models.conditions import Conditions
from musicbench.models.masked.sampling import MaskedSampling
from musicbench.models.sampling import Sampling
from tests.helpers import audiocraft_reference as theirs

SIZES = {
    "small": {"levels": 3, "size": 20, "dim": 32, "layers": 2, "text_dim": 12},
    "one layer, captions as wide": {"levels": 4, "size": 11, "dim": 48, "layers": 1, "text_dim": 48},
}
HEADS = {"small": 4, "one layer, captions as wide": 3}
LENGTHS = [5, 2, 7, 0]
"""Tokens of captions; the last clip has none."""


@pytest.fixture(params=SIZES)
def described(request) -> tuple[dict[str, torch.Tensor], int, Conditions]:
    """Weights, number of heads, and captions of several lengths whose padding holds rubbish."""
    state = theirs.random_state(**SIZES[request.param])
    random = torch.Generator().manual_seed(3)
    states_BLE = torch.randn(len(LENGTHS), max(LENGTHS), SIZES[request.param]["text_dim"], generator=random)
    mask_BL = torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]
    conditions = Conditions.of_text(states_BLE.masked_fill(~mask_BL[..., None], 50.0), mask_BL)
    return state, HEADS[request.param], conditions


def codes_of(lm: Any, frames: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(4)
    return torch.randint(lm.codebook_size, (len(LENGTHS), lm.levels, frames), generator=random)


class TestMusicGen:
    @torch.inference_mode()
    @pytest.mark.parametrize("stereo", [False, True])
    def test_logits(self, described, stereo, tmp_path):
        state, heads, conditions = described
        levels = sum(name.startswith("linears.") for name in state)
        delays = [k // 2 if stereo else k for k in range(levels)]
        loaded = released.load(
            theirs.save_state(
                tmp_path, state, theirs.settings(state, heads, **{"codebooks_pattern.delay.delays": delays})
            )
        )
        assert loaded.released.channels == 1 + stereo
        lm = loaded.module.lm
        codes_BKT = codes_of(lm, 17)
        found_BKTV = lm(codes_BKT, loaded.module.tables.tensors(17), conditions)
        for codes_KT, text_LD, found_KTV in zip(codes_BKT, theirs.text_of(state, conditions), found_BKTV, strict=True):
            wanted_KTV = theirs.delayed_logits(state, heads, codes_KT, text_LD, delays)
            assert wanted_KTV.std() > 0.3
            torch.testing.assert_close(found_KTV, wanted_KTV, atol=1e-4, rtol=0)

    def test_greedy_tokens(self, tmp_path):
        """One clip, step by step, from the logits of all steps so far."""
        state = theirs.random_state(levels=2, size=20, dim=32, layers=2, text_dim=6)
        # Loud tokens, so that those that are drawn depend on those before, and do not stay the same.
        state |= {name: 4 * weight for name, weight in state.items() if name.startswith("emb.")}
        loaded = released.load(theirs.save_state(tmp_path, state, theirs.settings(state, 4)))
        mask_BL = torch.tensor([[True, True, True], [True, False, False]])
        conditions = Conditions.of_text(torch.randn(2, 3, 6, generator=torch.Generator().manual_seed(1)), mask_BL)
        frames, delays = 100, [0, 1]
        found_BKT = loaded.module.generate(conditions, frames, [1, 2], Sampling(cfg=3.0, temperature=0))
        for text_LD, found_KT in zip(theirs.text_of(state, conditions), found_BKT, strict=True):
            codes_KT = torch.zeros(2, frames, dtype=torch.long)
            for step in range(frames + 1):
                told, untold = (
                    theirs.delayed_logits(state, 4, codes_KT[:, : step + 1], text, delays)
                    for text in (text_LD, torch.zeros_like(text_LD))
                )
                guided_KTV = untold + 3.0 * (told - untold)
                for k, late in enumerate(delays):
                    if 0 <= step - late < frames:
                        codes_KT[k, step - late] = guided_KTV[k, step - late].argmax()
            assert torch.equal(found_KT, codes_KT)
            assert len(codes_KT.unique()) > 4


class TestMagnet:
    @torch.inference_mode()
    @pytest.mark.parametrize("context", [5, 2, -1])
    def test_logits_of_each_level(self, described, context, tmp_path):
        state, heads, conditions = described
        settings = theirs.settings(state, heads, magnet=True, **{"transformer_lm.subcodes_context": context})
        loaded = released.load(theirs.save_state(tmp_path, state, settings))
        lm, frames = loaded.module.lm, 21
        masked_BKT = torch.rand(len(LENGTHS), lm.levels, frames, generator=torch.Generator().manual_seed(5)) < 0.4
        for level in range(lm.levels):
            codes_BKT = codes_of(lm, frames).masked_fill(masked_BKT, lm.codebook_size)
            codes_BKT[:, level + 1 :] = lm.codebook_size
            hidden_BTD = lm.frame_hidden(codes_BKT, level, lm.frame_context(conditions, frames))
            found_BTV = hidden_BTD @ lm.heads_KVD[level].T
            for codes_KT, text_LD, found_TV in zip(
                codes_BKT, theirs.text_of(state, conditions), found_BTV, strict=True
            ):
                wanted_TV = theirs.level_logits(state, heads, codes_KT, text_LD, level, context)
                torch.testing.assert_close(found_TV, wanted_TV, atol=1e-4, rtol=0)

    @pytest.mark.parametrize(
        "changes",
        [{}, {"span_scoring": "prod", "max_cfg_coef": 4.0}, {"anneal_temp": False, "temp": 1.5}],
        ids=str,
    )
    def test_greedy_tokens(self, described, changes, tmp_path):
        state, heads, conditions = described
        settings = theirs.settings(state, heads, magnet=True)
        lm = settings["generate"]["lm"]
        lm |= {"decoding_steps": [7] + [4] * (len(lm["decoding_steps"]) - 1), **changes}
        loaded = released.load(theirs.save_state(tmp_path, state, settings))
        frames = 36
        greedy = MaskedSampling(**{**loaded.released.sampling, "top_p": 1.0, "top_k": 1})
        found_BKT = loaded.module.generate(conditions, frames, [1, 2, 3, 4], greedy)
        for text_LD, found_KT in zip(theirs.text_of(state, conditions), found_BKT, strict=True):
            wanted_KT = theirs.magnet_greedy(state, heads, text_LD, frames, lm, 5, 3)
            assert torch.equal(found_KT, wanted_KT)
            assert len(wanted_KT.unique()) > 4
