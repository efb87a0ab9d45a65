"""From what judges heard to the metrics of a run record."""

import json
import math
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.audio_metrics import Metrics, all_metrics, measured
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import JudgeSet, hear
from musicbench.evaluation.metric import NEEDS, Clips, Codes, Metric
from musicbench.evaluation.metrics.fad_infinity import fad_infinity
from musicbench.evaluation.metrics.frechet import frechet_audio_distance, frechet_distance, mean_and_covariance
from musicbench.evaluation.metrics.kad import kernel_audio_distance
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence
from musicbench.evaluation.references.reference import Reference
from musicbench.evaluation.references.sets import ReferenceSet
from musicbench.evaluation.references.stored import build_reference, original_judgements

RATE = 100
FRAME_RATE = 50.0


@dataclass(frozen=True)
class StubCrop:
    piece: str
    clip: str
    start_frame: int
    frames: int


def clip(seed: int, seconds: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(RATE * seconds, generator=generator) * torch.rand(1, generator=generator)


CLIPS = {f"clip{number}": clip(number) for number in range(6)}
CROPS = [StubCrop(f"piece{n}", f"clip{n}", 50 * start, 250) for n in range(4) for start in (0, 4)]
PIECES = [crop.piece for crop in CROPS]


@pytest.fixture
def stored(stub_judge, tmp_path) -> Reference:
    splits = ["test"] * 4 + ["train"] * 2
    clips = [(name, split, CLIPS[name], RATE) for name, split in zip(CLIPS, splits, strict=True)]
    build_reference(stub_judge, clips, tmp_path / "judge.npz")
    return Reference.open(tmp_path / "judge.npz")


@pytest.fixture
def training(stored) -> ReferenceSet:
    return ReferenceSet("training originals", stored.sha256, stored.windows, stored.mean, stored.cov)


@pytest.fixture
def generated(stub_judge):
    clips = [(clip(50 + number, 5)[None], RATE) for number in range(len(CROPS))]
    return hear([stub_judge], clips)[judge_key(stub_judge)]


@pytest.fixture
def clips_of(stub_judge):
    """``clips_of(generated, pieces=.., ..)`` -> clips that one judge has heard; it has no captions and no codes."""

    def make(generated, pieces=PIECES, replicates=2, originals=None, **known) -> Clips:
        judges, key = JudgeSet(stub_judge, stub_judge), judge_key(stub_judge)
        if originals is not None:
            known["originals"] = judges.by_role({key: originals})
        return Clips(judges, judges.by_role({key: generated}), pieces, replicates, **known)

    return make


def test_all_metrics_are_the_formulas(stub_judge, stored, training, generated, clips_of):
    originals = original_judgements(stored, CROPS, FRAME_RATE)
    found = measured(clips_of(generated, replicates=7, reference=training, originals=originals))
    assert list(found.values) == ["fad", "fad_infinity", "kad", "kld", "kld_reverse"]
    json.dumps(found.values)
    assert not found.failures
    x, y = (np.concatenate([c.embeddings_WD for c in side]) for side in (generated, originals))
    fad = frechet_distance(stored.mean, stored.cov, *mean_and_covariance(x))
    assert found.values["fad"]["value"] == pytest.approx(fad, rel=1e-9)
    assert len(found.values["fad"]["replicates"]) == 7
    line = fad_infinity(x, stored.mean, stored.cov, np.arange(len(x)) // 3)
    assert found.values["fad_infinity"] == {"value": line.value, "r_squared": line.r_squared}
    assert found.values["kad"]["value"] == pytest.approx(kernel_audio_distance(x, y), rel=1e-9)
    # Clip 5 is the crop of clip2 from second 4 on, by hand.
    p = class_probabilities(stub_judge(CLIPS["clip2"][None, 4 * RATE : 9 * RATE], RATE).logits_BWC[0].numpy())
    q = class_probabilities(generated[5].logits_WC)
    for name, pair in (("kld", (p, q)), ("kld_reverse", (q, p))):
        metric = found.values[name]
        assert metric["per_clip"][5] == pytest.approx(kl_divergence(*(side[None] for side in pair))[0], rel=1e-6)
        assert metric["value"] == pytest.approx(np.mean(metric["per_clip"]))


def test_a_judge_of_tags_has_coins_for_classes(stub_judge, stored, generated, clips_of):
    originals = original_judgements(stored, CROPS, FRAME_RATE)
    values = []
    for stub_judge.class_kind in ("softmax", "sigmoid"):
        found = measured(clips_of(generated, originals=originals))
        values.append(found.values["kld"]["per_clip"][0])
    p, q = (class_probabilities(side[0].logits_WC, "sigmoid") for side in (originals, generated))
    assert values[1] == pytest.approx(kl_divergence(p[None], q[None], kind="sigmoid")[0], rel=1e-9)
    assert abs(values[0] - values[1]) > 1e-6


def test_originals_are_their_own_nearest(stored, training, clips_of):
    originals = original_judgements(stored, CROPS, FRAME_RATE)
    sides = originals, originals[::-1]
    own, swapped = (measured(clips_of(side, reference=training, originals=originals)) for side in sides)
    np.testing.assert_allclose(own.values["kld"]["per_clip"], 0, atol=1e-5)
    assert swapped.values["kld"]["value"] > 1e-4
    assert swapped.values["fad"]["value"] == pytest.approx(own.values["fad"]["value"], rel=1e-9)


def test_a_metric_that_these_clips_do_not_allow_is_null_with_its_reason(training, generated, clips_of):
    found = measured(clips_of(generated[:2], PIECES[:2], reference=training))
    assert found.values["fad"]["value"] > 0 and found.values["fad_infinity"] == {"value": None}
    (reason,) = found.failures
    assert "fad_infinity: FAD-infinity needs at least three sizes" in reason


def test_small_sets_are_warned_of_in_the_record(generated, clips_of):
    def of(windows: int | None) -> Metrics:
        reference = ReferenceSet("few", "0" * 64, windows, np.zeros(6), np.eye(6))
        return measured(clips_of(generated, reference=reference))

    for _ in range(2):  # each record has it
        with pytest.warns(UserWarning, match="fad: FAD's reference from 5 windows of 6 dimensions") as shown:
            found = of(5)
        assert found.warnings == [str(one.message) for one in shown] and len(shown) == 1
    assert of(6).warnings == of(None).warnings == []
    few = ReferenceSet("few", "0" * 64, 5, np.zeros(6), np.eye(6))
    with pytest.warns(UserWarning, match="codec_distance: the codec distance's reference from 5 frames"):
        found = measured(clips_of(generated, codes=Codes([np.eye(6)] * 8, few)))
    assert len(found.warnings) == 1 and not found.failures


def test_warnings_of_a_measure_that_fails_are_kept(generated, clips_of):
    def value(clips: Clips) -> dict[str, float]:
        for _ in range(3):
            warnings.warn("odd", stacklevel=1)
        raise UserError("too few")

    found = Metrics()
    with pytest.warns(UserWarning, match="any: odd") as shown:
        found.attempt(Metric("any", (), value), clips_of(generated))
    assert (found.warnings, found.failures, len(shown)) == (["any: odd"], ["any: too few"], 1)


def test_the_codec_distance_counts_frames(generated, clips_of):
    random = np.random.default_rng(0)
    frames, own = random.normal(size=(400, 4)), [random.normal(1, size=(50, 4)) for _ in PIECES]
    found = measured(clips_of(generated, codes=Codes(own, ReferenceSet.from_embeddings("codes", "0" * 64, [frames]))))
    assert list(found.values) == ["codec_distance"]
    expected = frechet_audio_distance(frames, np.concatenate(own))
    assert found.values["codec_distance"]["value"] == pytest.approx(expected, rel=1e-9)


def test_a_crop_off_the_second_has_no_stored_original(stored):
    with pytest.raises(UserError, match="whole second"):
        original_judgements(stored, [StubCrop("piece0", "clip0", 10, 250)], FRAME_RATE)


def test_a_crop_starts_on_the_frame_nearest_to_its_second(stored):
    rate = 44100 / 512
    for second in (0, 1):
        start, frames = round(second * rate), math.ceil(5 * rate)
        assert abs(start / rate - second) > 1e-6 or second == 0
        (found,) = original_judgements(stored, [StubCrop("piece0", "clip0", start, frames)], rate)
        (expected,) = original_judgements(stored, [StubCrop("piece0", "clip0", second * 50, 250)], 50.0)
        np.testing.assert_array_equal(found.embeddings_WD, expected.embeddings_WD)
    for off in (-1, 1):
        with pytest.raises(UserError, match="whole second"):
            original_judgements(stored, [StubCrop("piece0", "clip0", round(rate) + off, frames)], rate)


def test_metrics_come_in_the_order_of_what_they_need():
    assert [metric.name for metric in all_metrics()] == [
        "fad", "fad_infinity", "codec_distance", "kad", "kld", "kld_reverse",
        "clap", "clap_shuffled", "clap_mini", "clap_mini_shuffled", "melody_similarity",
    ]  # fmt: skip


def test_clips_without_anything_have_no_metric(generated, clips_of):
    assert measured(clips_of(generated)) == Metrics()


def test_a_need_that_no_clips_have_is_refused():
    with pytest.raises(ValueError, match=f"'any' needs 'orignals'; clips may have {', '.join(NEEDS)}"):
        Metric("any", ("reference", "orignals"), dict)


def test_clips_without_captions_are_not_compared_with_them(generated, clips_of):
    """An empty caption would be read as a text like any other, or have no direction at all."""
    asked: list[list[str]] = []

    def clap_mini(captions):
        asked.append(list(captions))
        return np.zeros(len(captions))

    captions = [f"tune {number}" for number in range(len(CROPS))]
    full = measured(clips_of(generated, captions=captions, clap_mini=clap_mini))
    assert {"clap_mini", "clap_mini_shuffled"} <= set(full.values) and not full.failures
    asked.clear()
    bare = measured(clips_of(generated, captions=[*captions[:-2], "", " "], clap_mini=clap_mini))
    assert bare.values["clap_mini"] == bare.values["clap_mini_shuffled"] == {"value": None}
    assert f"clap_mini: 2 of {len(CROPS)} clips have no caption to be compared with" in bare.failures and not asked
