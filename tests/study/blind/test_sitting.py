"""The blind comparison in a real browser: a whole sitting by keys, and sittings that go wrong."""

import csv
import time
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from musicbench import cli
from musicbench.study.answers import read_sheet
from tests.study.blind.sitting import AMPLITUDES, PROMPTS, answer, hear, start
from tests.study.browser import MARKS, Browser

pytestmark = MARKS


def test_a_sitting_by_keys(page: Browser, folder: Path, tmp_path: Path, capsys: Any) -> None:
    start(page)
    drawn = page.evaluate("trials")
    page.key("1")
    assert page.evaluate("byId('trial-said').textContent") == "Listen to both A and B first."
    page.key("n")
    assert page.evaluate("byId('trial-said').textContent").startswith("Answer first")
    page.key(" ")
    page.wait("pair.heard === 'A'")
    page.key(" ")
    page.wait("!pair.playing")
    hear(page, "B")
    assert page.evaluate("byId('trial-said').textContent") == "You have heard both; which do you prefer?"
    page.key("1")
    page.key("2")
    assert page.evaluate("[...document.querySelectorAll('[data-answer]')].map(b => b.ariaPressed)") == [
        "false",
        "true",
        "false",
    ]
    # Typing is not steering.
    page.evaluate("byId('trial-comment').focus()")
    for letter in "1n ab":
        page.key(letter)
    page.call("Input.insertText", text=', "ab"')
    assert page.evaluate("byId('trial-comment').value") == '1n ab, "ab"'
    assert page.evaluate("[sitting.at, record().answer, pair.side]") == [0, "B", "B"]
    page.evaluate("trialView.focus()")
    page.key("n")
    answer(page, "1")
    hear(page, "B")
    # A reload goes on at the same trial, with what was heard.
    page.open(folder / "listen.html")
    assert page.evaluate("byId('trial-name').textContent") == "Trial 3 of 6"
    assert page.evaluate("trials") == drawn
    assert page.evaluate("pair.heard") == "B"
    hear(page, "A")
    page.key("3")
    page.key("n")
    for key in "123":
        answer(page, key)
    assert page.evaluate("byId('trial').hidden && document.querySelectorAll('.prompt').length === 2")
    assert page.evaluate("document.title") == "Animals: listen"
    page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.evaluate("byId('ab-sheet').click()")
    path = wait_for_file(tmp_path)
    assert path.read_text(encoding="utf-8") == page.evaluate("sheetText(sitting)")
    sheet = read_sheet(path)
    rows = list(AMPLITUDES)
    clips = list(PROMPTS)
    said = ["B", "A", "none", "A", "B", "none"]
    found = [(one.trial, one.prompt, one.system_a, one.system_b, one.answer) for one in sheet.answers]
    assert found == [
        (n + 1, clips[trial["prompt"]], rows[trial["a"]], rows[trial["b"]], said[n]) for n, trial in enumerate(drawn)
    ]
    with path.open(encoding="utf-8", newline="") as stream:
        matched = [line["matched"] for line in csv.DictReader(stream)]
    # The faintest is more than the 20 dB below that a clip is turned down.
    assert matched == ["no" if "three" in one[2:4] else "yes" for one in found] and {*matched} == {"yes", "no"}
    assert sheet.unmatched == matched.count("no")
    text = path.read_text(encoding="utf-8")
    assert '"club"' in text and '"1n ab, ""ab"""' in text and '"BA","none"' in text and '"yes"' in text
    assert check_tally(page, found)
    assert cli.main(["answers", str(path), "--table", str(folder)]) == 0
    assert capsys.readouterr().out.startswith("Animals: 6 answers on 1 sheets")
    # Finished answers are still there after a reload, and a new sitting forgets them.
    page.open(folder / "listen.html")
    assert page.evaluate("sheetText(sitting)") == text
    page.evaluate("byId('ab-again').click()")
    assert page.evaluate("localStorage.length") == 0
    assert page.complaints == []


def wait_for_file(folder: Path) -> Path:
    end = time.monotonic() + 30
    while not (found := list(folder.glob("answers-*.csv"))):
        assert time.monotonic() < end, "no sheet was downloaded"
        time.sleep(0.05)
    return found[0]


def check_tally(page: Browser, answers: list[tuple[int, str, str, str, str]]) -> bool:
    lines = page.evaluate("[...byId('ab-tally').rows].map(row => [...row.cells].map(cell => cell.textContent))")
    assert [line[0] for line in lines] == ["Okapi", "Bongo", "Kudu"]
    for row, line in zip(("one", "two", "three"), lines, strict=True):
        preferred = [{"A": a, "B": b}.get(said, "") for _, _, a, b, said in answers if row in (a, b)]
        wins, ties = preferred.count(row), preferred.count("")
        count = len(preferred) - ties
        assert [int(cell) for cell in line[1:4]] == [wins, count - wins, ties]
        ends = binomtest(wins, count).proportion_ci(method="wilson")
        shares = [f"{100 * share:.0f} %" for share in (wins / count, ends.low, ends.high)]
        assert line[4] == f"{shares[0]} [{shares[1]}, {shares[2]}]"
    return True


def test_wilson_and_an_early_end(page: Browser) -> None:
    for wins, count in ((0, 3), (3, 3), (7, 20), (499, 500)):
        ends = binomtest(wins, count).proportion_ci(method="wilson")
        assert page.evaluate(f"wilson({wins}, {count})") == pytest.approx([ends.low, ends.high], abs=1e-6)
    start(page)
    answer(page, "2")
    page.evaluate("window.confirm = () => false; byId('trial-end').click()")
    assert not page.evaluate("sitting.done")
    page.evaluate("window.confirm = () => true; byId('trial-end').click()")
    assert page.evaluate("byId('ab-said').textContent") == "1 of 6 trials answered, seed club."
    assert page.evaluate("sheetText(sitting).split('\\n').length") == 3
    # The keys of the page's own players are back.
    page.key("1")
    page.wait("players.some(player => !player.audio.paused)")
    page.key(" ")


def test_a_clip_that_does_not_play_is_left_out(page: Browser) -> None:
    page.evaluate("for (const {clips} of comparison.prompts) clips[1].address = 'samples/nowhere.flac'")
    page.evaluate("document.querySelectorAll('[name=system]').forEach((box, n) => box.checked = n < 2)")
    start(page, count=1)
    page.wait("record().answer === 'failed'")
    assert "cannot be played" in page.evaluate("byId('trial-said').textContent")
    page.key("1")
    page.key("n")
    assert page.evaluate("sheetText(sitting)").count('"failed"') == 1
    assert page.evaluate("tally(sitting).map(({wins, losses, ties}) => [wins, losses, ties])") == [[0, 0, 0]] * 2


def test_without_a_store_the_sitting_still_goes(page: Browser) -> None:
    page.evaluate("Storage.prototype.setItem = () => { throw new Error('full') }")
    start(page, count=1)
    assert page.evaluate("byId('trial-kept').checkVisibility()")
    answer(page, "1")
    assert page.evaluate("sheetText(sitting)").count("\n") == 2
    assert page.complaints == []


def test_a_phone(page: Browser) -> None:
    page.resize(390)
    fits = "document.scrollingElement.scrollWidth <= innerWidth"
    assert page.evaluate(fits) and page.small_targets() == []
    start(page, count=1)
    assert page.evaluate(fits) and page.small_targets() == []
    answer(page, "1")
    assert page.evaluate(fits) and page.small_targets() == []
    page.resize(0)
