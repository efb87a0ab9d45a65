"""Bits per frame by hand, and captions dealt to other pieces."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.likelihood import bits_per_token, shuffled_captions
from musicbench.evaluation.systems import UniformModel


def test_uniform_model_needs_log2_of_the_codebook_a_token():
    bits_NK = bits_per_token(UniformModel(4, 1024), torch.zeros(7, 4, 50, dtype=torch.long), [""] * 7, batch_size=3)
    np.testing.assert_allclose(bits_NK, np.full((7, 4), 10.0), rtol=1e-12)
    assert bits_NK.dtype == np.float64


def test_clips_and_levels_stay_in_order_and_keep_their_captions():
    class Model:
        def log_prob(self, codes_BKT, captions):
            return -torch.tensor([[float(c)] for c in captions], dtype=torch.float64) - codes_BKT.sum(2)

    codes_NKT = torch.arange(5)[:, None, None] * torch.tensor([1, 3])[:, None].expand(2, 2)
    bits_NK = bits_per_token(Model(), codes_NKT, ["10", "20", "30", "40", "50"], batch_size=2)
    np.testing.assert_allclose(bits_NK * 2 * np.log(2), [[10, 10], [22, 26], [34, 42], [46, 58], [58, 74]])


@given(pieces=st.lists(st.sampled_from("abcde"), min_size=2, max_size=40), seed=st.integers(0, 99))
def test_no_clip_keeps_a_caption_of_its_piece(pieces, seed):
    captions = [f"{piece}{number}" for number, piece in enumerate(pieces)]
    if 2 * max(Counter(pieces).values()) > len(pieces):
        with pytest.raises(UserError, match="more pieces"):
            shuffled_captions(captions, pieces, seed)
        return
    dealt = shuffled_captions(captions, pieces, seed)
    assert Counter(dealt) == Counter(captions)
    assert all(caption[0] != piece for caption, piece in zip(dealt, pieces, strict=True))
    assert dealt == shuffled_captions(captions, pieces, seed)


def test_seed_changes_the_deal():
    pieces = [f"p{number}" for number in range(30)]
    assert shuffled_captions(pieces, pieces, 0) != shuffled_captions(pieces, pieces, 1)
