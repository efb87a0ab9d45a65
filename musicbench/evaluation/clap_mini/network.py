"""The trained part of clap_mini: two small projections into one space, and a temperature.

Shape suffixes: B batch, N items, D width of embeddings, E width of caption states, F width of pooled features, L
tokens of a caption, W windows of a clip.
"""

import math

import torch
from torch import Tensor, nn

MAX_SCALE = 100.0
"""The largest factor of the cosines before the softmax, as in CLIP."""


def pool_windows(embeddings_WD: Tensor) -> Tensor:
    """Features [D] of a clip: the mean of the judge's embeddings of its fixed windows."""
    return embeddings_WD.mean(dim=0)


def pool_states(states_BLE: Tensor, mask_BL: Tensor) -> Tensor:
    """Features [B, E] of captions: the mean of the states of their tokens."""
    weight_BL1 = mask_BL[:, :, None].to(states_BLE.dtype)
    return (states_BLE * weight_BL1).sum(dim=1) / weight_BL1.sum(dim=1)


class Projection(nn.Module):
    """Standardised features -> one hidden layer with dropout -> unit vectors.

    Args:
        features, hidden, dim: widths. dropout: of the input and of the hidden layer.
    """

    def __init__(self, features: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(features))
        self.register_buffer("scale_F", torch.ones(features))
        self.mean_F: Tensor
        self.scale_F: Tensor
        self.layers = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim)
        )

    def standardise(self, features_NF: Tensor) -> None:
        """Take mean and spread from the training features."""
        self.mean_F.copy_(features_NF.mean(dim=0))
        self.scale_F.copy_(features_NF.std(dim=0).clamp(min=1e-4))

    def forward(self, features_NF: Tensor) -> Tensor:
        """[N, F] -> unit vectors [N, dim]."""
        standard_NF = (features_NF - self.mean_F) / self.scale_F
        return nn.functional.normalize(self.layers(standard_NF), dim=1)


class ClapNetwork(nn.Module):
    """Audio and text projections; the cosine of their outputs is the score.

    Args:
        audio_features, text_features: widths of ``pool_windows`` and ``pool_states``.
        hidden, dim, dropout: as in ``Projection``.
    """

    def __init__(self, audio_features: int, text_features: int, hidden: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.sizes = {
            "audio_features": audio_features,
            "text_features": text_features,
            "hidden": hidden,
            "dim": dim,
            "dropout": dropout,
        }
        self.audio = Projection(audio_features, hidden, dim, dropout)
        self.text = Projection(text_features, hidden, dim, dropout)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def scale(self) -> Tensor:
        """One over the temperature, bounded."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)
