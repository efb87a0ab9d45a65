"""The file of the originals' outputs: resuming, and rows of a crop."""

import numpy as np
import pytest
import torch

from musicbench.errors import UserError
from musicbench.evaluation.references.reference import Reference
from musicbench.evaluation.references.stored import build_reference
from musicbench.seals import save_npz

RATE = 100


def corpus(seed: int = 0) -> list[tuple[str, str, torch.Tensor, int]]:
    generator = torch.Generator().manual_seed(seed)
    splits = ["train", "test", "train", "validation", "test", "train"]
    return [
        (f"clip{number}", split, torch.rand(RATE * (6 + number), generator=generator), RATE)
        for number, split in enumerate(splits)
    ]


def test_holds_train_moments_and_test_rows(stub_judge, tmp_path):
    path = tmp_path / "judge.npz"
    build_reference(stub_judge, corpus(), path, train_every_seconds=2.0)
    reference = Reference.open(path)
    train = [
        stub_judge(audio[None, start : start + 3 * RATE], RATE).embeddings_BWD[0].numpy()
        for _, s, audio, _ in corpus()
        if s == "train"
        for start in range(0, len(audio) - 3 * RATE + 1, 2 * RATE)
    ]
    rows = np.concatenate(train).astype(np.float64)
    assert reference.windows == len(rows) and reference.judge_sha256 == stub_judge.sha256
    assert reference.mean.dtype == reference.cov.dtype == np.float64
    np.testing.assert_allclose(reference.mean, rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(reference.cov, np.cov(rows, rowvar=False), rtol=1e-10)
    assert list(tmp_path.iterdir()) == [path]


def test_rows_of_a_crop_are_what_the_judge_says_of_it(stub_judge, tmp_path):
    build_reference(stub_judge, corpus(), tmp_path / "judge.npz")
    reference = Reference.open(tmp_path / "judge.npz")
    audio = {clip_id: audio for clip_id, _, audio, _ in corpus()}
    for clip_id, start, seconds in (("clip1", 0, 5), ("clip1", 2, 5), ("clip4", 3, 7), ("clip4", 7, 3)):
        embeddings_WD, logits_WC = reference.original(clip_id, start, seconds)
        output = stub_judge(audio[clip_id][None, start * RATE : (start + seconds) * RATE], RATE)
        np.testing.assert_array_equal(embeddings_WD, output.embeddings_BWD[0])
        np.testing.assert_array_equal(logits_WC, output.logits_BWC[0])


def test_stopped_and_started_again_does_the_missing_clips(stub_judge, tmp_path):
    path = tmp_path / "judge.npz"

    def interrupted():
        yield from corpus()[:3]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_reference(stub_judge, interrupted(), path)
    assert not path.exists() and stub_judge.calls == 3
    build_reference(stub_judge, corpus(), path)
    assert stub_judge.calls == 5
    build_reference(stub_judge, corpus(), tmp_path / "fresh.npz")
    assert path.read_bytes() == (tmp_path / "fresh.npz").read_bytes()


def test_changed_audio_is_judged_anew(stub_judge, tmp_path):
    path = tmp_path / "judge.npz"
    with pytest.raises(UserError, match="train and test"):
        build_reference(stub_judge, [c for c in corpus(0) if c[1] == "train"], path)
    build_reference(stub_judge, corpus(1), path)
    build_reference(stub_judge, corpus(1), tmp_path / "fresh.npz")
    assert path.read_bytes() == (tmp_path / "fresh.npz").read_bytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("train_mean", lambda array: array * np.nan),
        ("train_mean", lambda array: array[:-1]),
        ("train_cov", lambda array: array[:, :-1]),
        ("train_windows", lambda array: np.int64(-5)),
        ("test_offsets", lambda array: array * 1000),
        ("test_offsets", lambda array: -array),
        ("test_embeddings", lambda array: array[:, 0]),
        ("test_embeddings", lambda array: array[:, :-1]),
        ("test_logits", lambda array: array[:-1]),
        ("test_logits", lambda array: array.astype(str)),
        ("hop_seconds", lambda array: np.float64(0)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(stub_judge, tmp_path, name, change):
    path = tmp_path / "judge.npz"
    build_reference(stub_judge, corpus(), path)
    Reference.open(path)
    with np.load(path) as saved:
        arrays = {**saved}
    save_npz(path, **{**arrays, name: change(arrays[name])})
    with pytest.raises(UserError, match="no readable judge reference"):
        Reference.open(path)


def test_says_what_is_wrong(stub_judge, tmp_path):
    build_reference(stub_judge, corpus(), tmp_path / "judge.npz")
    reference = Reference.open(tmp_path / "judge.npz")
    for arguments in (("clip0", 0, 5), ("clip1", 3, 5), ("clip1", -1, 5), ("clip1", 0, 2)):
        with pytest.raises(UserError, match="clip"):
            reference.original(*arguments)
    with pytest.raises(UserError, match="prepare"):
        Reference.open(tmp_path / "absent.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "judge.npz").read_bytes()[:300])
    with pytest.raises(UserError, match="prepare"):
        Reference.open(tmp_path / "cut.npz")
