"""The page's table and plot in a real browser: sorting by hidden numbers, points where the numbers are, a phone."""

import json
import math
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from musicbench.commands.table import main
from musicbench.study.figure import COLOURS
from musicbench.study.table import Table, load_table
from tests.study.browser import MARKS, Browser

pytestmark = MARKS

POISON = "</script><script>window.poisoned = 1</script>"
# Of the rows of conftest's table, in its order.
ROWS = ("Original audio", "Codec reconstruction", f"Flattening {POISON}", "Delay", "Parallel", "MAGNeT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any, make_record: Any, write_table: Any, table_spec: Any, write_tone: Any) -> Path:
    """A table of two parts whose rows but the original have audio; MAGNeT is not run, and one speed is far off."""
    folder = tmp_path_factory.mktemp("page")
    spec = deepcopy(table_spec)
    for row, label in zip(spec["rows"], ROWS, strict=True):
        row["label"] = label
    kinds = {"original": "reference", "codec": "reference"}
    numbers = {
        "original": {"fad": 0.6},
        "codec": {"fad": 9.99},
        "flat": {"bits": 19.0, "fad": 10.2, "rtf": 14.0},
        # Equal to two decimals: only the numbers behind the texts tell them apart.
        "delay": {"bits": 20.0, "fad": 4.004, "rtf": 0.42},
        "parallel": {"bits": 22.0, "fad": 4.001, "rtf": 0.4},
    }
    records = [make_record(row, kind=kinds.get(row, "trained"), **values) for row, values in numbers.items()]
    write_table(folder, records, spec)
    for row in ("codec", "flat", "delay", "parallel"):
        write_tone(folder, row, "clip0", seconds=0.5)
    assert main([str(folder)]) == 0
    return folder


@pytest.fixture
def table(folder: Path) -> Table:
    return load_table(folder)


@pytest.fixture
def page(browser: Browser, folder: Path) -> Browser:
    browser.open(folder / "listen.html")
    browser.evaluate("localStorage.clear()")
    return browser


def names(browser: Browser, part: int) -> list[str]:
    """Row labels of a part of the table, as they stand now."""
    found: list[str] = browser.evaluate(
        f"[...document.querySelectorAll('table.sortable')[{part}].tBodies[0].rows]"
        ".map(row => row.cells[0].firstChild.textContent.trim())"
    )
    return found


def orders(browser: Browser, part: int) -> list[str]:
    found: list[str] = browser.evaluate(
        f"[...document.querySelectorAll('table.sortable')[{part}].tHead.rows[0].cells].map(cell => cell.ariaSort)"
    )
    return found


def focus_heading(browser: Browser, part: int, column: int) -> None:
    browser.evaluate(
        f"document.querySelectorAll('table.sortable')[{part}].tHead.rows[0].cells[{column}].querySelector('button').focus()"
    )


def test_a_heading_sorts_by_its_numbers(page: Browser, table: Table) -> None:
    cells = [row.cells[table.column("metrics.fad")] for row in table.rows]
    known = sorted((cell.value, label) for cell, label in zip(cells, ROWS, strict=True) if cell.state == "value")
    upwards = [label for _, label in known]
    # As texts 10.2 would come before 4.00, and the two of 4.00 would stay as they were.
    assert upwards == ["Original audio", "Parallel", "Delay", "Codec reconstruction", ROWS[2]]
    for key in ("Enter", " "):
        focus_heading(page, 0, 3)
        page.key(key)
        assert (names(page, 0), orders(page, 0)[3]) == ([*upwards, "MAGNeT"], "ascending")
        page.key(key)
        assert (names(page, 0), orders(page, 0)[3]) == ([*reversed(upwards), "MAGNeT"], "descending")
        page.key(key)
        assert (names(page, 0), orders(page, 0)[3]) == (list(ROWS), "none")
    assert page.complaints == []


def test_parts_sort_apart_and_missing_cells_are_last(page: Browser) -> None:
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    focus_heading(page, 1, 1)
    page.key(" ")
    focus_heading(page, 0, 1)
    page.key(" ")
    page.key(" ")
    missing = ["Original audio", "Codec reconstruction", "MAGNeT"]
    assert names(page, 1) == ["Parallel", "Delay", ROWS[2], *missing]
    assert names(page, 0) == ["Parallel", "Delay", ROWS[2], *missing]
    assert orders(page, 1)[1:3] == ["ascending", "none"]
    focus_heading(page, 0, 3)
    page.key(" ")
    assert orders(page, 0)[1:4] == ["none", "none", "ascending"], "one column at a time"
    assert orders(page, 1)[1] == "ascending"


def test_without_scripts_the_table_is_plain(folder: Path) -> None:
    text = (folder / "listen.html").read_text(encoding="utf-8").partition("<script>")[0].partition("<body>")[2]
    assert "aria-sort" not in text and 'class="sort"' not in text
    assert text.count("data-value=") > 20


def points(browser: Browser) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = browser.evaluate(
        "[...document.querySelectorAll('.point')].map(p => ({name: p.getAttribute('aria-label'),"
        " x: Number(p.querySelector('circle').getAttribute('cx')),"
        " y: Number(p.querySelector('circle').getAttribute('cy')),"
        " fill: p.querySelector('path').getAttribute('fill')}))"
    )
    return found


def choose(browser: Browser, axis: str, column: str) -> None:
    browser.evaluate(
        f"(select => {{ select.value = [...select.options].findIndex(o => o.text === {json.dumps(column)});"
        f" select.dispatchEvent(new Event('change')) }})(byId('plot-{axis}'))"
    )


def test_the_plot_begins_with_the_figure(page: Browser, table: Table) -> None:
    page.wait("document.querySelectorAll('.point').length === 3")
    assert page.evaluate("['plot-x', 'plot-y'].map(n => byId(n).selectedOptions[0].text)") == [
        "RTF, batch 1",
        "Bits/frame",
    ]
    x, y = table.column("speed.1.rtf"), table.column("metrics.bits_per_frame")
    rows = [row for row in table.rows if row.kind == "trained"]
    drawn = points(page)
    assert [point["fill"] for point in drawn] == 3 * [COLOURS[0]]
    # More than a decade of speeds: pixels are in proportion to logarithms, those of bits to the bits themselves.
    for place, expected in (
        ("x", [math.log(row.cells[x].value) for row in rows]),
        ("y", [row.cells[y].value for row in rows]),
    ):
        first, *others = [point[place] for point in drawn]
        shares = [(other - first) / (others[-1] - first) for other in others]
        wanted = [(value - expected[0]) / (expected[-1] - expected[0]) for value in expected[1:]]
        assert shares == pytest.approx(wanted, abs=1e-3)
    assert drawn[0]["y"] > drawn[2]["y"], "more bits are further up"
    words = page.evaluate("[...document.querySelectorAll('#plot .name')].map(t => t.textContent)")
    assert words == ["RTF, batch 1  ← lower is better", "Bits/frame  ↓ lower is better"]
    bars = "document.querySelectorAll('#plot .bar').length"
    assert page.evaluate(bars) == 6, "bits have intervals, times a spread"
    ticks = page.evaluate("[...document.querySelectorAll('#plot .axes text')].map(t => t.textContent)")
    assert {"0.5", "1", "2", "5", "10", "20"} <= set(ticks) and "20" in ticks


def test_a_point_says_its_numbers(page: Browser) -> None:
    page.wait("document.querySelectorAll('.point').length === 3")
    page.evaluate("document.querySelectorAll('.point')[1].focus()")
    said = page.evaluate("byId('plot-value').textContent")
    shown = page.evaluate("[...document.querySelectorAll('tbody tr')][3].cells[1].innerText.replace(/\\s+/g, ' ')")
    assert said == f"Delay (autoregressive): RTF, batch 1 0.420 [0.416, 0.428]; Bits/frame {shown}"
    assert said == points(page)[1]["name"]
    assert page.complaints == []


def test_other_columns(page: Browser, table: Table) -> None:
    choose(page, "x", "FAD")
    assert page.evaluate("[...document.querySelectorAll('.line')].length") == 0
    choose(page, "y", "KLD")
    drawn = points(page)
    assert [point["name"].partition(":")[0] for point in drawn] == [
        "Original audio", "Codec reconstruction", f"{ROWS[2]} (autoregressive)", "Delay (autoregressive)",
        "Parallel (autoregressive)",
    ]  # fmt: skip
    assert page.evaluate("document.querySelectorAll('#plot .bar').length") == 10, "both columns have intervals"
    choose(page, "x", "RTF, batch 1")
    lines = page.evaluate("[...document.querySelectorAll('.line')].map(line => line.getAttribute('aria-label'))")
    assert [line.partition(":")[0] for line in lines] == ["Original audio", "Codec reconstruction"]
    options = page.evaluate("[...byId('plot-x').options].map(o => o.text)")
    assert "Δ FAD" not in options and len(options) == 10, "plain columns alone"
    assert page.evaluate("typeof window.poisoned") == "undefined"


@pytest.mark.parametrize(
    ("low", "high", "logarithmic", "ticks"),
    [
        (0.0, 10.0, False, [0, 2, 4, 6, 8, 10]),
        (-0.05, 0.15, False, [-0.05, 0, 0.05, 0.1, 0.15]),
        (0.1, 20.0, True, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]),
        (1.0, 1e6, True, [1, 10, 100, 1000, 1e4, 1e5, 1e6]),
    ],
)
def test_ticks(page: Browser, low: float, high: float, logarithmic: bool, ticks: list[float]) -> None:
    kind = "logarithmicTicks" if logarithmic else "linearTicks"
    assert page.evaluate(f"{kind}({low}, {high}, 6)") == pytest.approx(ticks)
    assert page.evaluate(f"makeAxis([3, 3], 0, 100, {str(logarithmic).lower()}, 0.1).place(3)") == pytest.approx(50)
    assert page.evaluate("tickText(-0.1 - 0.2)") == "−0.3"


def test_a_phone(page: Browser) -> None:
    """Nothing leaves the screen, and what is touched is as large as a finger."""
    page.resize(390)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    page.wait("byId('plot').clientWidth < 390")
    assert page.evaluate("document.scrollingElement.scrollWidth <= innerWidth")
    assert page.evaluate(
        "byId('plot').getBoundingClientRect().right < byId('plot').parentElement.getBoundingClientRect().right"
    )
    texts = page.evaluate(
        "[...document.querySelectorAll('#plot text')].map(t => [t.textContent, t.getBoundingClientRect()])"
        ".map(([text, box]) => [text, box.left >= 0 && box.right <= innerWidth])"
    )
    # The poisoned label alone is longer than the screen.
    assert {text for text, whole in texts if not whole} <= {ROWS[2]}
    assert page.small_targets() == []
    page.resize(0)


def test_dark_colours(page: Browser) -> None:
    ask = "getComputedStyle(document.querySelector('.plot .name')).fill"
    light = page.evaluate(ask)
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    assert page.evaluate(ask) != light
    page.call("Emulation.setEmulatedMedia", features=[])
