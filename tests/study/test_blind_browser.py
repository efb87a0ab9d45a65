"""The blind comparison in a real browser: what trials are drawn, a whole sitting by keys, and what it must not tell."""

import csv
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest

from musicbench import cli
from musicbench.commands.table import main
from musicbench.study.answers import read_sheet
from tests.study.browser import MARKS, Browser

pytestmark = MARKS

# Words that nothing else on a page says.
LABELS = {"ref": "Quagga", "one": "Okapi", "two": "Bongo", "three": "Kudu", "new": "Nyala"}
AMPLITUDES = {"ref": 0.5, "one": 0.05, "two": 0.1, "three": 0.0005}
PROMPTS = {"clip0": "slow waltz", "clip2": "</script>fast <b>march</b>"}
SECRETS = (*LABELS.values(), "samples", "spectrograms", "flac", "-seed0")


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


def start(browser: Browser, seed: str = "club", count: int = 6) -> None:
    browser.evaluate(f"byId('ab-seed').value = '{seed}'; byId('ab-count').value = {count}; byId('ab-start').click()")
    assert browser.evaluate("byId('trial-name').textContent") == f"Trial 1 of {count}"


def hear(browser: Browser, side: str) -> None:
    browser.key(side.lower())
    browser.wait(f"pair.heard.includes('{side}')")


def answer(browser: Browser, key: str) -> None:
    """Hear both clips, answer and go on."""
    for side in "AB":
        hear(browser, side)
    browser.key(key)
    browser.key("n")


@pytest.mark.parametrize("systems", [[0, 1], [0, 1, 2], [0, 1, 2, 3]])
@pytest.mark.parametrize("count", [1, 5, 12, 37])
def test_drawn_trials_are_balanced(page: Browser, systems: list[int], count: int) -> None:
    pairs = [(a, b) for a in systems for b in systems if a < b]
    for seed in ("1", "2", "größe 🎵"):
        trials = page.evaluate(f"drawTrials('{seed}', {systems}, {count})")
        assert trials == page.evaluate(f"drawTrials('{seed}', {systems}, {count})")
        drawn = [tuple(sorted((trial["a"], trial["b"]))) for trial in trials]
        turns = [drawn.count(pair) for pair in pairs]
        assert sum(turns) == count and max(turns) - min(turns) <= 1
        heard = [sum(system in pair for pair in drawn) for system in systems]
        assert max(heard) - min(heard) <= 2
        for a, b in pairs:
            orders = [sum((t["a"], t["b"]) == order for t in trials) for order in ((a, b), (b, a))]
            assert abs(orders[0] - orders[1]) <= 1
            prompts = [sum(t["prompt"] == p and {t["a"], t["b"]} == {a, b} for t in trials) for p in (0, 1)]
            assert abs(prompts[0] - prompts[1]) <= 1
        for system in systems:
            sides = [sum(trial[side] == system for trial in trials) for side in "ab"]
            assert abs(sides[0] - sides[1]) <= 2


def test_seeds_draw_different_trials(page: Browser) -> None:
    drawn = page.evaluate(
        "Array.from({length: 200}, (_, seed) => JSON.stringify(drawTrials(String(seed), [0, 1, 2, 3], 12)))"
    )
    assert len(set(drawn)) > 195
    first = page.evaluate("Array.from({length: 400}, (_, seed) => drawTrials(String(seed), [0, 1], 1)[0].a)")
    assert 150 < sum(first) < 250, "either may be A"
    numbers = page.evaluate("(next => Array.from({length: 4000}, next))(makeGenerator('x'))")
    counts, _ = np.histogram(numbers, bins=10, range=(0, 1))
    assert counts.min() > 330 and counts.max() < 470


