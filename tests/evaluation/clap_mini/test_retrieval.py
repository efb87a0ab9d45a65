"""Ranks, chance with several correct answers, and the gate at its boundaries."""

import itertools
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from musicbench.errors import UserError
from musicbench.evaluation.clap_mini.retrieval import Retrieval, both_directions, require_retrieval


@given(n=st.integers(1, 6), data=st.data())
@settings(max_examples=40, deadline=None)
def test_chance_is_the_share_of_all_orders(n, data):
    correct = data.draw(st.integers(1, n))
    k = data.draw(st.integers(1, n + 1))
    orders = list(itertools.permutations(range(n)))
    hits = sum(any(item < correct for item in order[:k]) for order in orders)
    assert Retrieval((1,), (correct,), n).chance(k) == pytest.approx(hits / len(orders), abs=1e-12)


def test_chance_agrees_with_random_similarities():
    """The whole way: random similarities, duplicated captions, ranks, recall."""
    captions = ["a", "b", "c", "b", "d", "e", "b", "a", "f", "g", "h", "i"]
    random = np.random.default_rng(0)
    found = [both_directions(random.normal(size=(12, 12)), captions) for _ in range(1500)]
    for name in ("text_to_audio", "audio_to_text"):
        for k in (1, 3, 10):
            measured = np.mean([outcome[name].recall(k) for outcome in found])
            assert measured == pytest.approx(found[0][name].chance(k), abs=0.012)
    assert found[0]["text_to_audio"].correct == (2, 3, 1, 3, 1, 1, 3, 2, 1, 1, 1, 1)


def test_ranks_by_hand():
    similarity = np.array([[0.9, 0.1, 0.5], [0.2, 0.3, 0.4], [0.6, 0.7, 0.1]])
    found = both_directions(similarity, ["x", "y", "z"])
    assert found["text_to_audio"].ranks == (1, 2, 3)
    assert found["audio_to_text"].ranks == (1, 2, 3)
    assert Retrieval.of(similarity[2:], np.array([[True, False, True]])).ranks == (2,)


def test_ties_and_nan_count_against():
    correct = np.eye(3, dtype=bool)
    assert Retrieval.of(np.ones((3, 3)), correct).ranks == (3, 3, 3)
    assert min(Retrieval.of(np.full((3, 3), np.nan), correct).ranks) == 3


def test_p_value_is_the_binomial_tail():
    found = Retrieval((1,) * 7 + (30,) * 13, (1,) * 20, 40)
    expected = sum(comb(20, x) * 0.25**x * 0.75 ** (20 - x) for x in range(7, 21))
    assert found.p_value(10) == pytest.approx(expected, rel=1e-9)


def outcome(hits: int, queries: int, candidates: int) -> Retrieval:
    return Retrieval((10,) * hits + (11,) * (queries - hits), (1,) * queries, candidates)


@pytest.mark.parametrize(
    ("hits", "queries", "candidates", "passes"),
    [
        (30, 45, 45, True),  # exactly 3 x 10/45, p far below
        (29, 45, 45, False),
        (15, 50, 100, True),  # 3 x 0.1, p = 9e-5
        (14, 50, 100, False),  # p = 3e-4, but 2.8 x
        (3, 10, 100, False),  # 3 x, but p = 0.07
        (5, 10, 100, False),  # 5 x, p = 0.0016
        (6, 10, 100, True),  # p = 1.5e-4
        (20, 20, 20, False),  # chance is above a third
    ],
)
def test_gate(hits, queries, candidates, passes):
    found = outcome(hits, queries, candidates)
    if passes:
        require_retrieval(found, "judge")
    else:
        with pytest.raises(UserError, match="judge is not trusted to score"):
            require_retrieval(found, "judge")


def test_the_refusal_says_what_would_help():
    with pytest.raises(UserError, match=r"on 45 held-out pieces .*; train it on more music, or"):
        require_retrieval(outcome(29, 45, 45), "judge")
    with pytest.raises(UserError, match=r"on 29 held-out pieces .*; hold out more pieces, or"):
        require_retrieval(outcome(29, 29, 29), "judge")


def test_figures_come_back_from_a_card_by_their_counts():
    found = outcome(30, 45, 45)
    stored = {**found.figures(), "recall@10": 1.0, "p@10": 0.0, "chance@10": 0.0}
    assert Retrieval.from_card(stored) == found
    assert found.figures()["recall@10"] == pytest.approx(30 / 45, abs=1e-4)
    assert found.figures()["chance@1"] == pytest.approx(1 / 45, abs=1e-4)
    assert found.figures()["median_rank"] == 10
