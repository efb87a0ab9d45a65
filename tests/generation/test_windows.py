"""Clips drawn in windows: the arithmetic, and every family against a loop written out by hand."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from musicbench.assessment.adapters import CaptionedModel, sampling
from musicbench.conditions.caption_table import caption_states
from musicbench.generation.windows import WindowedModel, Windows, told_moments, window_seed
from musicbench.models.conditions import Conditions
from musicbench.models.prefix import Prefix
from musicbench.models.sampling import uniforms
from tests.helpers.tiny_run import StubEncoder

LEVELS, SIZE, WINDOW = 2, 12, 24
CAPTIONS, SEEDS = ["a slow waltz", "", "größe"], [4, 0, 9]

SEQUENTIAL = [(f"pattern={name}",) for name in ("delay", "flat", "stack", "coarse_first")]
BLOCKS = [("pattern=delay", "schedule=block_4"), ("pattern=stack_delay", "schedule=block_2")]
MASKED = [
    ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]"),
    ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]", "decode.prompt_upper_levels=shown"),
]
HYBRID = [
    ("family=hybrid", "decode=hybrid_10s", "decode.masked.iterations=[3,2]", f"decode.handover={share}")
    for share in (0, 0.3, 0.9)
]
FAMILIES = [*SEQUENTIAL, *BLOCKS, *MASKED, *HYBRID]
STREAMING = [*SEQUENTIAL, *BLOCKS]


def named(lines: tuple[str, ...]) -> str:
    return "-".join(line.partition("=")[2] for line in lines)


@pytest.fixture(autouse=True)
def _own_random_stream() -> Iterator[None]:
    with torch.random.fork_rng():
        yield


@pytest.fixture
def make_model(make_run) -> Callable[..., CaptionedModel]:
    """``make_model("pattern=flat")`` -> a random model whose choices depend strongly on what it sees."""

    def make(*lines: str) -> CaptionedModel:
        run = make_run(*lines)
        module = run.model()
        with torch.no_grad():
            for name, weight in module.named_parameters():
                if name.endswith(("qkv.weight", "heads_KVD", "embedding.weight")):
                    weight.normal_(std=1.0)
        return CaptionedModel(module, conditions, sampling(run))

    return make


def conditions(captions, melodies=None) -> Conditions:
    return Conditions.of_text(*caption_states(StubEncoder(), captions))


def by_hand(model: CaptionedModel, frames: int, overlap: int, prompt_BKT: Tensor | None = None) -> Tensor:
    """As MusicGen's own loop: the end of a window is the prompt of the next, and what is new is appended."""
    if prompt_BKT is not None:
        whole_BKT = torch.full((3, LEVELS, WINDOW), -1)
        whole_BKT[:, :, : prompt_BKT.shape[2]] = prompt_BKT
        prompt_BKT = whole_BKT
    all_BKT = model.generate(CAPTIONS, WINDOW, SEEDS, prompt_BKT)
    number = 0
    while all_BKT.shape[2] < frames:
        number += 1
        end_BKO = all_BKT[:, :, -overlap:]
        empty_BKn = torch.full((3, LEVELS, WINDOW - overlap), -1)
        seeds = [window_seed(seed, number) for seed in SEEDS]
        window_BKW = model.generate(CAPTIONS, WINDOW, seeds, torch.cat([end_BKO, empty_BKn], 2))
        assert torch.equal(window_BKW[:, :, :overlap], end_BKO)
        all_BKT = torch.cat([all_BKT, window_BKW[:, :, overlap:]], 2)
    return all_BKT[:, :, :frames]


@pytest.mark.parametrize("lines", FAMILIES, ids=named)
@pytest.mark.parametrize("frames", [25, 56, 61])
def test_windows_are_calls_that_continue_from_each_other(make_model, lines, frames):
    model = make_model(*lines)
    drawn_BKT = WindowedModel(model, Windows(WINDOW, 16), LEVELS).generate(CAPTIONS, frames, SEEDS)
    assert torch.equal(drawn_BKT, by_hand(model, frames, 16))
    assert int(drawn_BKT.min()) >= 0 and int(drawn_BKT.max()) < SIZE
    first_BKW = model.generate(CAPTIONS, WINDOW, SEEDS)
    assert torch.equal(drawn_BKT[:, :, :WINDOW], first_BKW), "it begins as the clip of one window with its seed"


