"""Progress: lines for a file, a block for a terminal, and the time left."""

import io
import re

import pytest

from musicbench.launch.progress import Block, Lines, Running, Status, duration, progress, seconds_left


def status(done: int = 1, left: float | None = None, lines: tuple[str, ...] = ()) -> Status:
    running = [Running(f"run{i}", 5.0, line) for i, line in enumerate(lines)]
    return Status(9, done, 1, 2, 0, running, left)


@pytest.mark.parametrize(
    ("finished", "running", "waiting", "slots", "expected"),
    [
        ([], [5.0], 3, 1, None),
        ([10.0], [], 3, 1, 30),
        ([10.0, 20.0], [5.0], 2, 1, 10 + 2 * 15),
        ([10.0], [4.0, 2.0], 2, 2, (6 + 8 + 20) / 2),
        ([10.0], [30.0], 0, 1, 0),  # longer than expected: any time now
        ([10.0], [1.0, 9.0, 9.0, 9.0], 0, 4, 9),  # no sooner than the one that has just begun
    ],
)
def test_time_left(finished, running, waiting, slots, expected):
    assert seconds_left(finished, running, waiting, slots) == expected


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (90, "2 min"), (3599, "1 h 0 min"), (5000, "1 h 23 min"), (360000, "100 h 0 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_status_in_a_line():
    assert status(3, 700, ("a",)).line() == "5/9 finished (3 here, 2 skipped), 1 running, 1 failed, about 12 min left"
    waiting = Status(4, 0, 0, 2, 2, [], None)
    assert waiting.line() == "2/4 finished (0 here, 2 skipped), 0 running, 2 running elsewhere, 0 failed"


def test_a_file_gets_a_line_for_each_event():
    stream = io.StringIO()
    shown = progress(stream)
    assert isinstance(shown, Lines)
    shown.event("failed: a", ["Traceback", "Error"], status())
    shown.show(status(2))
    shown.event("done: b", [], status(3))
    first, *details, last = stream.getvalue().splitlines()
    assert first.endswith("] failed: a")
    assert details == ["    Traceback", "    Error"]
    assert last.startswith("[5/9 finished")


def screen(text: str) -> list[str]:
    """What a terminal shows that knows line feeds, cursor up, and clearing to the end."""
    lines, row = [""], 0
    for up, clear, feed, plain in re.findall(r"\x1b\[(\d+)A|(\x1b\[J)|(\n)|([^\x1b\n]+)", text):
        if up:
            row -= int(up)
        elif clear:
            lines[row:] = [""]
        elif feed:
            row += 1
            lines += [""] * (row == len(lines))
        lines[row] += plain
    return lines


def test_a_terminal_has_one_block_under_the_events(monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "24")
    shown = progress(stream)
    assert isinstance(shown, Block)
    shown.event("started: a", [], status(0, None, ("step 1",)))
    shown.show(status(0, None, ("step 2", "x" * 100)))
    shown.event("failed: a", ["why"], status(1, None, ()))
    shown.show(status(1, None, ("step 3",)))
    shown.close()
    *events, summary, running, rest = screen(stream.getvalue())
    assert events == ["started: a", "failed: a", "    why"]
    assert summary.startswith("3/9 finished")
    assert (running, rest) == ("  run0, 5 s: step 3", "")
    assert max(map(len, screen(stream.getvalue()))) < 60
