"""Points that vary one size at a time, measured in processes of their own; figure and table from records alone."""

import json
from typing import Any

import pytest
from matplotlib.axes import Axes

from musicbench import cli
from musicbench.bench import scale
from musicbench.bench.figure import along, draw_scaling
from musicbench.bench.render import render
from musicbench.bench.scale import Point, ScaleBench, points
from tests.readmes import ROOT

BASE = {"frames": 200, "batch": 1, "levels": 4, "shape": "tiny"}
VARY: dict[str, list[Any]] = {"frames": [200, 500], "batch": [1, 4], "levels": [1, 4], "shape": ["tiny", "small"]}


def test_points_vary_one_size_at_a_time_and_come_once():
    found = points(["delay"], ["ours"], BASE, VARY)
    usual = Point("delay", "ours", 200, 1, 4, "tiny")
    assert len(found) == len(set(found)) == 5 and usual in found
    differing = [sum(a != b for a, b in zip(point, usual, strict=True)) for point in found]
    assert sorted(differing) == [0, 1, 1, 1, 1]
    assert found[-1].frames == 500


def test_only_sizes_that_vary_are_measured():
    alone = {**VARY, "batch": [], "levels": [], "shape": []}
    assert [point.frames for point in points(["flat"], ["ours", "plain"], BASE, alone)] == [200, 200, 500, 500]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory):
    """A real record of two points."""
    place = tmp_path_factory.mktemp("bench")
    given = ["names=[delay]", "shape=tiny", "frames=4", "vary.frames=[4,8]", "rounds=1"]
    none = ["vary.batch=[]", "vary.levels=[]", "vary.shape=[]"]
    assert cli.main(["bench", "scale", *given, *none, "threads=1", f"output={place}"]) == 0
    return place


def test_points_are_measured_with_time_memory_and_floors(folder):
    (path,) = folder.glob("*.json")
    content = json.loads(path.read_text())
    assert content["failures"] == [] and content["settings"]["base"] == {**BASE, "frames": 4}
    one, two = content["rows"]
    assert (one["frames"], two["frames"]) == (4, 8)
    for row in (one, two):
        assert row["seconds"] > 0 and row["kernel_floor_seconds"] > 0 and row["memory_floor_seconds"] > 0
    # Two layers of width 256 in fp32, keys and values, two rows of 7 or 11 positions and 12 tokens of a caption.
    assert [row["cache_bytes"] for row in (one, two)] == [2 * 2 * 256 * 4 * 2 * (n + 12) for n in (7, 11)]
    assert all(row["peak_memory"].get("resident_growth_bytes", 1) >= 0 for row in (one, two))


def test_table_and_figure_follow_from_the_records(folder, capsys):
    asked = ["bench", "table", f"folder={folder}"]
    assert cli.main([*asked, "check=true"]) == 1
    assert "musicbench bench table" in capsys.readouterr().out
    assert cli.main(asked) == 0
    shown = capsys.readouterr().out
    assert shown == (folder / "table.md").read_text() and shown.count("| delay |") == 2
    (figure,) = folder.glob("*.png")
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert cli.main([*asked, "check=true"]) == 0
    (folder / "table.md").write_text(shown + "edited\n")
    assert cli.main([*asked, "check=true"]) == 1


def test_the_figure_shows_every_row_of_every_axis(monkeypatch, tmp_path):
    rows = []
    for number, point in enumerate(points(["delay", "magnet"], ["ours"], BASE, VARY), start=1):
        floors = {"kernel_floor_seconds": number / 2, "memory_floor_seconds": None}
        sizes = {"model_bytes": 1e6 * (1 + (point.shape == "small")), "cache_bytes": 1e6}
        rows.append(
            {**point._asdict(), **floors, **sizes, "seconds": float(number), "peak_memory": {"b": 2e6 * number}}
        )
    machine = {"gpu": None, "cpu": "a", "isa": "b", "threads": 1, "cores": 1, "torch": "2", "limits": {}}
    content: Any = {"rows": rows, "machine": machine, "settings": {"base": BASE, "vary": VARY}}
    for axis, expected in (("frames", 2), ("batch", 2), ("levels", 2), ("shape", 2)):
        assert len(list(along(content, axis, "delay", "ours"))) == expected
    drawn = []
    ordinary = Axes.plot
    monkeypatch.setattr(
        Axes, "plot", lambda self, x, y, *a, **k: (drawn.append((list(x), list(y))), ordinary(self, x, y, *a, **k))[1]
    )
    draw_scaling(content, tmp_path / "figure.png")
    # Two lines on each of four axes: seconds, a kernel floor, no memory floor, held bytes, peaks.
    assert len(drawn) == 4 * 2 * 4
    by = {(row["name"], row["frames"], row["batch"], row["levels"], row["shape"]): row["seconds"] for row in rows}
    usual, longer = by["delay", 200, 1, 4, "tiny"], by["delay", 500, 1, 4, "tiny"]
    assert drawn[0] == ([200, 500], [usual, longer]) and drawn[1] == ([200, 500], [usual / 2, longer / 2])
    assert drawn[2] == ([200, 500], [2.0, 2.0]) and drawn[3] == ([200, 500], [2 * usual, 2 * longer])


class Pool:
    """In place of a pool of processes: asks for nothing, and dies."""

    def __init__(self, *given: Any, **named: Any) -> None:
        pass

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *given: Any) -> None:
        pass

    def submit(self, *given: Any) -> Any:
        raise scale.BrokenProcessPool("killed")


def test_a_point_that_kills_its_process_costs_no_other(monkeypatch):
    import torch

    monkeypatch.setattr(scale, "ProcessPoolExecutor", Pool)
    bench = ScaleBench(1, 1.0, 10.0, torch.float32, torch.device("cpu"))
    two = points(["delay"], ["ours"], BASE, {**VARY, "batch": [], "levels": [], "shape": []})
    assert list(bench.rows(two)) == [] and len(bench.failures) == 2
    assert "delay, ours: tiny, 500 frames, batch 1, 4 levels: its process was killed" in bench.failures[1]
    late = ScaleBench(1, 1.0, -1.0, torch.float32, torch.device("cpu"))
    assert list(late.rows(two)) == [] and all("left out after" in line for line in late.failures)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"bench": "decode"}'])
def test_a_damaged_document_is_one_line(tmp_path, capsys, text):
    (tmp_path / "decode.json").write_text(text)
    assert cli.main(["bench", "table", f"folder={tmp_path}"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_without_documents_is_one_line(tmp_path, capsys):
    assert cli.main(["bench", "table", f"folder={tmp_path}"]) == 2
    assert "bench decode output=" in capsys.readouterr().err


def test_rendering_twice_gives_the_same(folder):
    assert render(folder) == render(folder)


def test_committed_tables_follow_from_their_documents():
    place = ROOT / "results" / "bench"
    assert not list(place.glob("*.json")) or not render(place).stale
