"""Markdown, CSV, figure and the sentence, rendered from synthetic records."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from musicbench.study.cells import Cell
from musicbench.study.delimited import render_csv
from musicbench.study.figure import draw_figure
from musicbench.study.markdown import format_cell, render_markdown
from musicbench.study.run_record import RunRecord
from musicbench.study.table import build_table, load_table
from musicbench.study.wording import cell_text

Make = Callable[..., RunRecord]
BITS: Any = {"key": "metrics.bits_per_frame", "label": "Bits/frame", "decimals": 2}
DIFFERENCE: Any = {**BITS, "difference": True}


@pytest.mark.parametrize(
    "cell, column, text",
    [
        (Cell("value", 12.345, 11.0, 13.5), BITS, "12.35 [11.00, 13.50]"),
        (Cell("value", 12.345, 11.0, 13.5, best=True), BITS, "**12.35** [11.00, 13.50]"),
        (Cell("value", -0.5, -0.9, -0.1, p_value=0.01), DIFFERENCE, "−0.50 [−0.90, −0.10]\\*"),
        (Cell("value", 0.5, 0.1, 0.9, p_value=0.06), DIFFERENCE, "+0.50 [+0.10, +0.90]"),
        (Cell("value", 1.0, -np.inf, np.inf), BITS, "1.00 [one piece]"),
        (Cell("value", 9_400_000), {**BITS, "decimals": 1, "divide_by": 1e6}, "9.4"),
        (Cell("value", 12345), {**BITS, "decimals": 0}, "12,345"),
        (Cell("absent"), BITS, "–"),
        (Cell("missing"), BITS, "missing"),
        (Cell("failed"), BITS, "failed"),
    ],
)
def test_cells(cell: Cell, column: Any, text: str) -> None:
    assert format_cell(cell_text(cell, column)) == text


def test_markdown_is_a_grid_with_a_caption_that_tells_the_protocol(spec: Any, records: list[RunRecord]) -> None:
    text = render_markdown(build_table(spec, records))
    assert "24 clips of 5 s from 12 test pieces; judge musicnn" in text
    assert "Test CPU, 2 of 4 cores" in text and "do not compare with published ones" in text
    grids = [block for block in text.split("\n\n") if block.startswith("| Row")]
    assert len(grids) == 3
    for grid in grids:
        assert len({re.sub(r"\\\|", "", line).count("|") for line in grid.splitlines()}) == 1
    assert [line.split("|")[1].strip() for line in grids[0].splitlines()[2:]] == [row["label"] for row in spec["rows"]]
    published = dict((line.split("|")[1].strip(), line.split("|")[3:5]) for line in grids[2].splitlines())
    assert [text.strip() for text in published["Delay"]] == ["0.96", "0.52"]
    assert [text.strip() for text in published["Flattening"]] == ["0.86", "–"]
    assert "Each trained row is one training seed" in text
    assert "channels" not in text


def test_a_stereo_codec_says_how_judges_hear_it(spec: Any, records: list[RunRecord]) -> None:
    for record in records:
        codec = record["protocol"]["codec"]
        assert codec is not None
        codec["channels"] = 2
    text = render_markdown(build_table(spec, records))
    assert f"({codec['sha256'][:8]}), whose channels judges hear averaged; Test CPU" in text


def test_a_table_with_clap_mini_says_what_it_is(spec: Any, records: list[RunRecord]) -> None:
    assert "clap_mini" not in render_markdown(build_table(spec, records))
    spec["columns"]["Quality"].append({"key": "metrics.clap_mini", "label": "clap_mini"})
    assert "FAD, KLD and clap_mini share one network" in render_markdown(build_table(spec, records))
    for record in records:
        recall = {"text_to_audio": {"1": 0.4, "10": 0.84}, "audio_to_text": {"1": 0.36, "10": 0.8}}
        figures = {"pieces": 45, "chance": {"1": 1 / 45, "10": 10 / 45}, "recall": recall}
        record["protocol"]["clap_mini"] = {"id": "clap_mini", "sha256": "c1a9" * 16, **figures}  # type: ignore[typeddict-item]
    text = render_markdown(build_table(spec, records))
    assert (
        "retrieval among 45 held-out pieces (c1a9c1a9): text to audio R@1 40%, R@10 84%; "
        "audio to text R@1 36%, R@10 80%; chance R@1 2%, R@10 22%."
    ) in text
    assert "CLAP" not in text.replace("It is not CLAP", "")


def test_a_table_without_records_renders(spec: Any) -> None:
    text = render_markdown(build_table(spec, []))
    assert "There is no record yet." in text
    assert text.count(" missing |") >= len(spec["rows"])


def test_csv_holds_unscaled_numbers_and_ends(spec: Any, records: list[RunRecord]) -> None:
    table = build_table(spec, records)
    lines = {line["row"]: line for line in csv.DictReader(io.StringIO(render_csv(table)))}
    assert list(lines) == [row["row"] for row in spec["rows"]]
    assert float(lines["delay"]["parameters"]) == 9.4e6
    assert float(lines["delay"]["metrics.fad"]) == 4.0
    low, high = (float(lines["flat"][f"metrics.bits_per_frame_difference_{end}"]) for end in ("low", "high"))
    assert low < -0.9 < high
    assert lines["original"]["metrics.bits_per_frame"] == ""
    assert lines["magnet"]["metrics.fad"] == lines["magnet"]["kind"] == "missing"


def test_figure_shows_points_and_lines(tmp_path: Path, table_folder: Path, monkeypatch: Any) -> None:
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn.append(self), save(self, *a, **k))[1])
    draw_figure(load_table(table_folder), tmp_path / "figure.png")
    assert imread(tmp_path / "figure.png").std() > 0.01
    bits, fad = drawn[0].axes
    assert {text.get_text() for text in bits.texts} == {"Flattening", "Delay", "Parallel"}
    assert {"Original audio", "Codec reconstruction"} < {text.get_text() for text in fad.texts}
    assert "RTF, batch 1" in fad.get_xlabel() and "FAD" in fad.get_ylabel()
    boxes = [text.get_window_extent() for text in fad.texts]
    assert not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_figure_of_an_empty_table(tmp_path: Path, spec: Any) -> None:
    draw_figure(build_table(spec, []), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0
