"""clap_mini in a run: scores in the record, and refusals before anything is trained."""

from pathlib import Path

import numpy as np
import pytest
import torch

from musicbench.assessment import assess
from musicbench.assessment.clips import held_out, judged_by, require_ready
from musicbench.assessment.record import Facts, record
from musicbench.data.crops import evaluation_crops
from musicbench.errors import UserError
from musicbench.evaluation.judge_set import JudgeSet
from musicbench.evaluation.likelihood import shuffled_captions
from musicbench.evaluation.references.reference import Reference
from musicbench.evaluation.references.stored import build_reference
from musicbench.runs.contents import REFERENCE_FILE
from musicbench.study.records import read_record


class StubJudge:
    """Windows of 3 s every second; the outputs are loudnesses within the window."""

    id, sha256, sample_rate, window_seconds, hop_seconds, labels = "stub", "7" * 64, 100, 3.0, 1.0, ("a", "b", "c")
    class_kind = "softmax"

    def __call__(self, audio_BN, sample_rate):
        from musicbench.evaluation.judges import JudgeOutput

        windows_BWN = audio_BN.unfold(1, 3 * sample_rate, sample_rate)
        loud = torch.stack([part.square().mean(-1) for part in windows_BWN.chunk(3, dim=-1)], dim=-1)
        return JudgeOutput(loud, 10 * loud)


class StubCodec:
    id, sha256, sample_rate, channels, frame_rate = "stub", "0" * 64, 100, 1, 10.0
    codebooks_KVC = torch.linspace(-1, 1, 2 * 12 * 3).view(2, 12, 3)


@pytest.fixture
def make_judged(make_run, make_clap):
    """``make_judged(*overrides)`` -> Run with stubs, on a store with a judge reference."""

    def make(*overrides: str):
        run = make_run("evaluation.seconds=4", *overrides)
        judge = StubJudge()
        run.contents.__dict__.update(codec=StubCodec(), encoder="5" * 64, judges={"fad": judge, "kld": judge})
        run.parts.__dict__.update(codec=StubCodec())
        run.jury.__dict__.update(judges=JudgeSet(judge, judge), musicnn=judge)
        path = run.parts.store.folder / REFERENCE_FILE
        if not path.is_file():
            noise = torch.Generator().manual_seed(0)
            clips = [(c.id, c.split, torch.rand(800, generator=noise), 100) for c in run.parts.store.clips]
            build_reference(judge, clips, path)
        return run

    return make


def test_scores_of_originals_are_those_of_the_reference(make_judged, make_clap, tmp_path):
    run = make_judged(f"evaluation.clap_mini={make_clap()}")
    held = held_out(run.jury)
    path = record(run, held, assess.assess_originals(run, held, tmp_path), Facts("reference"), tmp_path)
    found = read_record(path)
    crops = evaluation_crops(run.parts.store, "test", 4.0, 2)
    reference = Reference.open(run.parts.store.folder / REFERENCE_FILE)
    captions = [crop.caption for crop in crops]
    for name, texts in (
        ("clap_mini", captions),
        ("clap_mini_shuffled", shuffled_captions(captions, [crop.piece for crop in crops])),
    ):
        for crop, text, score in zip(crops, texts, found["metrics"][name]["per_clip"], strict=True):
            second = round(crop.start_frame / run.parts.store.frame_rate)
            windows = [reference.original(crop.clip, second, 4.0)[0]]
            heard, said = run.jury.clap.audio(windows), run.jury.clap.text(*run.parts.captions.batch([text]))
            assert score == pytest.approx(float((heard * said).sum()), abs=1e-5)
    assert np.ptp(found["metrics"]["clap_mini"]["per_clip"]) > 1e-4
    stated = found["protocol"]["clap_mini"]
    assert (stated["sha256"], stated["pieces"]) == (run.jury.clap.sha256, 45)
    assert stated["recall"]["audio_to_text"] == {"1": 1.0, "10": 1.0}


def test_what_a_caption_says_does_not_depend_on_the_others(make_judged, make_clap, monkeypatch):
    """With an encoder whose states depend on the batch, as those of all real ones do in their last digits."""
    run = make_judged(f"evaluation.clap_mini={make_clap()}")
    encode = type(run.parts.encoder).encode
    monkeypatch.setattr(
        type(run.parts.encoder), "encode", lambda self, texts: [s + len(texts) for s in encode(self, texts)]
    )
    texts = [crop.caption for crop in evaluation_crops(run.parts.store, "test", 4.0, 2)]
    together = run.jury.clap.text(*run.jury.clap_states(texts))
    for said, text in zip(together, texts, strict=True):
        assert torch.equal(run.jury.clap.text(*run.jury.clap_states([text]))[0], said)


def test_without_clap_mini(make_judged, tmp_path):
    run = make_judged()
    held = held_out(run.jury)
    found = assess.assess_originals(run, held, tmp_path)
    assert set(found.metrics) == {"fad", "fad_infinity", "kld", "kld_reverse"}
    assert "clap_mini" not in judged_by(run.jury, held)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"found": 29}, "not trusted to score"), ({"judge": "8" * 64}, "was trained on judge 888888888888")],
)
def test_refused_before_anything_is_trained(make_judged, make_clap, options, message):
    run = make_judged(f"evaluation.clap_mini={make_clap(**options)}")
    with pytest.raises(UserError, match=message):
        require_ready(run.jury)


def test_its_weights_are_part_of_a_runs_identity(make_judged, make_clap):
    without = make_judged().id
    one, other = (make_judged(f"evaluation.clap_mini={make_clap(found=found)}") for found in (45, 44))
    assert one.jury.clap.sha256 == other.jury.clap.sha256 and one.id == other.id != without
    with (Path(one.config.evaluation.clap_mini) / "model.safetensors").open("ab") as weights:
        weights.write(b" ")
    del one.__dict__["id"], one.contents.__dict__["judged_by"]
    assert one.id not in (other.id, without)


def test_another_conditioning_encoder_leaves_it_its_own(make_judged, make_clap, monkeypatch):
    clap_encoder = type(make_judged().parts.encoder)()
    clap_encoder.sha256 = "6" * 64
    monkeypatch.setattr("musicbench.runs.jury.TransformersEncoder", lambda name, device: clap_encoder)
    run = make_judged(f"evaluation.clap_mini={make_clap(text='6' * 64)}")
    run.jury.clap_states(["a caption"])
    assert clap_encoder.captions, "it was asked"
    other = make_judged(f"evaluation.clap_mini={make_clap(found=44, text='9' * 64)}")
    with pytest.raises(UserError, match="other weights of minilm"):
        require_ready(other.jury)


def test_a_folder_without_one_is_a_users_mistake(make_judged):
    with pytest.raises(UserError, match="no clap_mini in nowhere"):
        _ = make_judged("evaluation.clap_mini=nowhere").id


def test_clips_that_whole_frames_leave_too_short_are_refused_before_training(make_judged):
    # 2.94 s are 29 frames, which last 2.9 s
    with pytest.raises(UserError, match=r"seconds=2\.94 gives clips of 2\.9 s, shorter than a judge's window of 3 s"):
        held_out(make_judged("evaluation.seconds=2.94").jury)
