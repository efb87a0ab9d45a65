"""What transformers' MusicGen computes, laid out as ours is.

Shape suffixes: B batch, K levels, T frames, S steps, V codebook size, L tokens of a caption, E width of states.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from musicbench.models.conditions import Conditions
from tests.helpers.small_released import small_tokenizer

CAPTIONS = ["drums", "a slow waltz for string ensemble, quiet and sad", "two pianos"]
"""Of several lengths, so that a batch has padding."""


def delays_of(decoder: Any) -> list[int]:
    """Steps by which each level is late."""
    return [k // decoder.config.audio_channels for k in range(decoder.config.num_codebooks)]


def tokens(captions: list[str], tokenizer: Any = None) -> dict[str, Tensor]:
    """Captions as the text encoder reads them; by default those of a small MusicGen."""
    tokenizer = tokenizer or small_tokenizer()
    return dict(tokenizer(captions, padding=True, return_tensors="pt", return_token_type_ids=False))


@torch.no_grad()
def conditions_of(peer: Any, captions: list[str], tokenizer: Any = None) -> Conditions:
    """The same captions as ours takes them; the padding holds rubbish."""
    told = tokens(captions, tokenizer)
    mask_BL = told["attention_mask"].bool()
    states_BLE = peer.text_encoder(**told).last_hidden_state
    return Conditions.of_text(states_BLE.masked_fill(~mask_BL[..., None], 50.0), mask_BL)


@torch.no_grad()
def peer_logits(peer: Any, codes_BKT: Tensor, captions: list[str], dropped: bool = False) -> Tensor:
    """Logits [B, K, T, V] under captions, or with all of them dropped as guidance does it."""
    told = tokens(captions)
    if dropped:
        states_BLE = torch.zeros_like(peer.text_encoder(**told).last_hidden_state)
        told = {"encoder_outputs": (states_BLE,), "attention_mask": torch.zeros_like(told["attention_mask"])}
    b, levels, frames = codes_BKT.shape
    size, delays = peer.decoder.config.vocab_size, delays_of(peer.decoder)
    ids_BKS = torch.full((b, levels, frames + max(delays)), size)
    for k, late in enumerate(delays):
        ids_BKS[:, k, late + 1 : late + 1 + frames] = codes_BKT[:, k, : ids_BKS.shape[2] - late - 1]
    logits = peer(**told, decoder_input_ids=ids_BKS.flatten(0, 1), use_cache=False).logits
    logits_BKSV = logits.view(b, levels, -1, size)
    return torch.stack([logits_BKSV[:, k, late : late + frames] for k, late in enumerate(delays)], 1)


def peer_greedy(
    peer: Any, captions: list[str], frames: int, cfg: float, tokenizer: Any = None, **more: Tensor
) -> Tensor:
    """The codes [B, K, T] that it draws greedily.

    Args:
        more: what it is told beside the captions.
    """
    size = peer.decoder.config.vocab_size
    with _codes_of(peer) as found:
        peer.generate(
            **tokens(captions, tokenizer),
            **more,
            do_sample=False,
            guidance_scale=cfg,
            max_length=frames + max(delays_of(peer.decoder)) + 1,
            **dict.fromkeys(("decoder_start_token_id", "pad_token_id", "bos_token_id"), size),
        )
    parts = [codes[0] for codes in found]
    # It asks its codec for the left and the right half of the levels in turn.
    return parts[0] if len(parts) == 1 else torch.stack(parts, 2).flatten(1, 2)


@contextmanager
def _codes_of(peer: Any) -> Iterator[list[Tensor]]:
    """Takes what the peer gives its codec to decode, and decodes nothing."""
    found: list[Tensor] = []
    decode = peer.audio_encoder.decode

    def take(codes: Tensor, audio_scales: Any = None) -> Any:
        found.append(codes)
        return SimpleNamespace(audio_values=torch.zeros(codes.shape[1], 1, 1))

    peer.audio_encoder.decode = take
    try:
        yield found
    finally:
        peer.audio_encoder.decode = decode
