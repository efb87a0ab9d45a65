"""Residual vector quantisation with given codebooks.

Shape suffixes: B batch, K levels, T frames, N points, V codebook size, D latent width, M beams, X values of each
beam.
"""

import torch

BLOCK = 2048  # points at once, which bounds memory


def nearest(points_ND: torch.Tensor, codes_VD: torch.Tensor) -> torch.Tensor:
    """Index of the code nearest to each point, int64 [N]."""
    return torch.cat([_distances(part, codes_VD).argmin(-1) for part in points_ND.split(BLOCK)])


def residual_encode(points_BTD: torch.Tensor, books_KVD: torch.Tensor, beam: int) -> torch.Tensor:
    """Codes [B, K, T] whose sum is near each point, by beam search over the levels.

    Args:
        beam: partial sums kept at each level; 1 takes the nearest code level by level.
    """
    points_ND = points_BTD.flatten(0, 1)
    codes_NK = torch.cat([_searched(part, books_KVD, beam) for part in points_ND.split(BLOCK // beam)])
    return codes_NK.view(*points_BTD.shape[:2], -1).transpose(1, 2)


def residual_decode(codes_BKT: torch.Tensor, books_KVD: torch.Tensor) -> torch.Tensor:
    """Sum [B, T, D] of the codes of the first k levels, codes [B, k, T]."""
    books = zip(books_KVD, codes_BKT.unbind(1), strict=False)
    return torch.stack([book_VD[codes_BT] for book_VD, codes_BT in books]).sum(0)


def _distances(points_ND: torch.Tensor, codes_VD: torch.Tensor) -> torch.Tensor:
    """Squared distances up to each point's own norm, which is the same for all codes: [..., V]."""
    return codes_VD.square().sum(1) - 2 * points_ND @ codes_VD.T


def _searched(points_ND: torch.Tensor, books_KVD: torch.Tensor, beam: int) -> torch.Tensor:
    residual_NMD = points_ND[:, None]
    codes_NMK = torch.empty(len(points_ND), 1, 0, dtype=torch.long, device=points_ND.device)
    for book_VD in books_KVD:
        # the partial sums of a point differ, so their norms count
        error_NMV = residual_NMD.square().sum(-1, keepdim=True) + _distances(residual_NMD, book_VD)
        kept = min(beam, error_NMV[0].numel())
        best_NM = error_NMV.flatten(1).topk(kept, largest=False).indices
        parent_NM, code_NM = best_NM // len(book_VD), best_NM % len(book_VD)
        codes_NMK = torch.cat([_of_parents(codes_NMK, parent_NM), code_NM[..., None]], -1)
        residual_NMD = _of_parents(residual_NMD, parent_NM) - book_VD[code_NM]
    return codes_NMK[:, 0]


def _of_parents(values_NMX: torch.Tensor, parent_NM: torch.Tensor) -> torch.Tensor:
    return values_NMX.gather(1, parent_NM[..., None].expand(-1, -1, values_NMX.shape[-1]))
