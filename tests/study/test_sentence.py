"""The sentence on how far the order of rows can be trusted: its numbers counted again, and its advice."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from musicbench.errors import UserError
from musicbench.study import sentence
from musicbench.study.hypotheses import holm
from musicbench.study.run_record import RunRecord
from musicbench.study.sentence import trust_sentence
from musicbench.study.statistics import contrast_interval, contrast_replicate_interval

Make = Callable[..., RunRecord]
BITS = {"a": 20.0, "b": 20.15, "c": 20.2, "d": 23.0}
FAD = {"a": 4.0, "b": 4.05, "c": 5.0, "d": 4.2}


@pytest.fixture
def trained(make_record: Make) -> list[RunRecord]:
    return [make_record(row, bits=BITS[row], fad=FAD[row], kld=0.8) for row in BITS]


def test_it_counts_the_pairs_that_each_ranking_metric_tells_apart(trained: list[RunRecord]) -> None:
    text = trust_sentence(trained)
    assert "24 clips of 5 s from 12 held-out pieces and 1 seed of 25 min of training a row" in text
    pieces = [clip["piece"] for clip in trained[0]["clips"]]
    counts = {}
    for name, key in [("bits per frame", "bits_per_frame"), ("KLD", "kld")]:
        values = [np.array(record["metrics"][key]["per_clip"]) for record in trained]
        p = [contrast_interval(pair, [1, -1], pieces).p_value for pair in itertools.combinations(values, 2)]
        counts[name] = sum(one < 0.05 for one in holm(p))
    metrics = [record["metrics"]["fad"] for record in trained]
    p = [
        contrast_replicate_interval(
            [one["value"], other["value"]],  # type: ignore[list-item]
            [one["replicates"], other["replicates"]],  # type: ignore[list-item]
            [1, -1],
            12,
        ).p_value
        for one, other in itertools.combinations(metrics, 2)
    ]
    counts["FAD"] = sum(one < 0.05 for one in holm(p))
    for name, count in counts.items():
        assert f"{count} of 6 by {name}" in text
    assert 0 < counts["bits per frame"] < 6 and 0 < counts["FAD"] < 6, "else the count shows nothing"


def test_other_metrics_and_rows_have_no_say(trained: list[RunRecord], make_record: Make) -> None:
    before = trust_sentence(trained)
    for number, record in enumerate(trained):
        values = number + np.random.default_rng(number).normal(0, 1e9, len(record["clips"]))
        record["metrics"]["codec_distance"] = {"value": values.mean(), "per_clip": values}  # type: ignore[typeddict-item]
    assert trust_sentence([*trained, make_record("codec", kind="reference", fad=90.0)]) == before


def test_the_text_score_ranks_rows(trained: list[RunRecord]) -> None:
    for number, record in enumerate(trained):
        values = np.random.default_rng(0).normal(0, 1, len(record["clips"])) + 0.1 * (number == 3)
        record["metrics"]["clap_mini"] = {"value": values.mean(), "per_clip": values}  # type: ignore[typeddict-item]
    assert "3 of 6 by clap_mini" in trust_sentence(trained)


def test_its_advice_fits_what_was_trained(trained: list[RunRecord], make_record: Make) -> None:
    text = trust_sentence(trained)
    assert "as a hint, and repeat it with at least 3 seeds and 40 pieces" in text
    assert text.count(". ") == 0 and text.endswith(".")
    large = [make_record(row, seed=seed, pieces=40) for row in ("delay", "flat") for seed in range(3)]
    assert "3 seeds of" in trust_sentence(large)
    assert trust_sentence(large).endswith("believe the order of these pairs alone, for models and data of this size.")


def test_rows_beside_each_other_stand_for_too_many_pairs(trained: list[RunRecord], monkeypatch: Any) -> None:
    monkeypatch.setattr(sentence, "MOST_PAIRS", 5)
    assert "of 3 neighbours by FAD" in trust_sentence(trained)


def test_a_single_row_has_no_order(make_record: Make) -> None:
    assert "no order of rows can be believed" in trust_sentence([make_record("delay")])
    unknown = [make_record(row, pieces=1) for row in ("delay", "flat")]
    assert "0 of 1 by bits per frame" in trust_sentence(unknown)
    with pytest.raises(UserError, match="no trained run"):
        trust_sentence([make_record("codec", kind="reference")])
