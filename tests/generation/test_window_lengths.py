"""Windows of a run: the trained length, two thirds given, and overlaps that its plan can continue from."""

import pytest

from musicbench.errors import UserError
from musicbench.generation.window_lengths import fitting_windows, window_frames
from musicbench.generation.windows import Windows

MAGNET = ("family=magnet", "decode=magnet_10s", "decode.iterations=[3,2]")
HYBRID = ("family=hybrid", "decode=hybrid_10s", "decode.masked.iterations=[3,2]", "schedule=block_2")


def test_a_window_is_as_long_as_a_training_clip(make_run):
    assert window_frames(make_run(), None) == 20
    assert window_frames(make_run("data.seconds=3"), None) == 30
    assert window_frames(make_run(), 4.5) == 45
    with pytest.raises(UserError, match=r"--window 0\.1 is shorter than two frames; give 0\.2 s or more"):
        window_frames(make_run(), 0.1)


@pytest.mark.parametrize(
    ("lines", "length", "asked", "overlap"),
    [
        ((), 30, None, 20),  # as MusicGen: two thirds
        ((), 20, None, 13),
        ((), 20, 0.1, 1),
        ((), 20, 1.9, 19),
        (("pattern=coarse_first",), 20, 0.5, 5),
        (("schedule=block_4",), 40, None, 24),  # of 8, 16, 24 and 32 the nearest to 27
        (("schedule=block_4",), 40, 3.1, 32),
        (("schedule=block_4", "pattern=stack_delay"), 44, 4.3, 32),  # the last block has the tail
        (("schedule=block_4",), 20, None, 8),
        (MAGNET, 20, None, 13),
        (MAGNET, 20, 0.1, 1),
        ((*HYBRID, "decode.handover=0.2"), 20, None, 13),
        ((*HYBRID, "decode.handover=0.9"), 20, 1.0, 8),  # within the autoregressive part
        ((*HYBRID, "decode.handover=0.9"), 20, 1.9, 19),  # behind it
        ((*HYBRID, "decode.handover=0"), 20, 0.3, 3),
    ],
)
def test_the_overlap_is_the_nearest_that_can_be(make_run, lines, length, asked, overlap, capsys):
    assert fitting_windows(make_run(*lines), length, asked) == Windows(length, overlap)
    changed = asked is not None and round(10 * asked) != overlap
    assert (f"--overlap {asked:g} becomes {overlap / 10:g} s" in capsys.readouterr().err) if changed else True


@pytest.mark.parametrize("overlap", [0.01, 2, 2.5, 100])
def test_overlaps_that_make_no_progress(make_run, overlap):
    with pytest.raises(UserError, match=r"must be a frame \(0\.1 s\) or more and leave one of a window of 2 s"):
        fitting_windows(make_run(), 20, overlap)


@pytest.mark.parametrize(("lines", "length"), [(("schedule=stride_4",), 40), (("schedule=block_8",), 17)])
def test_schedules_that_cannot_go_on(make_run, lines, length):
    with pytest.raises(UserError, match=r"cannot go on from the first [\d.]+ s of a window of [\d.]+ s") as error:
        fitting_windows(make_run(*lines), length, None)
    assert "\n" not in str(error.value) and "--window with the length of the clip" in str(error.value)


def test_a_stride_goes_on_from_its_first_frame_if_that_is_asked_for(make_run):
    assert fitting_windows(make_run("schedule=stride_4"), 40, 0.1) == Windows(40, 1)


def test_a_pattern_without_a_plan_of_that_length_is_one_line(make_run):
    with pytest.raises(UserError, match="frames must be at most"):
        fitting_windows(make_run(), 200_000, None)
