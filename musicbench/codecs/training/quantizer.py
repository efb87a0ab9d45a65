"""Residual vector quantiser in training: encodec's codebooks with moving averages, made to revive dead codes.

Shape suffixes: B batch, T frames, N points, V codebook size, D latent width, L levels.
"""

import torch
from encodec.quantization.core_vq import EuclideanCodebook

from musicbench.codecs.mdct_network import MdctShape
from musicbench.codecs.residual import nearest
from musicbench.codecs.training.kmeans import kmeans


class RevivingCodebook(EuclideanCodebook):
    """Moves a dead code to a random vector of the batch for good.

    The package resets ``embed`` only, and recomputes it from the untouched averages in the same step, so its
    replaced codes come back dead. Here the averages are reset too, to the mean use of a code.
    """

    embed: torch.Tensor
    embed_avg: torch.Tensor
    cluster_size: torch.Tensor

    def __init__(
        self, dim: int, codebook_size: int, decay: float, dead_share: float, generator: torch.Generator
    ) -> None:
        super().__init__(dim, codebook_size, decay=decay, threshold_ema_dead_code=0)
        self.dead_share, self.generator = dead_share, generator

    def expire_codes_(self, batch_samples: torch.Tensor) -> None:
        samples_ND = batch_samples.reshape(-1, batch_samples.shape[-1])
        mean_use = self.cluster_size.mean()
        dead = (self.cluster_size < self.dead_share * mean_use).nonzero().flatten()
        if len(dead) == 0:
            return
        drawn = torch.randint(len(samples_ND), (len(dead),), generator=self.generator)
        chosen = samples_ND[drawn.to(samples_ND.device)]
        self.embed[dead] = chosen
        self.embed_avg[dead] = chosen * mean_use
        self.cluster_size[dead] = mean_use


def build_quantizer(
    shape: MdctShape, decay: float, dead_share: float, generator: torch.Generator
) -> list[RevivingCodebook]:
    """K codebooks of V codes of dimension D.

    Args:
        decay: of the moving averages that make the codes.
        dead_share: a code used less than this share of the mean is replaced by a latent of the batch.
        generator: on the CPU, chooses that latent.
    """
    sizes = shape.dimension, shape.codebook_size
    return [RevivingCodebook(*sizes, decay, dead_share, generator) for _ in range(shape.levels)]


@torch.no_grad()
def fit_codebooks(
    quantizer: list[RevivingCodebook], latent_ND: torch.Tensor, batch_size: int, generator: torch.Generator
) -> None:
    """k-means of latents [N, D], then of the residuals of each level.

    Args:
        batch_size: latents per training step, to which the averages of use are scaled.
    """
    residual_ND = latent_ND
    for codebook in quantizer:
        centroids_VD = kmeans(residual_ND, codebook.codebook_size, 10, generator)
        nearest_N = nearest(residual_ND, centroids_VD)
        counts_V = torch.bincount(nearest_N, minlength=codebook.codebook_size).float()
        use_V = counts_V * (batch_size / len(residual_ND))
        codebook.embed.copy_(centroids_VD)
        codebook.cluster_size.copy_(use_V)
        codebook.embed_avg.copy_(centroids_VD * use_V[:, None])
        residual_ND = residual_ND - centroids_VD[nearest_N]


@torch.no_grad()
def quantize(quantizer: list[RevivingCodebook], latent_BTD: torch.Tensor, levels: int) -> torch.Tensor:
    """Sum of the codes after each of the first levels, [levels, B, T, D]; updates the codebooks when training."""
    total_BTD, totals = torch.zeros_like(latent_BTD), []
    for codebook in quantizer[:levels]:
        codes_BTD, _ = codebook(latent_BTD - total_BTD)
        total_BTD = total_BTD + codes_BTD
        totals.append(total_BTD)
    return torch.stack(totals)


def straight_through(latent_BTD: torch.Tensor, totals_LBTD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The last of the totals with the gradient of the latent, and the commitment loss.

    The commitment pulls the latent towards the sum of codes after each level; the gradient of what follows
    reaches the latent once, whatever the number of levels.
    """
    commitment = (latent_BTD - totals_LBTD).square().mean()
    return latent_BTD + (totals_LBTD[-1] - latent_BTD).detach(), commitment
