"""Lloyd's k-means in torch, for codebooks."""

import torch


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
        nearest_N = assign(points_ND, centroids_CD)
        counts_C = torch.bincount(nearest_N, minlength=clusters)
        sums_CD = torch.zeros_like(centroids_CD).index_add_(0, nearest_N, points_ND)
        centroids_CD = sums_CD / counts_C.clamp_min(1)[:, None]
        empty = (counts_C == 0).nonzero().flatten()
        strays = torch.randint(len(points_ND), (len(empty),), generator=generator)
        centroids_CD[empty] = points_ND[strays]
    return centroids_CD


def assign(points_ND: torch.Tensor, centroids_CD: torch.Tensor, block: int = 8192) -> torch.Tensor:
    """Index of the nearest centroid of each point, [N] int64."""
    # |p - c|^2 up to |p|^2, which is the same for all c
    offsets_C = centroids_CD.square().sum(1)
    return torch.cat([(offsets_C - 2 * part @ centroids_CD.T).argmin(1) for part in points_ND.split(block)])
