"""CLAP score against torch's cosine and a slow loop."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.metrics.clap_score import clap_score


@given(seed=st.integers(0, 10**6), dimension=st.integers(1, 20), exponents=st.tuples(*[st.integers(-300, 300)] * 2))
@settings(max_examples=60, deadline=None)
def test_equals_the_formula_whatever_the_lengths(seed, dimension, exponents):
    rng = np.random.default_rng(seed)
    text, audio = rng.normal(size=(2, 4, dimension))
    scores = clap_score(text * 10.0 ** exponents[0], audio * 10.0 ** exponents[1])
    for t, a, score in zip(text, audio, scores, strict=True):
        lengths = math.sqrt(sum(v * v for v in t)) * math.sqrt(sum(v * v for v in a))
        assert score == pytest.approx(sum(p * q for p, q in zip(t, a, strict=True)) / lengths, rel=1e-9, abs=1e-12)
    cosine = torch.nn.functional.cosine_similarity(torch.from_numpy(text), torch.from_numpy(audio), dim=1)
    np.testing.assert_allclose(scores, cosine.numpy(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(clap_score(audio, text), cosine.numpy(), rtol=1e-9, atol=1e-12)


def test_is_neither_clamped_nor_scaled():
    x = np.array([[3.0, 4.0]])
    assert (clap_score(x, -x)[0], clap_score(x, 7 * x)[0]) == (pytest.approx(-1), pytest.approx(1))


@pytest.mark.parametrize("bad", [0.0, np.nan, np.inf])
def test_says_what_is_wrong(bad):
    good = np.ones((2, 3))
    spoilt = np.array([[1.0, 1.0, 1.0], [bad, bad, bad]])
    for pair in ((good, spoilt), (spoilt, good)):
        with pytest.raises(UserError, match="zero or not finite"):
            clap_score(*pair)
    with pytest.raises(UserError, match="shapes"):
        clap_score(good, good[:1])
