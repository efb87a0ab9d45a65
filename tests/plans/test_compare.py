"""The table of costs is that of the plans' own figures."""

import numpy as np
import pytest

from musicbench import plans
from musicbench.commands import plan as command
from musicbench.errors import UserError
from musicbench.plans.build import PATTERNS
from musicbench.plans.compare import compare, costs
from musicbench.plans.context import context
from musicbench.plans.schedules import lookahead, separation, visiting_order


@pytest.mark.parametrize("schedule", ["sequential", "block_2", "stride_3"])
def test_rows_are_the_plans_figures(schedule):
    rows = list(compare(13, 3, schedule, True))
    assert [row.pattern for row in rows] == list(PATTERNS)
    for row in rows:
        plan = plans.build(row.pattern, 13, 3, schedule)
        assert (row.steps, row.positions, row.peak_cache) == (plan.steps, plan.positions, plan.peak_cache)
        when = {(t, k): int(plan.step[plan.source[k, t]]) for t in range(13) for k in range(3)}
        begun = [min(when[t, k] for k in range(3)) for t in range(13)]
        done = [max(when[t, k] for k in range(3)) for t in range(13)]
        assert row.lookahead == max(sum(begun[u] < done[t] for u in range(t + 1, 13)) for t in range(13))
        drawn = [int((plan.predicts[plan.step == s] >= 0).sum()) for s in range(plan.steps)]
        assert row.side_by_side == max(drawn)
        unseen_N = context(plan).unseen
        assert row.unseen == (pytest.approx(float(np.mean(unseen_N))), int(unseen_N.max()))


def test_large_grids_have_no_context():
    assert costs(plans.build("delay", 2000, 4)).unseen is None


def test_the_command_prints_a_line_for_each_pattern(capsys):
    assert command.main(["--compare", "--frames", "10", "--schedule", "block_2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[3:]] == list(PATTERNS)
    assert len({len(line) for line in lines[2:]}) == 1
    visiting = visiting_order("block_2", 10)
    assert lines[0] == (
        "block_2 schedule, 4 levels x 10 frames; neighbouring frames are visited at least "
        f"{separation(visiting)} apart, and at most {lookahead(visiting)} later frames before a frame"
    )
    assert (separation(visiting), lookahead(visiting)) != (1, 0), "those of the sequential schedule"


def test_a_stream_waits_for_unfinished_frames():
    waits = {row.pattern: row.lookahead for row in compare(20, 4, "sequential", True)}
    assert waits["parallel"] == waits["flat"] == waits["stack"] == 0
    assert (waits["delay"], waits["stack_stride"], waits["coarse_first"]) == (2, 1, 19)


@pytest.mark.parametrize("option", ["--json", "--draw=a.png", "--stride=2", "--stream-0=full", "--positional=step"])
def test_options_of_one_pattern_are_refused(option):
    with pytest.raises(UserError, match=f"--compare takes no {option.partition('=')[0]}"):
        command.main(["--compare", "--frames", "5", option])


@pytest.mark.parametrize("arguments", [["--frames", "5"], ["delay", "--compare", "--frames", "5"]])
def test_a_pattern_or_all_of_them(arguments):
    with pytest.raises(UserError, match="give a pattern, or --compare"):
        command.main(arguments)
