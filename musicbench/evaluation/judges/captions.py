"""Shared by text-audio judges: clip embeddings from fixed windows, and gates that refuse a broken text side.

Shape suffixes: B batch, N captions or clips, D width of embeddings, W windows of a clip.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from musicbench.errors import UserError

UNRELATED = ("a dog barks", "slow solo piano in a minor key", "heavy rain on a tin roof")
LARGEST_COSINE = 0.9
_SMALLEST_VOCABULARY = 1000


def clip_embeddings(embeddings_BWD: Tensor) -> Tensor:
    """Unit vectors [B, D] of clips: the mean of their windows' embeddings.

    Fixed windows instead of the random crop that LAION's code takes of long clips: the same clip always scores
    the same.
    """
    return normalize(embeddings_BWD.mean(dim=1), dim=-1)


def encode_each(encode: Callable[[list[str]], Tensor], captions: Sequence[str]) -> Tensor:
    """The vectors that ``encode`` makes of captions, [N, D] float32 on the CPU.

    It gets one at a time: padded to the length of its neighbours, a caption's vector would have other last digits.
    """
    return torch.cat([encode([caption]).float().cpu() for caption in captions])


def require_tokenizer(tokenizer: Any, judge_id: str) -> None:
    """Refuse a tokenizer without a vocabulary: offline, transformers may return one instead of failing.

    Raises:
        UserError: it has next to no tokens.
    """
    if len(tokenizer) < _SMALLEST_VOCABULARY:
        raise UserError(
            f"judge {judge_id}: its tokenizer is empty ({len(tokenizer)} tokens); "
            "give a local folder with the tokenizer's complete files"
        )


def longer_captions(tokenizer: Any, longest: int, captions: Sequence[str]) -> int:
    """How many captions have more than ``longest`` tokens, so that only their beginning is read."""
    if not captions:
        return 0
    return sum(len(ids) > longest for ids in tokenizer(list(captions), truncation=False, verbose=False).input_ids)


def require_open_text_tower(text: Callable[[Sequence[str]], Tensor], judge_id: str) -> None:
    """Refuse a model for which all captions are nearly the same; some published checkpoints are like that.

    Raises:
        UserError: two of three unrelated captions have a cosine of 0.9 or more, or one that is not finite.
    """
    vectors_ND = normalize(text(UNRELATED).double(), dim=-1)
    cosine_NN = vectors_ND @ vectors_ND.T
    largest = max(float(cosine_NN[i, j]) for i in range(3) for j in range(i))
    if not bool(cosine_NN.isfinite().all()) or largest >= LARGEST_COSINE:
        raise UserError(
            f"judge {judge_id}: unrelated captions have cosine {largest:.3f}, so its text side is collapsed or "
            "damaged; use music_audioset_epoch_15_esc_90.14.pt"
        )
