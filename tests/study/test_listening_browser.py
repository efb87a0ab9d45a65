"""The listening page in a real browser: it loads from a disk, its audio plays, and switching keeps the place."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from musicbench.commands.table import main
from tests.study.browser import MARKS, Browser

pytestmark = MARKS

RATE = 8000
TABLE = {
    "title": "Three systems",
    "protocol": "Silence.",
    "reference_row": "delay",
    "rows": [{"row": row, "label": row.title()} for row in ("flat", "delay", "parallel")],
    "columns": {"Quality": [{"key": "metrics.fad", "label": "FAD"}]},
}
# Seconds of audio of each prompt's systems.
SECONDS = ((60.0, 50.0, 58.0), (40.0, 45.0, 0.0))


@pytest.fixture(scope="module")
def page(tmp_path_factory: Any, make_record: Any, write_table: Any) -> Path:
    """A page of three systems and two prompts, each clip of its own length; the last clip is missing."""
    folder = tmp_path_factory.mktemp("table")
    records = [make_record(row) for row in ("flat", "delay", "parallel")]
    for row, record in enumerate(records):
        record["clips"][0]["id"] = "a/b #1%41?ü@3"
        for prompt, name in enumerate(("a_b #1%41?ü@3", "clip2")):
            if (row, prompt) == (2, 1):
                continue
            stem = folder / "samples" / f"{record['row']}-seed0" / name
            stem.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(f"{stem}.flac", np.zeros(int(RATE * SECONDS[prompt][row])), RATE)
            Path(f"{stem}.txt").write_text("<script>window.poisoned = 1</script>\n", encoding="utf-8")
    assert main([str(write_table(folder, records, TABLE))]) == 0
    return folder / "listen.html"


@pytest.fixture
def loaded(browser: Browser, page: Path) -> Browser:
    """The browser with the page opened from the disk, all metadata read."""
    browser.open(page)
    return browser


def test_it_loads_from_a_disk_without_complaint(loaded: Browser, page: Path) -> None:
    durations = loaded.evaluate("[...document.querySelectorAll('audio')].map(a => a.duration)")
    assert durations == pytest.approx([*SECONDS[0], *SECONDS[1][:2]], abs=0.01)
    assert loaded.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)") == [480] * 5
    assert loaded.evaluate("typeof window.poisoned") == "undefined"
    assert loaded.complaints == []
    assert {url.partition(":")[0] for url in loaded.requests} <= {"file", "data"}
    assert any(url.endswith(".flac") for url in loaded.requests)


def test_control_complaints_are_heard(loaded: Browser) -> None:
    loaded.evaluate("console.error('control')")
    loaded.evaluate("setTimeout(() => { throw new Error('late') })")
    loaded.evaluate("new Promise(resolve => setTimeout(resolve, 20))")
    for word in ("control", "late"):
        assert any(word in complaint for complaint in loaded.complaints)


def test_one_plays_and_switching_keeps_the_place(loaded: Browser) -> None:
    assert start(loaded, 0) < 0.05
    loaded.wait("players[0].audio.currentTime > 0.3")
    began = start(loaded, 1)
    assert playing(loaded) == [1]
    stopped = loaded.evaluate("players[0].audio.currentTime")
    assert stopped > 0.3
    assert began == pytest.approx(stopped, abs=0.1)
    # Another prompt has a place of its own.
    assert start(loaded, 3) < 0.05
    assert playing(loaded) == [3]
    loaded.wait("players[3].audio.currentTime > 0")
    press(loaded, 3)
    loaded.wait("players[3].audio.paused")
    assert playing(loaded) == []
    assert start(loaded, 3) > 0, "a pause is no stop"
    assert loaded.complaints == []


def test_moving_the_slider_moves_all_systems_of_the_prompt(loaded: Browser) -> None:
    loaded.evaluate(
        "(slider => { slider.value = 4.5; slider.dispatchEvent(new Event('input')) })"
        "(document.querySelectorAll('.view input')[1])"
    )
    times = loaded.evaluate("[...document.querySelectorAll('.time output')].map(o => o.textContent)")
    assert times == ["0:04.5", "0:04.5", "0:04.5", "0:00.0", "0:00.0"]
    assert start(loaded, 2) == pytest.approx(4.5, abs=0.1)


def test_a_shorter_clip_begins_again(loaded: Browser) -> None:
    loaded.evaluate("players[0].prompt.position = 55")
    assert start(loaded, 0) == pytest.approx(55, abs=0.1)
    assert start(loaded, 1) < 0.05


def test_keys(loaded: Browser) -> None:
    loaded.key("2")
    loaded.wait("!players[1].audio.paused")
    loaded.key("1")
    loaded.wait("!players[0].audio.paused")
    assert playing(loaded) == [0]
    loaded.key("9")
    loaded.key(" ")
    loaded.wait("players[0].audio.paused")
    loaded.key(" ")
    loaded.wait("!players[0].audio.paused")
    assert playing(loaded) == [0]
    # The third system has no audio in the second prompt: its key does nothing there.
    start(loaded, 3)
    loaded.key("3")
    assert playing(loaded) == [3]
    # Space on a button is the button's own.
    loaded.evaluate("document.querySelectorAll('.prompt button')[1].focus()")
    loaded.key(" ")
    loaded.wait("!players[1].audio.paused")
    assert playing(loaded) == [1]


def test_nothing_is_wider_than_a_phone(loaded: Browser) -> None:
    loaded.resize(360)
    assert loaded.evaluate("document.documentElement.scrollWidth") == 360
    loaded.resize(0)


def press(browser: Browser, number: int) -> None:
    browser.evaluate(f"document.querySelectorAll('.prompt button')[{number}].click()")


def start(browser: Browser, number: int) -> float:
    """Press a button and tell where its audio begins; it may have played some milliseconds when the page says so."""
    began: float = browser.evaluate(
        f"new Promise(done => {{ const audio = players[{number}].audio;"
        " audio.addEventListener('play', () => done(audio.currentTime), {once: true});"
        f" document.querySelectorAll('.prompt button')[{number}].click() }})"
    )
    return began


def playing(browser: Browser) -> list[int]:
    """Numbers of the players that play, by the audio and by the buttons alike."""
    sounding = browser.evaluate("players.flatMap((p, i) => p.audio.paused ? [] : [i])")
    browser.wait(
        "JSON.stringify([...document.querySelectorAll('.prompt button')].flatMap((b, i) =>"
        f" b.getAttribute('aria-pressed') === 'true' ? [i] : [])) === '{json.dumps(sounding, separators=(',', ':'))}'"
    )
    found: list[int] = sounding
    return found
