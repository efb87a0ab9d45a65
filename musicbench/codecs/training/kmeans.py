"""Lloyd's k-means in torch, for codebooks.

Shape suffixes: N points, C clusters, D latent width.
"""

import torch

from musicbench.codecs.residual import nearest


def kmeans(points_ND: torch.Tensor, clusters: int, iterations: int, generator: torch.Generator) -> torch.Tensor:
    """Centroids [clusters, D] of points [N, D], N >= clusters; empty clusters restart at a random point.

    Raises:
        ValueError: there are fewer points than clusters.
    """
    if len(points_ND) < clusters:
        raise ValueError(f"k-means needs at least {clusters} points, not {len(points_ND)}")
    order = torch.randperm(len(points_ND), generator=generator)
    centroids_CD = points_ND[order[:clusters]].clone()
    for _ in range(iterations):
        nearest_N = nearest(points_ND, centroids_CD)
        counts_C = torch.bincount(nearest_N, minlength=clusters)
        sums_CD = torch.zeros_like(centroids_CD).index_add_(0, nearest_N, points_ND)
        centroids_CD = sums_CD / counts_C.clamp_min(1)[:, None]
        empty = (counts_C == 0).nonzero().flatten()
        strays = torch.randint(len(points_ND), (len(empty),), generator=generator)
        centroids_CD[empty] = points_ND[strays]
    return centroids_CD
