"""Compiled arithmetic against float64, torch and NumPy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numba import njit
from torch.nn import functional as F

from musicbench.models.fast.compiled import arithmetic, attention, draw, machine


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_exp_is_right_to_three_roundings():
    @njit
    def powers(x, out):
        for i in range(len(x)):
            out[i] = arithmetic.exp(x[i])

    x = -np.geomspace(1e-6, 87, 20_000).astype(np.float32)
    x[0] = 0
    found = np.empty_like(x)
    powers(x, found)
    np.testing.assert_allclose(found, np.exp(x.astype(np.float64)), rtol=4e-7)


def test_gelu_is_the_exact_one():
    x = np.linspace(-12, 12, 20_001).astype(np.float32)
    wanted = F.gelu(torch.from_numpy(x).double()).numpy()
    arithmetic.activate(x)
    np.testing.assert_allclose(x, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("rows", [2, 4, 6, 64])
@pytest.mark.parametrize(("outputs", "inputs"), [(4, 1), (12, 15), (64, 64), (40, 300)])
def test_product(rows, outputs, inputs):
    x_MI, w_OI = normal(rows, inputs), normal(outputs, inputs, seed=1)
    found = np.full((rows, outputs), np.nan, np.float32)
    arithmetic.product(x_MI, w_OI, found, 0, outputs)
    np.testing.assert_allclose(found, x_MI.astype(np.float64) @ w_OI.T, atol=1e-5 * inputs**0.5)


def test_product_of_some_outputs_leaves_the_others():
    x_MI, w_OI = normal(2, 20), normal(23, 20, seed=1)
    found = np.full((2, 23), np.nan, np.float32)
    arithmetic.product(x_MI, w_OI, found, 8, 15)
    assert np.isnan(found[:, :8]).all() and np.isnan(found[:, 15:]).all()
    np.testing.assert_allclose(found[:, 8:15], x_MI @ w_OI[8:15].T, atol=1e-5)


def test_a_row_of_a_product_does_not_depend_on_the_others():
    x_MI, w_OI = normal(8, 512), normal(64, 512, seed=1)
    whole, pair = np.empty((8, 64), np.float32), np.empty((2, 64), np.float32)
    arithmetic.product(x_MI, w_OI, whole, 0, 64)
    for first in range(0, 8, 2):
        arithmetic.product(x_MI[first : first + 2][::-1].copy(), w_OI, pair, 0, 64)
        assert np.array_equal(pair[::-1], whole[first : first + 2])


def test_layer_norm():
    x_MD, weight_D, bias_D = normal(3, 48) * 7 + 2, normal(48, seed=1), normal(48, seed=2)
    found = np.empty_like(x_MD)
    arithmetic.normed(x_MD, weight_D, bias_D, found)
    wanted = F.layer_norm(torch.from_numpy(x_MD), (48,), torch.from_numpy(weight_D), torch.from_numpy(bias_D))
    np.testing.assert_allclose(found, wanted.numpy(), atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("live", [1, 3, 4, 30])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_passes_over_what_it_must_not_see(live, masked):
    query_C, keys_SC, values_SC = normal(20) * 3, normal(40, 20, seed=1), normal(40, 20, seed=2)
    seen_S = np.random.default_rng(3).random(live) < 0.6 if masked else np.ones(live, bool)
    seen_S[live // 2] = True
    wanted = F.scaled_dot_product_attention(
        *(torch.from_numpy(x)[None] for x in (query_C[None], keys_SC[:live], values_SC[:live])),
        attn_mask=torch.from_numpy(seen_S)[None],
    )
    unseen = np.ones(40, bool)
    unseen[:live] = ~seen_S
    keys_SC[unseen] = values_SC[unseen] = np.nan
    found = np.empty(20, np.float32)
    attention.attend(
        query_C, keys_SC, values_SC, live, seen_S if masked else seen_S[:0], np.empty(40, np.float32), found
    )
    np.testing.assert_allclose(found, wanted[0, 0].numpy(), atol=2e-6, rtol=1e-5)


@given(
    values=arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(-5, 5, width=16)),
    rank=st.floats(0, 1, exclude_max=True),
)
@settings(max_examples=200, deadline=None)
def test_selection_by_rank(values, rank):
    place = int(rank * len(values))
    assert draw._largest(values.copy(), place) == np.sort(values)[::-1][place]


@given(
    weights=arrays.arrays(np.float32, st.integers(1, 60), elements=st.floats(0, 1, width=16)),
    share=st.floats(0.01, 1),
)
@settings(max_examples=200, deadline=None)
def test_selection_by_mass(weights, share):
    needed = share * float(weights.sum(dtype=np.float64))
    least = draw._least_of_mass(weights.copy(), needed)
    assert least in weights
    assert weights[weights >= least].sum(dtype=np.float64) >= needed * (1 - 1e-12)
    assert needed == 0 or weights[weights > least].sum(dtype=np.float64) < needed


def test_machine_code_is_stale_when_any_file_changes(tmp_path, monkeypatch):
    (tmp_path / "machine.py").write_text("a = 1\n", encoding="utf-8")
    (tmp_path / "other.py").write_text("b = 1\n", encoding="utf-8")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "machine.py"))
    place = machine.BesideSource(draw.draw_tokens.py_func, draw.__file__)
    before = place.get_source_stamp()
    assert place.get_source_stamp() == before
    (tmp_path / "other.py").write_text("b = 2\n", encoding="utf-8")
    assert place.get_source_stamp() != before


def test_machine_code_is_kept_in_these_places():
    found = [type(function._cache._impl.locator) for function in (draw.draw_tokens,)]
    assert found[0] in (machine.BesideSource, machine.OfUser)
