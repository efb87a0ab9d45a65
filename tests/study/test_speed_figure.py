"""The figure of latency and throughput: its lines by hand, and its file."""

from pathlib import Path
from typing import Any

import pytest

from musicbench.commands import table as table_command
from musicbench.study.render import SPEED_FIGURE
from musicbench.study.run_record import RunRecord
from musicbench.study.speed_figure import draw_speed_figure, floor_points, speed_lines
from musicbench.study.table import build_table
from tests.study.conftest import write_folder
from tests.study.documents import make_document


def test_the_lines_are_those_of_the_times(spec: Any, records: list[RunRecord]) -> None:
    seconds = {"flat": {16: 8.0, 1: 2.0, 4: 4.0}, "delay": {4: 1.0}}
    table = build_table(spec, records, [make_document(records, seconds, floors={"flat": 0.5})])
    flat, delay = speed_lines(table, "generate_seconds")
    assert [(batch, timing.value) for batch, timing in flat.points] == [(1, 2.0), (4, 4.0), (16, 8.0)]
    assert (flat.row.spec["row"], delay.row.spec["row"]) == ("flat", "delay")
    assert floor_points(flat, "generate_seconds") == [(1, 0.5), (4, 0.5), (16, 0.5)] and not floor_points(delay, "rtf")
    clips, _ = speed_lines(table, "clips_per_second")
    assert [timing.value for _, timing in clips.points] == [0.5, 1.0, 2.0]
    assert floor_points(clips, "clips_per_second") == [(1, 2.0), (4, 8.0), (16, 32.0)]


def test_a_table_that_asks_for_the_figure_gets_it(
    tmp_path: Path, spec: Any, records: list[RunRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_folder(tmp_path / "with", records, {**spec, "speed_figure": True})
    table_command.main([str(folder)])
    assert table_command.main([str(folder), "--check"]) == 0
    (folder / SPEED_FIGURE).unlink()
    capsys.readouterr()
    assert table_command.main([str(folder), "--check"]) == 1 and SPEED_FIGURE in capsys.readouterr().out
    without = write_folder(tmp_path / "without", records, spec)
    table_command.main([str(without)])
    assert not (without / SPEED_FIGURE).exists()


def test_odd_labels_many_rows_and_none_at_all_are_drawn(tmp_path: Path, spec: Any, make_record: Any) -> None:
    names = [f"row{number}" for number in range(14)]
    spec |= {"rows": [{"row": name, "label": f"_{name} $x_{{"} for name in names], "reference_row": "row0"}
    del spec["published"]
    records = [make_record(name) for name in names]
    document = make_document(records, {name: {1: 1.0, 4: 2.0} for name in names}, floors=dict.fromkeys(names, 0.1))
    for number, table in enumerate((build_table(spec, records, [document]), build_table(spec, []))):
        path = tmp_path / f"{number}.png"
        draw_speed_figure(table, path)
        assert path.read_bytes().startswith(b"\x89PNG")
        draw_speed_figure(table, tmp_path / "again.png")
        assert path.read_bytes() == (tmp_path / "again.png").read_bytes()
