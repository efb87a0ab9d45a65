"""Pictures of plans."""

import pytest

from musicbench import plans
from musicbench.plans.draw import draw_plan, frame_grid, step_grid


def test_step_grid_is_the_step_of_each_token():
    assert step_grid(plans.build("delay", 3, 2)).tolist() == [[0, 1, 2], [1, 2, 3]]
    assert step_grid(plans.build("stack_delay", 4, 2, "block_2")).tolist() == [[2, 0, 3, 1], [3, 1, 4, 2]]


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_picture_is_of_the_kind_its_suffix_says(tmp_path, suffix, start):
    path = tmp_path / f"plan.{suffix}"
    draw_plan(plans.build("stack_delay", 6, 3, "block_2"), path)
    assert path.read_bytes().startswith(start)


def test_frames_by_step():
    assert frame_grid(plans.build("delay", 3, 2)).tolist() == [[0, 1, 2, -1], [-1, 0, 1, 2]]
    assert frame_grid(plans.build("flat", 2, 2, "block_1")).tolist() == [[1, -1, 0, -1], [-1, 1, -1, 0]]