def test_settings(page: Browser) -> None:
    assert page.evaluate("[...document.querySelectorAll('.check')].map(l => l.innerText.trim())") == [
        "Quagga", "Okapi", "Bongo", "Kudu",
    ]  # fmt: skip
    assert page.evaluate("[...document.querySelectorAll('[name=system]')].map(b => b.checked)") == [
        False,
        True,
        True,
        True,
    ]
    assert page.evaluate("byId('ab-count').value") == "10"
    assert page.evaluate("byId('ab-seed').value").isdecimal()
    for spoil, told in [
        ("byId('ab-count').value = 0", "The number of trials goes from 1 to 500."),
        ("byId('ab-count').value = 5; byId('ab-seed').value = ' '", "Give a seed"),
        ("document.querySelectorAll('[name=system]').forEach((b, n) => b.checked = n < 1)", "at least two systems"),
    ]:
        page.evaluate(f"{spoil}; byId('ab-start').click()")
        assert told in page.evaluate("byId('ab-problem').textContent")
        assert page.evaluate("byId('trial').hidden")


def test_the_address_gives_the_seed(page: Browser, folder: Path) -> None:
    page.open(folder / "listen.html", "#ab=gr%C3%B6%C3%9Fe%201")
    assert page.evaluate("byId('ab-seed').value") == "größe 1"
    page.open(folder / "listen.html", "#ab=%E0%A4")
    assert page.evaluate("byId('ab-seed').value") == "%E0%A4"
    assert page.complaints == []


def test_nothing_tells_which_is_which(page: Browser) -> None:
    everything = "document.documentElement.outerHTML + document.title"
    assert all(secret in page.evaluate(everything) for secret in SECRETS), "else the test cannot fail"
    start(page)
    for _ in range(3):
        assert not [secret for secret in SECRETS if secret in page.evaluate(everything)]
        hear(page, "A")
        hear(page, "B")
        assert not [secret for secret in SECRETS if secret in page.evaluate(everything)]
        # Not by its length either: the clips of a pair last 20 to 23 seconds.
        assert page.evaluate("pair.length === Math.min(...Object.values(pair.sides).map(a => a.duration))")
        page.key("3")
        page.key("n")
    assert page.evaluate("document.querySelectorAll('audio, img, table, script').length") == 0
    assert page.complaints == []
    assert page.evaluate("byId('trial-caption').textContent") in PROMPTS.values()


def test_both_are_equally_loud_and_switching_keeps_the_place(page: Browser) -> None:
    page.evaluate("for (const box of document.querySelectorAll('[name=system]')) box.checked = true")
    start(page, count=12)
    tried = set()
    for _ in range(12):
        drawn = page.evaluate("[trials[sitting.at].a, trials[sitting.at].b]")
        volumes = page.evaluate("['A', 'B'].map(side => pair.sides[side].volume)")
        amplitudes = [list(AMPLITUDES.values())[system] for system in drawn]
        # Of one tone, loudness differs as amplitudes do; the faintest is 20 dB below what may be matched to it.
        quieter = max(min(amplitudes), max(amplitudes) / 10)
        assert volumes == pytest.approx([min(1, quieter / amplitude) for amplitude in amplitudes], rel=0.01)
        assert max(volumes) == 1
        tried.add(tuple(sorted(drawn)))
        page.evaluate("Object.assign(record(), {answer: 'A'}); next()")
    assert len(tried) == 6
    # The last one has ended the sitting; begin another.
    page.evaluate("byId('ab-again').click()")
    start(page)
    page.evaluate("pair.move(4)")
    hear(page, "A")
    page.wait("pair.position > 4.2")
    page.key("b")
    begun = page.evaluate("pair.sides.B.currentTime")
    assert begun == pytest.approx(page.evaluate("pair.sides.A.currentTime"), abs=0.3) and begun > 4.2
    assert page.evaluate("[pair.sides.A.paused, pair.sides.B.paused]") == [True, False]
    assert page.evaluate("['A', 'B'].map(s => byId(`trial-${s}`).getAttribute('aria-pressed'))") == ["false", "true"]
    page.evaluate("pair.sides.B.currentTime = pair.length - 0.1")
    page.wait("!pair.playing && pair.position === 0", 10)
    assert page.complaints == []


def test_what_cannot_be_equally_loud(page: Browser) -> None:
    found = page.evaluate(
        "[[-30, -50], [-50, -30], [-30, -50.1], [null, -30], [-30, null]].map(pair => canMatch(...pair))"
    )
    assert found == [True, True, False, False, False]


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
