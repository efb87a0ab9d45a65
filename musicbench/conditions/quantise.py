"""Residual vector quantisation of single vectors, as MusicGen quantises CLAP's embeddings.

Shape suffixes: N vectors, D their width, Q quantisers, V codes of each.
"""

import warnings

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import Tensor

from musicbench.errors import UserError

ITERATIONS = 50
"""Of k-means, as released."""


def fit_codebooks(points_ND: np.ndarray, quantisers: int, codes: int, seed: int = 0) -> np.ndarray:
    """Codebooks [Q, V, D] float32: of each quantiser the k-means centres of what the ones before it leave over.

    The released MusicGen begins with such centres, of its first batch, and moves them while it trains; these stay.

    Raises:
        UserError: there are fewer vectors than codes.
    """
    if len(points_ND) < codes:
        raise UserError(f"{len(points_ND)} windows are too few for hear.codes={codes}; give a smaller number")
    left_ND, random = points_ND.astype(np.float32), np.random.default_rng(seed)
    books = []
    for _ in range(quantisers):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # A code that no vector is nearest to stays where it was.
            book_VD, nearest_N = kmeans2(left_ND, codes, ITERATIONS, minit="points", rng=random)
        books.append(book_VD.astype(np.float32))
        left_ND = left_ND - books[-1][nearest_N]
    return np.stack(books)


def quantised(vectors_ND: Tensor, books_QVD: Tensor) -> Tensor:
    """Sum [N, D] of the nearest code of each quantiser, one after the other.

    Each vector is computed by itself, so that no digit depends on its neighbours.
    """
    return torch.stack([_sum_of_nearest(vector_D, books_QVD) for vector_D in vectors_ND])


def _sum_of_nearest(vector_D: Tensor, books_QVD: Tensor) -> Tensor:
    total_D = torch.zeros_like(vector_D)
    for book_VD in books_QVD:
        nearest = (book_VD - (vector_D - total_D)).square().sum(1).argmin()
        total_D = total_D + book_VD[nearest]
    return total_D
