"""CLAP score: how near a clip and its caption lie in a space that a contrastive model has learned for both.

Shape suffixes: N items, D width of embeddings, W windows of a clip.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from musicbench.errors import UserError
from musicbench.evaluation.judges.captions import clip_embeddings
from musicbench.evaluation.likelihood import shuffled_captions
from musicbench.evaluation.metric import Clips, metric, per_clip


def clap_score(text_embeddings_ND: np.ndarray, audio_embeddings_ND: np.ndarray) -> np.ndarray:
    """Return the cosine of each caption's embedding and its clip's, float64 [N].

    Formula: <t, a> / (|t| |a|), not clamped at zero and not multiplied by 100. Range: -1 to 1, higher is better.
    Source: Wu et al., LAION-CLAP (arXiv 2211.06687); as a score of generated music, Copet et al., MusicGen
    (arXiv 2306.05284), the section on evaluation metrics.

    Raises:
        UserError: the shapes differ, or an embedding is zero or not finite, so that it has no direction.

    >>> clap_score(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([[0.0, 2.0], [-3.0, -3.0]])).round(6).tolist()
    [0.0, -1.0]
    """
    text_ND, audio_ND = np.asarray(text_embeddings_ND, np.float64), np.asarray(audio_embeddings_ND, np.float64)
    if text_ND.shape != audio_ND.shape:
        raise UserError(
            f"CLAP score of embeddings of shapes {text_ND.shape} and {audio_ND.shape}; give one clip for each "
            "caption, from the same model"
        )
    return (_directions(text_ND) * _directions(audio_ND)).sum(axis=-1)


def _directions(x_ND: np.ndarray) -> np.ndarray:
    # Divide by the largest entry first, because squares of very small or large entries would leave float64.
    largest_N1 = np.abs(x_ND).max(axis=-1, keepdims=True)
    if not (np.isfinite(largest_N1) & (largest_N1 > 0)).all():
        raise UserError("CLAP score of an embedding that is zero or not finite; check the audio and the model")
    x_ND = x_ND / largest_N1
    return x_ND / np.linalg.norm(x_ND, axis=-1, keepdims=True)


@metric("clap", "captions", "clap")
def clap(clips: Clips) -> dict[str, Any]:
    """Return the CLAP score of the clips with their captions."""
    return per_clip(_scores(clips, told(clips)))


@metric("clap_shuffled", "captions", "clap")
def clap_shuffled(clips: Clips) -> dict[str, Any]:
    """Return the CLAP score of the clips with captions of other pieces."""
    return per_clip(_scores(clips, shuffled_captions(told(clips), clips.pieces)))


def told(clips: Clips) -> Sequence[str]:
    """Return the captions of the clips.

    Raises:
        UserError: a clip has none, so that no judge can compare it with its caption.
    """
    assert clips.captions is not None
    missing = sum(not caption.strip() for caption in clips.captions)
    if missing:
        raise UserError(f"{missing} of {len(clips.captions)} clips have no caption to be compared with")
    return clips.captions


def _scores(clips: Clips, captions: Sequence[str]) -> np.ndarray:
    assert clips.clap is not None
    windows = (torch.from_numpy(judgement.embeddings_WD)[None] for judgement in clips.heard["clap"])
    audio_ND = np.stack([clip_embeddings(windows_1WD)[0].numpy() for windows_1WD in windows])
    return clap_score(clips.clap.text(captions).numpy(), audio_ND)