@pytest.mark.parametrize("lines", [SEQUENTIAL[0], MASKED[0], HYBRID[1]], ids=named)
def test_a_window_hears_the_end_of_the_one_before(make_model, lines):
    model = make_model(*lines)
    seeds = [window_seed(seed, 1) for seed in SEEDS]
    prompt_BKT = torch.full((3, LEVELS, WINDOW), -1)
    prompt_BKT[:, :, :16] = model.generate(CAPTIONS, WINDOW, SEEDS)[:, :, -16:]
    otherwise_BKT = prompt_BKT.where(prompt_BKT < 0, (prompt_BKT + 1) % SIZE)
    one, other = (model.generate(CAPTIONS, WINDOW, seeds, p)[:, :, 16:] for p in (prompt_BKT, otherwise_BKT))
    assert not torch.equal(one, other)


@pytest.mark.parametrize("lines", FAMILIES, ids=named)
def test_a_clip_depends_neither_on_its_batch_nor_on_its_length(make_model, lines):
    model = WindowedModel(make_model(*lines), Windows(WINDOW, 16), LEVELS)
    longer_BKT = model.generate(CAPTIONS, 61, SEEDS)
    assert torch.equal(model.generate(CAPTIONS, 50, SEEDS), longer_BKT[:, :, :50])
    for i in range(3):
        alone_BKT = model.generate(CAPTIONS[i : i + 1], 61, SEEDS[i : i + 1])
        assert torch.equal(alone_BKT[0], longer_BKT[i])
    assert not torch.equal(model.generate(CAPTIONS, 61, [5, 1, 10]), longer_BKT)


@pytest.mark.parametrize("lines", STREAMING, ids=named)
@pytest.mark.parametrize("every", [1, 5, 1000])
def test_a_stream_is_the_clip_in_pieces(make_model, lines, every):
    model = WindowedModel(make_model(*lines), Windows(WINDOW, 16), LEVELS)
    pieces = list(model.stream(CAPTIONS, 61, SEEDS, None, every))
    assert torch.equal(torch.cat(pieces, 2), model.generate(CAPTIONS, 61, SEEDS))
    assert all(piece.shape[2] >= every for piece in pieces[:-1])
    assert len(pieces) > 5 or every > 1


@pytest.mark.parametrize("given", [8, 16, 24, 40, 60, 61])
@pytest.mark.parametrize("lines", [SEQUENTIAL[0], BLOCKS[0], MASKED[0], HYBRID[1]], ids=named)
def test_a_prompt_may_be_longer_than_a_window(make_model, lines, given):
    model = make_model(*lines)
    windows = WindowedModel(model, Windows(WINDOW, 16), LEVELS)
    prompt_BKT = torch.full((3, LEVELS, 61), -1)
    prompt_BKT[:, :, :given] = torch.randint(0, SIZE, (3, LEVELS, given), generator=torch.Generator().manual_seed(0))
    before_BKT = prompt_BKT.clone()
    drawn_BKT = windows.generate(CAPTIONS, 61, SEEDS, prompt_BKT)
    assert torch.equal(prompt_BKT, before_BKT), "what the caller gave is left alone"
    if given < WINDOW:
        expected_BKT = by_hand(model, 61, 16, prompt_BKT[:, :, :given])
    else:
        # The last 16 given frames begin the first window.
        end_BKT = by_hand(model, 61 - given + 16, 16, prompt_BKT[:, :, given - 16 : given])
        expected_BKT = torch.cat([prompt_BKT[:, :, : given - 16], end_BKT], 2)
    assert torch.equal(drawn_BKT, expected_BKT)
    if model.streams:
        pieces = list(windows.stream(CAPTIONS, 61, SEEDS, prompt_BKT, 3))
        assert torch.equal(torch.cat(pieces, 2), drawn_BKT)


def test_holes_in_a_prompt_are_filled_in_and_the_rest_is_left(make_model):
    windows = WindowedModel(make_model(*MASKED[0]), Windows(WINDOW, 16), LEVELS)
    prompt_BKT = torch.randint(0, SIZE, (3, LEVELS, 61), generator=torch.Generator().manual_seed(0))
    for hole in (slice(2, 5), slice(20, 30), slice(50, 61)):
        prompt_BKT[:, :, hole] = -1
    drawn_BKT = windows.generate(CAPTIONS, 61, SEEDS, prompt_BKT)
    assert torch.equal(drawn_BKT.where(prompt_BKT >= 0, -1), prompt_BKT)
    assert int(drawn_BKT.min()) >= 0 and int(drawn_BKT.max()) < SIZE


def test_a_stream_draws_no_frames_beyond_its_clip(make_model, monkeypatch):
    model, drawn = make_model(*SEQUENTIAL[1]), []
    stream = CaptionedModel.stream

    def watched(*arguments: object) -> Iterator[Tensor]:
        for piece_BKn in stream(*arguments):
            drawn.append(piece_BKn.shape[2])
            yield piece_BKn

    monkeypatch.setattr(CaptionedModel, "stream", watched)
    list(WindowedModel(model, Windows(WINDOW, 16), LEVELS).stream(CAPTIONS, 26, SEEDS, None, 1))
    assert sum(drawn) == WINDOW + 16 + 2


