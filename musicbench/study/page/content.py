"""The data of the page's scripts: the numbers of the plot, and the clips of the blind comparison."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from musicbench.study.answers import COLUMNS
from musicbench.study.cells import Cell, Row
from musicbench.study.figure import COLOURS, MARKERS, trained_families
from musicbench.study.listening import Clip, Prompt
from musicbench.study.run_record import MODELS
from musicbench.study.table import Table
from musicbench.study.table_spec import ColumnSpec
from musicbench.study.wording import ARROWS, cell_text, heading

MOST_ATTENUATION = 20
"""Decibels by which a clip is turned down at most to match another: beyond them the pair would hardly be heard."""


def exact(value: float) -> float:
    """A number for the page: 12 digits, because sums of different processors differ in those after them."""
    return float(f"{value:.12g}")


def plot(table: Table) -> dict[str, Any] | None:
    """Columns, rows and styles of the plot, and the columns ``x`` and ``y`` to begin with; None below two columns.

    Only plain columns with a number are there; a row's ``cells`` follow them, null where the row has no number.
    """
    indices = [
        index
        for index, column in enumerate(table.columns)
        if not column.get("difference") and any(_shown(row.cells[index]) for row in table.rows)
    ]
    if len(indices) < 2:
        return None
    columns = [table.columns[index] for index in indices]
    families = trained_families(table)
    x, y = _first_axes(table, [column["key"] for column in columns])
    return {
        "columns": [_axis(column) for column in columns],
        "rows": [
            {
                "label": row.spec["label"],
                "family": families.index(row.spec.get("family", "")) if row.kind in MODELS else None,
                "cells": [_point(row.cells[index], table.columns[index]) for index in indices],
            }
            for row in table.rows
        ],
        "families": families,
        "markers": MARKERS,
        "colours": COLOURS,
        "x": x,
        "y": y,
    }


def comparison(
    title: str, audio_hash: str, rows: Sequence[Row], prompts: Sequence[Prompt], address: Callable[[Clip], str]
) -> dict[str, Any] | None:
    """Systems, prompts and clips of the blind comparison; None unless two systems share a prompt.

    To begin with, the trained systems are chosen (all if fewer than two are) and a trial for each of their pairs.
    Clips are one for each of the systems that have audio, null where a prompt lacks it; ``loudness`` in LUFS is null
    for a silent clip.
    """
    heard = [index for index in range(len(rows)) if any(prompt.clips[index].seconds is not None for prompt in prompts)]
    if not any(sum(clip.seconds is not None for clip in prompt.clips) > 1 for prompt in prompts):
        return None
    trained = [index for index in heard if rows[index].kind in MODELS]
    chosen = trained if len(trained) > 1 else heard
    return {
        "title": title,
        "audio": audio_hash,
        "trials": min(max(len(chosen) * (len(chosen) - 1) // 2, 10), 30),
        "sheet": COLUMNS,
        "attenuation": MOST_ATTENUATION,
        "systems": [
            {
                "row": rows[index].spec["row"],
                "label": rows[index].spec["label"],
                "chosen": index in chosen,
            }
            for index in heard
        ],
        "prompts": [
            {
                "name": prompt.name,
                "caption": prompt.caption or prompt.name,
                "clips": [_clip(prompt.clips[index], address) for index in heard],
            }
            for prompt in prompts
        ],
    }


def _first_axes(table: Table, keys: list[str]) -> tuple[int, int]:
    """The axes of the table's figure, else speed and the first metric, each by its place among ``keys``."""
    figure = table.spec.get("figure")
    if figure and figure["x"] in keys and figure["y"][0] in keys:
        return keys.index(figure["x"]), keys.index(figure["y"][0])
    speeds = [n for n, key in enumerate(keys) if key.startswith("speed.") and key.endswith(".rtf")]
    metrics = [n for n, key in enumerate(keys) if key.startswith("metrics.")]
    y = metrics[0] if metrics else 0
    x = speeds[0] if speeds else next(n for n in range(len(keys)) if n != y)
    return x, y


def _axis(column: ColumnSpec) -> dict[str, str]:
    name = heading(column).removesuffix(ARROWS[column["better"]]) if "better" in column else heading(column)
    return {"name": name, "better": column.get("better", "")}


def _shown(cell: Cell) -> bool:
    return cell.state == "value" and math.isfinite(cell.value)


def _point(cell: Cell, column: ColumnSpec) -> dict[str, Any] | None:
    """A cell's value and interval as printed and as numbers, in the column's unit."""
    if not _shown(cell):
        return None
    scale = column.get("divide_by", 1)
    known = cell.low is not None and cell.high is not None and math.isfinite(cell.low) and math.isfinite(cell.high)
    ends = [cell.low, cell.high] if known else []
    text = cell_text(cell, column)
    return {
        "value": exact(cell.value / scale),
        "ends": [exact(end / scale) for end in ends if end is not None],
        "text": f"{text.value} {text.interval}".strip(),
    }


def _clip(clip: Clip, address: Callable[[Clip], str]) -> dict[str, Any] | None:
    if clip.seconds is None:
        return None
    level = None if clip.loudness is None else round(clip.loudness, 2)
    return {"address": address(clip), "seconds": clip.seconds, "loudness": level}
