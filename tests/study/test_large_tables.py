"""Tables of many rows: what each costs is counted, and what is cut short gives what the long way gives."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from musicbench import schema
from musicbench.study import figure, statistics
from musicbench.study.records import read_record, write_record
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table

Make = Callable[..., RunRecord]
ROWS = 24


@pytest.fixture
def many(spec: Any, make_record: Make) -> tuple[Any, list[RunRecord]]:
    """A table of ``ROWS`` trained rows of three families whose points lie close together."""
    random = np.random.default_rng(0)
    names = ["delay", *(f"row{number}" for number in range(1, ROWS))]
    del spec["published"]
    spec["rows"] = [
        {"row": name, "label": f"{name} of a long name", "family": "abc"[number % 3]}
        for number, name in enumerate(names)
    ]
    records = [
        make_record(name, bits=20 + random.normal(), fad=4 + random.random(), rtf=0.4 + random.random())
        for name in names
    ]
    return spec, records


def test_pieces_are_drawn_once_for_all_cells(many: Any) -> None:
    spec, records = many
    statistics._drawn.cache_clear()
    build_table(spec, records)
    found = statistics._drawn.cache_info()
    assert found.misses == 1 and found.hits > 3 * ROWS


def test_kept_draws_are_those_of_the_generator() -> None:
    values_N = np.random.default_rng(1).normal(size=34)
    pieces_N = [f"piece{n // 2}" for n in range(34)]
    drawn_RP = np.random.default_rng(0).multinomial(17, np.full(17, 1 / 17), size=2000)
    sums_P = np.array([values_N[[piece == p for piece in pieces_N]].sum() for p in sorted(set(pieces_N))])
    means_R = (drawn_RP @ sums_P) / (2 * 17)
    for _ in range(2):
        found = statistics.interval(values_N, pieces_N)
        assert found.error == pytest.approx(means_R.std() * np.sqrt(17 / 16), rel=1e-12)
        assert means_R.min() <= found.low < found.value < found.high <= means_R.max()


def test_a_record_is_not_checked_number_by_number(tmp_path: Path, make_record: Make, monkeypatch: Any) -> None:
    write_record(tmp_path / "record.json", make_record("delay"))
    calls, check = [], schema.check
    monkeypatch.setattr(schema, "check", lambda *arguments: (calls.append(1), check(*arguments))[1])
    numbers = sum(len(part) for metric in make_record("delay")["metrics"].values() for part in metric.values()
                  if isinstance(part, np.ndarray))  # fmt: skip
    read_record(tmp_path / "record.json")
    assert len(calls) < numbers


def long_way(panel: Any) -> list[tuple[float, float]]:
    """Where labels go if each is laid out at each place and compared with each box, one by one."""
    texts = [text for text in panel.texts if text.get_gid() == "point"]
    taken = [text.get_window_extent() for text in panel.texts if text.get_gid() == "line"]
    for text in texts:
        x, y = panel.transData.transform(text.xy)
        taken.append(_box(x - 6, y - 6, x + 6, y + 6))
    for container in panel.containers:
        taken += [_box(*panel.transData.transform(end).ravel()) for end in container.lines[2][0].get_segments()]
    taken.append(panel.get_legend().get_window_extent())
    frame, chosen = panel.get_window_extent(), []
    for text in texts:
        scored = []
        for place in figure.PLACES:
            text.set_position(place)
            text.set_horizontalalignment("left" if place[0] > 0 else "right")
            box = text.get_window_extent()
            outside = box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1
            scored.append((outside + sum(box.overlaps(other) for other in taken), len(scored), place, box))
        _, _, place, box = min(scored, key=lambda entry: entry[:2])
        chosen.append(place)
        taken.append(box)
    return chosen


def _box(*ends: float) -> Bbox:
    return Bbox(np.reshape(ends, (2, 2)))


def test_labels_stand_where_the_long_way_puts_them(many: Any, tmp_path: Path, monkeypatch: Any) -> None:
    place, extent = figure._place_labels, Annotation.get_window_extent
    laid_out: list[Annotation] = []

    def compared(panel: Any) -> None:
        with monkeypatch.context() as patch:
            noted = lambda self, *rest: (laid_out.append(self), extent(self, *rest))[1]  # noqa: E731
            patch.setattr(Annotation, "get_window_extent", noted)
            place(panel)
        places = [text.get_position() for text in panel.texts if text.get_gid() == "point"]
        assert len(places) == ROWS and len(set(places)) > 3, "labels that lie close together are put apart"
        assert places == long_way(panel)

    monkeypatch.setattr(figure, "_place_labels", compared)
    figure.draw_figure(build_table(*many), tmp_path / "figure.png")
    # Once for its own place, and once where the legend asks what it would cover.
    assert 2 * ROWS <= len(laid_out) <= 2 * 2 * ROWS


RC = "text.usetex: True\naxes.facecolor: red\nfigure.facecolor: red\nsavefig.facecolor: red\n"


def test_a_matplotlibrc_of_the_current_folder_has_no_say(tmp_path: Path) -> None:
    """It could have LaTeX run, which reads files."""
    drawn = []
    for name, text in (("plain", ""), ("stranger", RC)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "matplotlibrc").write_text(text)
        source = Path(__file__).parents[2] / "results" / "demo"
        shutil.copytree(source, folder / "table")
        command = [sys.executable, "-m", "musicbench.cli", "table", "table"]
        environment = os.environ | {"PYTHONPATH": str(source.parents[1])}
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
        drawn.append((folder / "table" / "figure.png").read_bytes())
    assert drawn[0] == drawn[1]
