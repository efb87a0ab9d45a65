"""The listening page: a table and its audio as one static HTML page, for a browser without a network."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib import colormaps
from matplotlib.colors import to_hex

from musicbench.names import require_inside, visible
from musicbench.study.cells import Cell, Row
from musicbench.study.listening import Clip, Prompt, audio_hash
from musicbench.study.page.content import comparison, exact, plot
from musicbench.study.samples import SAMPLES
from musicbench.study.sentence import trust_sentence
from musicbench.study.spectrogram import COLOURS, HIGHEST, LOWEST, RANGE, draw_spectrograms, height_of
from musicbench.study.table import Table
from musicbench.study.wording import caption, cell_text, heading, reading_notes

PICTURES = "spectrograms"
SCRIPTS = (
    "base.js", "player.js", "table.js", "axis.js", "plot.js",
    "ab_draw.js", "ab_sheet.js", "ab_player.js", "ab.js", "ab_start.js",
)  # fmt: skip
TICKS = {100: "100", 1000: "1k", 10000: "10k"}


def render_page(table: Table, rows: Sequence[Row], prompts: Sequence[Prompt], folder: Path, output: Path) -> str:
    """The page as HTML text, to be written into ``output``; the same files give the same bytes.

    Args:
        rows: the systems, in the order of each prompt's clips.
        folder: where the table's audio lies; the page refers to it by relative path.
    """

    def audio(clip: Clip) -> str:
        return _address(folder / SAMPLES / f"{clip.name}.flac", output)

    def picture(clip: Clip) -> str:
        return _address(output / PICTURES / f"{clip.name}.png", output)

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True, finalize=_shown,
    )  # fmt: skip
    environment.filters |= {"clock": _clock, "audio": audio, "picture": picture, "number": _number}
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    trained = any(record["kind"] == "trained" for record in table.records)
    return environment.get_template("page.html").render(
        spec=table.spec,
        measured=caption(table),
        trust=trust_sentence(table.records, table.spec.get("varied", [])) if trained else "",
        parts=_parts(table),
        notes=[*reading_notes(table), *table.notes],
        rows=rows,
        prompts=prompts,
        scripts=SCRIPTS,
        plot=plot(table),
        comparison=comparison(table.spec["title"], audio_hash(folder, rows, prompts), rows, prompts, audio),
        ticks=[(name, f"{100 * height_of(frequency):.1f}") for frequency, name in TICKS.items()],
        colours=[to_hex(colormaps[COLOURS](i / 8)) for i in range(9)],
        decibels=RANGE,
        band=f"{LOWEST} Hz to {HIGHEST / 1000:g} kHz",
    )


def draw_pictures(prompts: Sequence[Prompt], folder: Path, output: Path) -> None:
    """Draw the spectrograms that the page shows, each prompt on a scale of its own.

    Raises:
        UserError: a picture cannot be written, or a link leads out of ``output``.
    """
    for prompt in prompts:
        names = [clip.name for clip in prompt.clips if clip.seconds is not None]
        for name in names:
            require_inside((output / PICTURES / name).parent, output)
        draw_spectrograms({folder / SAMPLES / f"{name}.flac": output / PICTURES / f"{name}.png" for name in names})


def _shown(value: Any) -> Any:
    """The page's text for a value; markup, which holds escaped data for the scripts, stays as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _parts(table: Table) -> list[dict[str, object]]:
    """The groups of columns: heading, column headings, and a line of (cell, text) pairs for each row."""
    parts: list[dict[str, object]] = []
    start = 0
    for name, columns in table.spec["columns"].items():
        stop = start + len(columns)
        lines = [
            (
                row,
                [(cell, cell_text(cell, column)) for cell, column in zip(row.cells[start:stop], columns, strict=True)],
            )
            for row in table.rows
        ]
        parts.append({"name": name, "headings": [_unbroken(heading(column)) for column in columns], "lines": lines})
        start = stop
    return parts


def _number(cell: Cell) -> str:
    """The number by which rows are sorted; empty where there is none."""
    return f"{exact(cell.value)}" if cell.state == "value" and math.isfinite(cell.value) else ""


def _unbroken(name: str) -> str:
    """A heading whose arrow stays with the last word."""
    return "\N{NO-BREAK SPACE}".join(name.rsplit(" ", 1)) if name.endswith(("↓", "↑")) else name


def _address(path: Path, output: Path) -> str:
    """A relative URL, so that the folder can be moved, sent and opened from a disk."""
    # By bytes, because folders may have names that are no text.
    return quote(os.fsencode(Path(os.path.relpath(path, output)).as_posix()))


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"
