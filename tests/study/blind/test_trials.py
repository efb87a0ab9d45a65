"""The blind comparison in a real browser: what trials are drawn, and what it must not tell."""

from pathlib import Path

import numpy as np
import pytest

from tests.study.blind.sitting import AMPLITUDES, PROMPTS, SECRETS, hear, start
from tests.study.browser import MARKS, Browser

pytestmark = MARKS


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
