"""Residual vector quantisation with given codebooks, and the nearest code of each point."""

import torch


def nearest(points_ND: torch.Tensor, codes_VD: torch.Tensor, block: int = 8192) -> torch.Tensor:
    """Index of the code nearest to each point, int64 [N]."""
    # |p - c|^2 up to |p|^2, which is the same for all c
    offsets_V = codes_VD.square().sum(1)
    return torch.cat([(offsets_V - 2 * part @ codes_VD.T).argmin(1) for part in points_ND.split(block)])


def residual_encode(points_BTD: torch.Tensor, books_KVD: torch.Tensor) -> torch.Tensor:
    """Codes [B, K, T]: each level takes the code nearest to what the levels before it left of the point."""
    residual_BTD, codes = points_BTD, []
    for book_VD in books_KVD:
        codes_BT = nearest(residual_BTD.flatten(0, 1), book_VD).view(residual_BTD.shape[:2])
        residual_BTD = residual_BTD - book_VD[codes_BT]
        codes.append(codes_BT)
    return torch.stack(codes, 1)


def residual_decode(codes_BKT: torch.Tensor, books_KVD: torch.Tensor) -> torch.Tensor:
    """Sum [B, T, D] of the codes of the first k levels, codes [B, k, T]."""
    books = zip(books_KVD, codes_BKT.unbind(1), strict=False)
    return torch.stack([book_VD[codes_BT] for book_VD, codes_BT in books]).sum(0)
