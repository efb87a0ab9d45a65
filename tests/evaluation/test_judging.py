"""Clips judged each by itself, within flat memory, and kept by their content."""

import gc
import threading
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from musicbench.errors import UserError
from musicbench.evaluation.judges.base import WindowedJudge
from musicbench.evaluation.judging import Judgement, facts, judge_clips, judgements

RATE = 50


class SmallJudge(WindowedJudge):
    """Windows of 2 s every second; a dense layer of the samples. Notes the size of every batch."""

    id, sha256, sample_rate, window_seconds, hop_seconds = "small", "7" * 64, RATE, 2.0, 1.0
    labels = tuple("abc")

    def __init__(self, windows_at_once: int = 4) -> None:
        self.windows_at_once = {"cpu": windows_at_once}  # type: ignore[misc]
        self.device = torch.device("cpu")
        self.layer_ND = torch.randn(2 * RATE, 5, generator=torch.Generator().manual_seed(0)) / 5
        self.batches: list[int] = []

    def _judge(self, window_BN: Tensor) -> tuple[Tensor, Tensor]:
        self.batches.append(len(window_BN))
        embeddings_BD = torch.tanh(window_BN @ self.layer_ND)
        return embeddings_BD, 2 * embeddings_BD[:, :3]


def clips(*samples: int, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(count, generator=generator) * 2 - 1 for count in samples]


def one_by_one(judge: WindowedJudge, audio: Sequence[Tensor], rate: int = RATE) -> list[Judgement]:
    """Each window alone through the network."""
    size, hop = round(judge.window_seconds * rate), round(judge.hop_seconds * rate)
    judgements = []
    for audio_N in audio:
        starts = range(0, len(audio_N) - size + 1, hop)
        outputs = [judge(audio_N[None, start : start + size], rate) for start in starts]
        judgements.append(
            Judgement(
                torch.cat([output.embeddings_BWD[0] for output in outputs]).numpy(),
                torch.cat([output.logits_BWC[0] for output in outputs]).numpy(),
            )
        )
    return judgements


def assert_same(found: Sequence[Judgement], expected: Sequence[Judgement], atol: float = 0.0) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name in ("embeddings_WD", "logits_WC"):
            assert getattr(one, name).shape == getattr(other, name).shape
            assert getattr(one, name).dtype == np.float32
            np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0, atol=atol)


