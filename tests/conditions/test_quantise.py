"""Residual quantisation of vectors, against a search over all codes written out, and k-means by its own condition."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.conditions.quantise import fit_codebooks, quantised
from musicbench.errors import UserError


def slow(vector, books):
    """The nearest code of each book to what is left, by lists."""
    left, total = list(vector), [0.0] * len(vector)
    for book in books:
        distances = [sum((a - b) ** 2 for a, b in zip(left, code, strict=True)) for code in book]
        code = book[distances.index(min(distances))]
        left = [a - b for a, b in zip(left, code, strict=True)]
        total = [a + b for a, b in zip(total, code, strict=True)]
    return total


@settings(deadline=None)
@given(seed=st.integers(0, 1000), quantisers=st.integers(1, 4), codes=st.integers(1, 6), dim=st.integers(1, 5))
def test_is_the_slow_search_whatever_stands_beside(seed, quantisers, codes, dim):
    stream = torch.Generator().manual_seed(seed)
    books_QVD = torch.randn(quantisers, codes, dim, generator=stream)
    vectors_ND = torch.randn(5, dim, generator=stream)
    found_ND = quantised(vectors_ND, books_QVD)
    for vector_D, found_D in zip(vectors_ND, found_ND, strict=True):
        torch.testing.assert_close(found_D, torch.tensor(slow(vector_D.tolist(), books_QVD.tolist())))
        assert torch.equal(quantised(vector_D[None], books_QVD)[0], found_D)


@pytest.fixture(scope="module")
def points_ND() -> np.ndarray:
    random = np.random.default_rng(3)
    centres = 10 * random.normal(size=(8, 4))
    return (centres[np.arange(400) % 8] + 0.3 * random.normal(size=(400, 4))).astype(np.float32)


def test_more_quantisers_leave_less(points_ND):
    books_QVD = torch.from_numpy(fit_codebooks(points_ND, 4, 8))
    assert books_QVD.shape == (4, 8, 4) and books_QVD.dtype == torch.float32
    vectors_ND = torch.from_numpy(points_ND)
    left = [(vectors_ND - quantised(vectors_ND, books_QVD[:count])).square().mean().item() for count in range(1, 5)]
    assert all(fewer > more for fewer, more in itertools.pairwise(left)) and left[0] < vectors_ND.var()


def test_codes_are_the_means_of_what_is_nearest_to_them(points_ND):
    """Each quantiser's of what the earlier ones leave over."""
    left_ND = points_ND.astype(np.float64)
    for book_VD in fit_codebooks(points_ND, 2, 8):
        nearest_N = ((left_ND[:, None] - book_VD[None]) ** 2).sum(-1).argmin(1)
        for code in set(nearest_N.tolist()):
            np.testing.assert_allclose(book_VD[code], left_ND[nearest_N == code].mean(0), atol=1e-4)
        left_ND = left_ND - book_VD[nearest_N]


def test_the_same_points_give_the_same_codes(points_ND):
    np.testing.assert_array_equal(fit_codebooks(points_ND, 2, 8), fit_codebooks(points_ND.copy(), 2, 8))


def test_too_few_points_are_told(points_ND):
    with pytest.raises(UserError, match=r"400 windows are too few for hear.codes=401"):
        fit_codebooks(points_ND, 2, 401)
