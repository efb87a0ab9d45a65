"""A page of four systems in a real browser."""

from pathlib import Path
from typing import Any

import pytest

from musicbench.commands.table import main
from tests.study.blind.sitting import AMPLITUDES, LABELS, PROMPTS
from tests.study.browser import Browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any, make_record: Any, write_table: Any, write_tone: Any) -> Path:
    """Four systems of two prompts, each as loud and as long as none other; a fifth is not run."""
    folder = tmp_path_factory.mktemp("blind")
    spec = {
        "title": "Animals",
        "protocol": "Tones.",
        "reference_row": "one",
        "rows": [{"row": row, "label": label} for row, label in LABELS.items()],
        "columns": {"Quality": [{"key": "metrics.fad", "label": "FAD"}]},
    }
    records = [make_record(row, kind="reference" if row == "ref" else "trained") for row in AMPLITUDES]
    write_table(folder, records, spec)
    for length, (row, amplitude) in enumerate(AMPLITUDES.items()):
        for clip, caption in PROMPTS.items():
            write_tone(folder, row, clip, seconds=20 + length, amplitude=amplitude, caption=caption)
    assert main([str(folder)]) == 0
    return folder


@pytest.fixture
def page(browser: Browser, folder: Path) -> Browser:
    """The page, never used before."""
    browser.call("Page.navigate", url=folder.as_uri())
    browser.evaluate("localStorage.clear()")
    browser.open(folder / "listen.html")
    return browser
