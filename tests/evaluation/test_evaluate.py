"""From audio to the metrics of a run record."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.evaluate import audio_metrics, original_judgements
from musicbench.evaluation.fad import bootstrapped_fad
from musicbench.evaluation.judging import judge_clips
from musicbench.evaluation.metrics.kld import class_probabilities, kl_divergence
from musicbench.evaluation.reference import Reference, build_reference


@dataclass(frozen=True)
class StubCrop:
    piece: str
    clip: str
    start_frame: int
    frames: int


RATE = 100
FRAME_RATE = 50.0


def audio(seed: int, seconds: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(RATE * seconds, generator=generator) * torch.rand(1, generator=generator)


CLIPS = {f"clip{number}": audio(number) for number in range(6)}
CROPS = [StubCrop(f"piece{n}", f"clip{n}", 50 * start, 250) for n in range(4) for start in (0, 4)]


@pytest.fixture
def reference(stub_judge, tmp_path) -> Reference:
    splits = ["test"] * 4 + ["train"] * 2
    clips = [(name, split, CLIPS[name], RATE) for name, split in zip(CLIPS, splits, strict=True)]
    build_reference(stub_judge, clips, tmp_path / "judge.npz")
    return Reference.open(tmp_path / "judge.npz")


def test_metrics_have_the_shape_of_a_record(stub_judge, reference):
    generated = [audio(50 + number, 5) for number in range(len(CROPS))]
    judgements = judge_clips(stub_judge, generated, RATE)
    metrics = audio_metrics(judgements, CROPS, FRAME_RATE, stub_judge, reference, replicates=7)
    json.dumps(metrics)
    assert len(metrics["fad"]["replicates"]) == 7 and len(metrics["kld"]["per_clip"]) == 8
    assert metrics["kld"]["value"] == pytest.approx(np.mean(metrics["kld"]["per_clip"]))
    # Clip 5 is the crop of clip2 from second 4 on, by hand.
    original = stub_judge(CLIPS["clip2"][None, 4 * RATE : 9 * RATE], RATE).logits_BWC[0].numpy()
    made = stub_judge(generated[5][None], RATE).logits_BWC[0].numpy()
    expected = kl_divergence(class_probabilities(original)[None], class_probabilities(made)[None])[0]
    assert metrics["kld"]["per_clip"][5] == pytest.approx(expected, rel=1e-9)
    embeddings = [stub_judge(a[None], RATE).embeddings_BWD[0].numpy() for a in generated]
    fad = bootstrapped_fad(reference.mean, reference.cov, embeddings, [c.piece for c in CROPS], 7)
    assert metrics["fad"] == {"value": fad.value, "replicates": fad.replicates}


def test_originals_are_their_own_nearest(stub_judge, reference):
    originals = original_judgements(reference, CROPS, FRAME_RATE)
    own = audio_metrics(originals, CROPS, FRAME_RATE, stub_judge, reference, replicates=2)
    swapped = audio_metrics(originals[::-1], CROPS, FRAME_RATE, stub_judge, reference, replicates=2)
    np.testing.assert_allclose(own["kld"]["per_clip"], 0, atol=1e-5)
    assert swapped["kld"]["value"] > 1e-4
    assert swapped["fad"]["value"] == pytest.approx(own["fad"]["value"], rel=1e-9)


def test_says_what_is_wrong(stub_judge, reference):
    judgements = original_judgements(reference, CROPS, FRAME_RATE)
    with pytest.raises(UserError, match="whole second"):
        original_judgements(reference, [StubCrop("piece0", "clip0", 10, 250)], FRAME_RATE)
    stub_judge.sha256 = "6" * 64
    with pytest.raises(UserError, match="judged by stub"):
        audio_metrics(judgements, CROPS, FRAME_RATE, stub_judge, reference)