@settings(max_examples=40, deadline=None)
@given(lengths=st.lists(st.integers(100, 420), max_size=9), at_once=st.integers(1, 7))
def test_any_lengths_in_any_order(lengths, at_once):
    judge, audio = SmallJudge(at_once), clips(*lengths)
    judgements = judge_clips(judge, iter(audio), RATE)
    expected = []
    for length in lengths:
        full, rest = divmod((length - 100) // 50 + 1, at_once)
        expected += [at_once] * full + [rest] * (rest > 0)
    assert judge.batches == expected, "no batch holds windows of two clips"
    assert_same(judgements, one_by_one(SmallJudge(), audio), atol=1e-5)
    assert_same(judge_clips(SmallJudge(at_once), audio[::-1], RATE)[::-1], judgements)


def test_the_bundled_judge(musicnn, melody):
    """The same bits in any order, with any neighbours, and of a window wherever it lies in a clip."""
    mixed = [melody(seed, seconds, 16000) for seed, seconds in enumerate((3.0, 4.5, 3.0, 5.0, 10.0, 4.0))]
    expected = one_by_one(musicnn, mixed, 16000)
    assert_same(judge_clips(musicnn, mixed, 16000), expected)
    for order in ((5, 4, 3, 2, 1, 0), (4,), (1, 4, 1, 5), (2, 0, 5)):
        assert_same(judge_clips(musicnn, [mixed[i] for i in order], 16000), [expected[i] for i in order])


def test_the_same_bits_from_a_cache_or_anew(musicnn, melody, tmp_path):
    mixed = [melody(seed, seconds, 16000) for seed, seconds in enumerate((4.0, 4.0, 3.0, 4.0, 6.0))]
    anew = judge_clips(musicnn, mixed, 16000)
    judge_clips(musicnn, mixed[1:4:2], 16000, tmp_path)
    assert_same(judge_clips(musicnn, mixed, 16000, tmp_path), anew)
    assert_same(judge_clips(musicnn, mixed[::-1], 16000, tmp_path), anew[::-1])


def test_a_judge_of_whole_clips_hears_them_one_by_one(stub_judge):
    audio = clips(400, 300, 300)
    judgements = judge_clips(stub_judge, audio, 100)
    assert stub_judge.calls == 3
    np.testing.assert_array_equal(judgements[1].logits_WC, stub_judge(audio[1][None], 100).logits_BWC[0])


@pytest.mark.parametrize("seconds", [2, 3, 6])
@pytest.mark.parametrize("cached", [False, True])
def test_no_more_audio_is_held_than_is_judged(seconds, cached, tmp_path):
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        alive -= 1

    def decoded() -> Iterator[Tensor]:
        nonlocal alive, most
        for number in range(80):
            samples_N = np.full(seconds * RATE, number / 100, np.float32)
            weakref.finalize(samples_N, gone)  # a tensor and its views share this memory
            alive += 1
            most = max(most, alive)
            yield torch.from_numpy(samples_N)
            del samples_N

    judge = SmallJudge(windows_at_once=4)
    assert len(judge_clips(judge, decoded(), RATE, tmp_path if cached else None)) == 80
    gc.collect()
    assert alive == 0
    assert most <= 2


def test_an_error_passes(musicnn):
    with pytest.raises(UserError, match="at least 2 s"):
        judge_clips(SmallJudge(), clips(200, 99), RATE)
    assert judge_clips(SmallJudge(), [], RATE) == []


def test_known_clips_are_not_judged_again(tmp_path):
    audio = clips(200, 350, 200, 120)
    first = judge_clips(SmallJudge(), audio[:2], RATE, tmp_path)
    judge = SmallJudge()
    second = judge_clips(judge, [audio[2], audio[1], audio[3], audio[0]], RATE, tmp_path)
    assert sum(judge.batches) == 4, "3 windows of clip 2 and 1 of clip 3"
    assert_same([second[3], second[1]], first)
    assert_same(second, judge_clips(SmallJudge(), [audio[2], audio[1], audio[3], audio[0]], RATE))
    untouched = SmallJudge()
    assert_same(judge_clips(untouched, audio, RATE, tmp_path), [second[3], second[1], second[0], second[2]])
    assert untouched.batches == []
    assert len(list(tmp_path.iterdir())) == 4


def test_all_that_outputs_follow_from_is_in_the_name(tmp_path):
    (audio_N,) = clips(200)

    def file(judge: SmallJudge, audio: Tensor, rate: int = RATE) -> Path:
        return judgements(tmp_path).file(*facts(judge, audio, rate))

    same = SmallJudge()
    files = [file(same, audio_N)]
    for name, value in [
        ("id", "other"),
        ("sha256", "8" * 64),
        ("sample_rate", 60),
        ("window_seconds", 1.5),
        ("hop_seconds", 0.5),
    ]:
        judge = SmallJudge()
        setattr(judge, name, value)
        files.append(file(judge, audio_N))
    files += [file(same, audio_N, 2 * RATE), file(same, audio_N[:-1]), file(same, audio_N.view(2, 100))]
    changed_N = audio_N.clone()
    changed_N[7] = torch.nextafter(changed_N[7], torch.tensor(1.0))
    files.append(file(same, changed_N))
    assert len(set(files)) == len(files)
    assert file(same, audio_N.double()) == files[0], "the samples count, not how they are kept"
    assert file(same, torch.stack([audio_N, audio_N], dim=1)[:, 0]) == files[0]


def test_damaged_files_are_judged_again(tmp_path):
    audio = clips(200)
    expected = judge_clips(SmallJudge(), audio, RATE, tmp_path)
    (file,) = tmp_path.iterdir()
    good = file.read_bytes()
    judged_again = 0
    damages = [good[:length] for length in range(0, len(good), 50)]
    damages += [good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :] for place in range(0, len(good), 7)]
    for damaged in damages:
        file.write_bytes(damaged)
        judge = SmallJudge()
        assert_same(judge_clips(judge, audio, RATE, tmp_path), expected)
        judged_again += bool(judge.batches)
    assert judged_again > len(damages) / 2
    file.write_bytes(good[:100])
    judge = SmallJudge()
    assert_same(judge_clips(judge, audio, RATE, tmp_path), expected)
    assert judge.batches == [3] and file.read_bytes() == good


def test_many_may_share_a_folder(tmp_path):
    audio = clips(*range(100, 300, 10))
    expected = judge_clips(SmallJudge(), audio, RATE)
    start = threading.Barrier(4)
    found: list[list[Judgement]] = []

    def work() -> None:
        start.wait()
        found.append(judge_clips(SmallJudge(), audio, RATE, tmp_path))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    for heard in found:
        assert_same(heard, expected)
    names: list[Path] = list(tmp_path.iterdir())
    assert len(names) == 20 and not any(path.name.startswith(".") for path in names)
