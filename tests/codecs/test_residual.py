import itertools

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.codecs.residual import nearest, residual_decode, residual_encode


def test_nearest_is_that_of_all_distances() -> None:
    generator = torch.Generator().manual_seed(1)
    points_ND, codes_VD = torch.randn(5000, 5, generator=generator), torch.randn(7, 5, generator=generator)
    assert torch.equal(nearest(points_ND, codes_VD), torch.cdist(points_ND, codes_VD).argmin(1))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), batch=st.integers(1, 3), frames=st.integers(1, 5), levels=st.integers(1, 4))
def test_codes_are_those_of_a_loop(seed: int, batch: int, frames: int, levels: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points_BTD = torch.randn(batch, frames, 3, generator=generator, dtype=torch.float64)
    books_KVD = torch.randn(levels, 6, 3, generator=generator, dtype=torch.float64)
    codes_BKT = residual_encode(points_BTD, books_KVD, 1)
    assert codes_BKT.shape == (batch, levels, frames)
    for b, t in itertools.product(range(batch), range(frames)):
        left_D = points_BTD[b, t]
        for k in range(levels):
            best = min(range(6), key=lambda v: float((left_D - books_KVD[k, v]).norm()))
            assert codes_BKT[b, k, t] == best
            left_D = left_D - books_KVD[k, best]
            made_D = residual_decode(codes_BKT[:, : k + 1], books_KVD)[b, t]
            torch.testing.assert_close(made_D, points_BTD[b, t] - left_D)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), frames=st.integers(1, 4))
def test_a_full_beam_finds_the_best_of_all_sums(seed: int, frames: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    points_BTD = torch.randn(2, frames, 3, generator=generator, dtype=torch.float64)
    books_KVD = torch.randn(3, 5, 3, generator=generator, dtype=torch.float64)
    found_BTD = residual_decode(residual_encode(points_BTD, books_KVD, 25), books_KVD)
    sums_SD = torch.stack([books_KVD[range(3), list(codes)].sum(0) for codes in itertools.product(range(5), repeat=3)])
    best_BT = torch.cdist(points_BTD, sums_SD[None]).amin(-1)
    torch.testing.assert_close((points_BTD - found_BTD).norm(dim=-1), best_BT)


def test_a_wider_beam_is_nearer_on_average() -> None:
    generator = torch.Generator().manual_seed(0)
    points_BTD, books_KVD = torch.randn(3, 900, 8, generator=generator), torch.randn(4, 32, 8, generator=generator)
    errors = []
    for beam in (1, 2, 8):
        codes_BKT = residual_encode(points_BTD, books_KVD, beam)
        errors.append(float((residual_decode(codes_BKT, books_KVD) - points_BTD).square().mean()))
    assert errors[0] > 1.02 * errors[1] > 1.02 * 1.02 * errors[2]
