"""What the page of the blind tests compares, and how a listener goes through it."""

from tests.study.browser import Browser

# Words that nothing else on a page says.
LABELS = {"ref": "Quagga", "one": "Okapi", "two": "Bongo", "three": "Kudu", "new": "Nyala"}
AMPLITUDES = {"ref": 0.5, "one": 0.05, "two": 0.1, "three": 0.0005}
PROMPTS = {"clip0": "slow waltz", "clip2": "</script>fast <b>march</b>"}
SECRETS = (*LABELS.values(), "samples", "spectrograms", "flac", "-seed0")


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