class Listener:
    """A model that notes what melodies it is told."""

    def __init__(self) -> None:
        self.heard: list[list[int] | None] = []

    def generate(self, captions, frames, seeds, prompt_BKT=None, melodies=None) -> Tensor:
        self.heard += [None if classes_M is None else classes_M.tolist() for classes_M in melodies]
        return torch.zeros(len(seeds), LEVELS, frames, dtype=torch.int64)


@pytest.mark.parametrize("length", [None, 20], ids=["chroma", "musicgen"])
def test_each_window_is_told_the_melody_from_its_beginning(length):
    melody, model, windows = Prefix(12, 0.3, length), Listener(), Windows(24, 16)
    moments = told_moments(melody, 60, windowed=True)
    assert told_moments(melody, 60, windowed=False) == (18 if length is None else 20)
    tune_M = np.arange(moments)
    WindowedModel(model, windows, LEVELS, melody).generate(["a", "b"], 60, [1, 2], None, [tune_M, None])
    starts = [0, 8, 16, 24, 32, 40]
    rows = 8 if length is None else 20  # of 24 frames; or always
    wanted = [[*range(moments)][round(start * 0.3) :][:rows] for start in starts]
    assert model.heard == [told for own in wanted for told in (own, None)]
    if length is not None:
        assert {len(told) for told in wanted} == {20}, "a window never runs out of the melody"


@given(data=st.data(), length=st.integers(2, 30))
@settings(max_examples=300, deadline=None)
def test_every_open_frame_is_drawn_once_and_each_window_goes_on_from_what_is_there(data, length):
    overlap = data.draw(st.integers(1, length - 1))
    prompt = data.draw(st.integers(0, 70))
    rest = data.draw(st.lists(st.booleans(), max_size=70))
    open_T = [False] * prompt + rest
    drawn = [0] * len(open_T)
    for start in Windows(length, overlap).starts(open_T):
        assert start >= 0
        there = [not open_T[t] or drawn[t] == 1 for t in range(len(open_T))]
        if start:
            assert all(there[: start + overlap]), "its prompt is the end of what is there"
            assert not there[start + overlap], "its first new frame is the next one"
        for t in range(start, min(start + length, len(open_T))):
            drawn[t] += not there[t]
    assert drawn == [int(frame) for frame in open_T]


@given(length=st.integers(2, 60), data=st.data(), frames=st.integers(1, 300))
def test_without_a_prompt_windows_follow_at_one_stride(length, data, frames):
    overlap = data.draw(st.integers(1, length - 1))
    starts = list(Windows(length, overlap).starts([True] * frames))
    count = 1 + max(0, -(-(frames - length) // (length - overlap)))
    assert starts == [i * (length - overlap) for i in range(count)]


@pytest.mark.parametrize("overlap", [0, -1, 24, 25])
def test_windows_that_make_no_progress(overlap):
    with pytest.raises(ValueError, match=r"the overlap must be 1 \.\. 23 frames"):
        Windows(24, overlap)


def test_the_random_numbers_of_windows_are_their_own():
    seeds = [window_seed(seed, number) for seed in (0, 1, 2, 2**61) for number in range(50)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 1 << 62 for seed in seeds), "a window can be drawn alone, with its seed"
    numbers_BRC = uniforms(seeds, 4, 50).numpy()
    near = np.abs(np.corrcoef(numbers_BRC.reshape(len(seeds), -1)) - np.eye(len(seeds)))
    assert near.max() < 0.5
    assert [window_seed(7, number) for number in range(3)] == [7, 1376721588828029023, 3162044429754263695], (
        "clips can be drawn again, for ever"
    )


@given(st.integers(1, 400), st.integers(1, 6), st.integers(0, 5), st.integers(0, 50))
def test_windows_begin_with_a_segment_of_the_codec(frames, segments, step, given_frames):
    """Whatever is given at the beginning; every open frame is drawn once, and behind something that is known."""
    grain = 5
    length = grain * (segments + 1)
    windows = Windows(length, max(1, length - grain * (1 + step % segments)), grain)
    open_T = [t >= given_frames for t in range(frames)]
    drawn = set(range(min(given_frames, frames)))
    for start in windows.starts(open_T):
        assert start % grain == 0
        new = {t for t in range(start, min(start + length, frames)) if t not in drawn}
        assert new and (start == 0 or start in drawn or start < given_frames)
        drawn |= new
    assert drawn == set(range(frames))
