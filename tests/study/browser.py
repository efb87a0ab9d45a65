"""Headless Chromium for tests of the listening page, and what they do in it."""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the PATH; on Debian: apt install chromium"),
]
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--mute-audio",
    "--no-first-run", "--disable-crash-reporter", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
    "--autoplay-policy=no-user-gesture-required", "--remote-debugging-pipe",
)  # fmt: skip


class Browser:
    """Headless Chromium with one page, spoken to in the DevTools protocol over a pair of pipes."""

    def __init__(self, profile: Path) -> None:
        theirs_in, self.outgoing = os.pipe()
        self.incoming, theirs_out = os.pipe()
        # The browser reads from descriptor 3 and writes to 4; the shell puts ours there whatever their numbers are.
        command = [str(CHROMIUM), *OPTIONS, f"--user-data-dir={profile}"]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "bash", *command],
            pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        self.rest, self.number, self.session = b"", 0, None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Result of a command; events that come before it are looked through."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.outgoing, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self.number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._notice(answer)

    def _receive(self) -> Any:
        while b"\0" not in self.rest:
            ready, _, _ = select.select([self.incoming], [], [], 120)
            assert ready, "the browser does not answer"
            block = os.read(self.incoming, 1 << 20)
            assert block, "the browser has ended"
            self.rest += block
        message, _, self.rest = self.rest.partition(b"\0")
        return json.loads(message)

    def _notice(self, event: Any) -> None:
        method, parameters = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])
        elif method in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded"):
            self.complaints.append(json.dumps(parameters))

    def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are waited for."""
        done = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, expression: str, seconds: float = 60) -> None:
        """Until a JavaScript expression is true."""
        end = time.monotonic() + seconds
        while not self.evaluate(expression):
            assert time.monotonic() < end, f"still false: {expression}"
            time.sleep(0.02)

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        os.close(self.outgoing)
        os.close(self.incoming)

    def open(self, page: Path, fragment: str = "") -> None:
        """Load a page from the disk and wait until it and its audio can be used; earlier complaints are forgotten."""
        # Another fragment of the same page alone loads nothing.
        self.call("Page.navigate", url="about:blank")
        self.evaluate("new Promise(resolve => setTimeout(resolve, 20))")
        self.complaints.clear()
        self.requests.clear()
        self.call("Page.navigate", url=page.as_uri() + fragment)
        self.wait("document.readyState === 'complete' && typeof players !== 'undefined'")
        self.wait("[...document.querySelectorAll('audio')].every(a => a.readyState >= 1)")

    def key(self, text: str) -> None:
        """Press and release a key that writes one character, or Enter."""
        code: dict[str, Any] = {"key": text, "text": text, "windowsVirtualKeyCode": ord(text.upper()[0])}
        if text == "Enter":
            code |= {"text": "\r", "windowsVirtualKeyCode": 13}
        self.call("Input.dispatchKeyEvent", type="keyDown", **code)
        self.call("Input.dispatchKeyEvent", type="keyUp", **code)

    def resize(self, width: int, height: int = 844) -> None:
        """As on a telephone of this many pixels; a width of 0 is the browser's own again."""
        if width:
            self.call(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True
            )
        else:
            self.call("Emulation.clearDeviceMetricsOverride")

    def small_targets(self) -> list[str]:
        """What can be touched and is less than 40 pixels high or wide."""
        found: list[str] = self.evaluate(
            "[...document.querySelectorAll("
            "  'button, select, summary, input:not([type=checkbox]), label.check, .point circle')]"
            ".filter(e => e.checkVisibility()).map(e => [e, e.getBoundingClientRect()])"
            ".filter(([e, r]) => r.width < 39.9 || r.height < 39.9)"
            ".map(([e, r]) => `${e.outerHTML} ${r.width} ${r.height}`)"
        )
        return found
