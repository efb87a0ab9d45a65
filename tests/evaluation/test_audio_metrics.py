"""From what judges heard to the metrics of a run record."""

import json
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation import audio_metrics as audio
from musicbench.evaluation.judge_facts import judge_key
from musicbench.evaluation.judge_set import hear
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
    clips = [(clip(50 + number, 5), RATE) for number in range(len(CROPS))]
    return hear([stub_judge], clips)[judge_key(stub_judge)]


def test_all_metrics_are_the_formulas(stub_judge, stored, training, generated):
    originals = original_judgements(stored, CROPS, FRAME_RATE)
    found = audio.Metrics()
    audio.distances(found, training, generated, PIECES, replicates=7)
    audio.kernel_distance(found, originals, generated, PIECES, replicates=7)
    audio.divergences(found, stub_judge, originals, generated)
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


def test_a_judge_of_tags_has_coins_for_classes(stub_judge, stored, generated):
    originals = original_judgements(stored, CROPS, FRAME_RATE)
    values = []
    for stub_judge.class_kind in ("softmax", "sigmoid"):
        found = audio.Metrics()
        audio.divergences(found, stub_judge, originals, generated)
        values.append(found.values["kld"]["per_clip"][0])
    p, q = (class_probabilities(side[0].logits_WC, "sigmoid") for side in (originals, generated))
    assert values[1] == pytest.approx(kl_divergence(p[None], q[None], kind="sigmoid")[0], rel=1e-9)
    assert abs(values[0] - values[1]) > 1e-6


def test_originals_are_their_own_nearest(stub_judge, stored, training):
    originals = original_judgements(stored, CROPS, FRAME_RATE)
    own, swapped = audio.Metrics(), audio.Metrics()
    for found, side in ((own, originals), (swapped, originals[::-1])):
        audio.distances(found, training, side, PIECES, replicates=2)
        audio.divergences(found, stub_judge, originals, side)
    np.testing.assert_allclose(own.values["kld"]["per_clip"], 0, atol=1e-5)
    assert swapped.values["kld"]["value"] > 1e-4
    assert swapped.values["fad"]["value"] == pytest.approx(own.values["fad"]["value"], rel=1e-9)


def test_a_metric_that_these_clips_do_not_allow_is_null_with_its_reason(training, generated):
    found = audio.Metrics()
    audio.distances(found, training, generated[:2], PIECES[:2], replicates=2)
    assert found.values["fad"]["value"] > 0 and found.values["fad_infinity"] == {"value": None}
    (reason,) = found.failures
    assert "fad_infinity: FAD-infinity needs at least three sizes" in reason


def test_small_sets_are_warned_of_in_the_record(generated):
    def measured(windows: int | None) -> audio.Metrics:
        found = audio.Metrics()
        reference = ReferenceSet("few", "0" * 64, windows, np.zeros(6), np.eye(6))
        audio.distances(found, reference, generated, PIECES, replicates=2)
        return found

    for _ in range(2):  # each record has it
        with pytest.warns(UserWarning, match="fad: FAD's reference from 5 windows of 6 dimensions") as shown:
            found = measured(5)
        assert found.warnings == [str(one.message) for one in shown] and len(shown) == 1
    assert measured(6).warnings == measured(None).warnings == []
    with pytest.warns(UserWarning, match="codec_distance: the codec distance's reference from 5 frames"):
        audio.codec_distance(
            found, ReferenceSet("few", "0" * 64, 5, np.zeros(6), np.eye(6)), [np.eye(6)] * 8, PIECES, 2
        )
    assert len(found.warnings) == 2 and not found.failures[1:]


def test_warnings_of_a_measure_that_fails_are_kept():
    def measure() -> dict[str, float]:
        for _ in range(3):
            warnings.warn("odd", stacklevel=1)
        raise UserError("too few")

    found = audio.Metrics()
    with pytest.warns(UserWarning, match="any: odd") as shown:
        found.attempt("any", measure)
    assert (found.warnings, found.failures, len(shown)) == (["any: odd"], ["any: too few"], 1)


def test_the_codec_distance_counts_frames(generated):
    random = np.random.default_rng(0)
    frames, own = random.normal(size=(400, 4)), [random.normal(1, size=(50, 4)) for _ in PIECES]
    found = audio.Metrics()
    audio.codec_distance(found, ReferenceSet.from_embeddings("codes", "0" * 64, [frames]), own, PIECES, 3)
    expected = frechet_audio_distance(frames, np.concatenate(own))
    assert found.values["codec_distance"]["value"] == pytest.approx(expected, rel=1e-9)


def test_a_crop_off_the_second_has_no_stored_original(stored):
    with pytest.raises(UserError, match="whole second"):
        original_judgements(stored, [StubCrop("piece0", "clip0", 10, 250)], FRAME_RATE)
