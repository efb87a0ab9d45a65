"""Caption states: stored once, read back, padded, and recomputed when the file is torn."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from musicbench.conditions.caption_table import CaptionTable, caption_table, empty_table, pad_states
from tests.damage import flip

CAPTIONS = ["a slow waltz", "fast fiddle tune on flute, 120 bpm", "drums", "Größe: 3/4 – “largo”, ünïcödé"]


class CountingEncoder:
    """States that say which caption they are of; 1 to 5 tokens."""

    dim = 3

    def __init__(self, sha256: str = "a" * 64) -> None:
        self.id, self.sha256, self.calls = "counting", sha256, 0

    def encode(self, captions: list[str]) -> list[torch.Tensor]:
        self.calls += 1
        return [self.states(caption) for caption in captions]

    def states(self, caption: str) -> torch.Tensor:
        length = 1 + len(caption) % 5
        stream = torch.Generator().manual_seed(sum(caption.encode()) + int(self.sha256[0], 16))
        return torch.randn(length, self.dim, generator=stream)


@pytest.fixture
def encoder() -> CountingEncoder:
    return CountingEncoder()


def assert_holds(table: CaptionTable, encoder: CountingEncoder, captions: list[str]) -> None:
    states_BLE, mask_BL = table.batch(captions)
    assert states_BLE.dtype == torch.float32
    assert states_BLE.shape[1] == max(len(encoder.states(caption)) for caption in captions)
    for row, caption in enumerate(captions):
        wanted = encoder.states(caption).half().float()
        assert mask_BL[row].tolist() == [i < len(wanted) for i in range(states_BLE.shape[1])]
        assert torch.equal(states_BLE[row, : len(wanted)], wanted)
        assert states_BLE[row, len(wanted) :].abs().sum() == 0


def test_round_trip_through_the_cache(encoder, tmp_path):
    first = caption_table(CAPTIONS, encoder, tmp_path)
    assert_holds(first, encoder, CAPTIONS)
    second = caption_table(CAPTIONS, encoder, tmp_path)
    assert encoder.calls == 1, "the second table comes from the cache"
    assert_holds(second, encoder, CAPTIONS[::-1])
    assert second.dim == 3


def test_batches_of_any_make_up(encoder, tmp_path):
    table = caption_table(CAPTIONS, encoder, tmp_path)
    for captions in ([CAPTIONS[2]], [CAPTIONS[1], CAPTIONS[1], CAPTIONS[0]]):
        assert_holds(table, encoder, captions)


def test_order_and_repetition_of_captions_do_not_matter(encoder, tmp_path):
    caption_table(CAPTIONS, encoder, tmp_path)
    caption_table([*CAPTIONS[::-1], CAPTIONS[0]], encoder, tmp_path)
    assert encoder.calls == 1


def test_another_encoder_or_caption_is_another_file(encoder, tmp_path):
    caption_table(CAPTIONS, encoder, tmp_path)
    other = CountingEncoder(sha256="b" * 64)
    assert_holds(caption_table(CAPTIONS, other, tmp_path), other, CAPTIONS)
    assert_holds(caption_table([*CAPTIONS, "new"], encoder, tmp_path), encoder, ["new"])
    assert (encoder.calls, other.calls) == (2, 1)
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("one", "other"), [(["a\nb"], ["a", "b"]), (["a", "b"], ["a\nb"])])
def test_line_breaks_in_captions_do_not_confuse_the_cache(encoder, tmp_path, one, other):
    caption_table(one, encoder, tmp_path)
    assert_holds(caption_table(other, encoder, tmp_path), encoder, other)


@pytest.mark.parametrize("keep", [0, 5, 0.5, 0.99])
def test_a_truncated_file_is_computed_again(encoder, tmp_path: Path, keep):
    caption_table(CAPTIONS, encoder, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    assert_holds(caption_table(CAPTIONS, encoder, tmp_path), encoder, CAPTIONS)
    assert encoder.calls == 2
    assert path.read_bytes() == content, "the file is whole again"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_changes_no_state(encoder, tmp_path, data):
    caption_table(CAPTIONS, encoder, tmp_path)
    (path,) = tmp_path.iterdir()
    flip(path, data.draw(st.integers(0, 8 * path.stat().st_size - 1)))
    assert_holds(caption_table(CAPTIONS, encoder, tmp_path), encoder, CAPTIONS)


def test_new_captions_are_encoded_when_they_come(encoder, tmp_path):
    table = caption_table(CAPTIONS, encoder, tmp_path)
    mixed = ["never heard", CAPTIONS[0], "new", "never heard"]
    assert_holds(table, encoder, mixed)
    assert encoder.calls == 2, "the new ones of a batch are encoded together"
    assert_holds(table, encoder, mixed)
    assert encoder.calls == 3, "and not kept: a batch is told what follows from its captions alone"
    assert_holds(empty_table(CAPTIONS, encoder), encoder, CAPTIONS)


def test_what_a_batch_is_told_does_not_depend_on_earlier_batches(tmp_path):
    class Padded(CountingEncoder):
        """Last digits follow from the neighbours, as those of a network do."""

        def encode(self, captions):
            return [states + 1e-2 * len(captions) for states in super().encode(captions)]

    table = caption_table(CAPTIONS, Padded(), tmp_path)
    first = table.batch(["x", "y y", CAPTIONS[1]])
    table.batch(["x", "z"])
    for one, other in zip(first, table.batch(["x", "y y", CAPTIONS[1]]), strict=True):
        assert torch.equal(one, other)


def test_empty_captions_have_no_states(encoder, tmp_path):
    for table in (caption_table(["", " ", *CAPTIONS], encoder, tmp_path), empty_table([], encoder)):
        states_BLE, mask_BL = table.batch(["", CAPTIONS[0], " "])
        assert mask_BL.any(1).tolist() == [False, True, False]
        assert states_BLE[0].abs().sum() == 0 == states_BLE[2].abs().sum()
        states_BLE, mask_BL = table.batch(["", ""])
        assert states_BLE.shape == (2, 1, 3) and not mask_BL.any()
    assert caption_table([""], encoder, tmp_path).batch([""])[0].shape == (1, 1, 3)


def test_pad_states():
    states_BLE, mask_BL = pad_states([torch.ones(2, 4), torch.ones(1, 4), torch.ones(3, 4)])
    assert states_BLE.sum((1, 2)).tolist() == [8, 4, 12]
    assert mask_BL.tolist() == [[True, True, False], [True, False, False], [True, True, True]]
