"""A real Chromium without a window, driven over the DevTools protocol's pipe.

Found on the machine, or installed from Debian's packages where that is allowed.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--remote-debugging-pipe",
)
#: The pipe is read from descriptor 3 and written to 4.
_WRAPPER = (
    "import fcntl,os,sys;r,w=(fcntl.fcntl(int(n),fcntl.F_DUPFD,10) for n in sys.argv[1:3]);"
    "os.dup2(r,3);os.dup2(w,4);os.execv(sys.argv[3],sys.argv[3:])"
)
_SECONDS = 60.0


def chromium() -> str:
    """Chromium's path. Raises RuntimeError saying how to get it."""
    found = _found()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get") is not None:
        # processes of tests beside each other would be in each other's way
        with (Path(tempfile.gettempdir()) / "lossatlas-tests-chromium.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            found = _found() or _installed()
    if found is None:
        raise RuntimeError("these tests need Chromium; as root: apt-get install -y chromium")
    return found


def _found() -> str | None:
    return next((found for name in _NAMES if (found := shutil.which(name)) is not None), None)


def _installed() -> str | None:
    """Installs it from Debian's packages. Raises RuntimeError."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-y", "-q", "--no-install-recommends", "chromium"],
    ):
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
    return shutil.which("chromium")


class BrowserPage:
    """One page of a browser that a test looks at and acts on."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session
        self._scripts = True
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, parameters, self._session)

    def open(self, url: str) -> None:
        """Opens an address and waits until it has loaded."""
        self._browser.events.clear()
        self.call("Page.navigate", url=url)
        self._browser.wait_for("Page.loadEventFired", self._session)
        self.settle()

    def evaluate(self, expression: str) -> Any:
        """A value of the page. Raises AssertionError with what the page threw."""
        answer = self.call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def settle(self) -> None:
        """Waits until what was asked for is on the screen."""
        if not self._scripts:
            return
        self.evaluate(
            "new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(1))))"
        )

    def resize(self, width: int, height: int, scale: float = 1) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """`light` or `dark`."""
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )

    def scripts(self, allowed: bool) -> None:
        """Whether the page's own scripts run."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)
        self._scripts = allowed

    def mouse(self, kind: str, x: float, y: float, held: bool = False, **more: Any) -> None:
        self.call(
            "Input.dispatchMouseEvent",
            type=kind,
            x=x,
            y=y,
            button="left" if held else "none",
            buttons=1 if held else 0,
            clickCount=1 if held else 0,
            **more,
        )

    def drag(self, start: tuple[float, float], by: tuple[float, float]) -> None:
        x, y = start
        self.mouse("mousePressed", x, y, held=True)
        for step in range(1, 9):
            self.mouse("mouseMoved", x + by[0] * step / 8, y + by[1] * step / 8, held=True)
        self.mouse("mouseReleased", x + by[0], y + by[1], held=True)
        self.settle()

    def press(self, key: str, shift: bool = False) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, modifiers=8 if shift else 0)
        self.settle()

    def screenshot(self) -> bytes:
        """PNG of what the window shows."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    @property
    def complaints(self) -> list[str]:
        """Exceptions, errors of the console and refusals of the policy so far."""
        found = []
        for event in self._browser.events:
            parameters = event.get("params", {})
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(parameters["exceptionDetails"]))
            if event["method"] == "Log.entryAdded" and parameters["entry"]["level"] == "error":
                found.append(parameters["entry"]["text"])
        return found

    @property
    def requested(self) -> list[str]:
        """Addresses asked for over a network since the page was opened, its own left out."""
        urls = [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event["method"] == "Network.requestWillBeSent"
            and event["params"]["type"] != "Document"
        ]
        return [url for url in urls if not url.startswith("data:")]


class Browser:
    """The process and its pipe."""

    def __init__(self, profile: Path, flags: tuple[str, ...] = ()) -> None:
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        command = [chromium(), *_FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _WRAPPER, str(to_read), str(to_write), *command],
            pass_fds=(to_read, to_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_read)
        os.close(to_write)
        self._rest = b""
        self._next = 0
        self.events: list[dict[str, Any]] = []

    def page(self) -> BrowserPage:
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attached = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})
        return BrowserPage(self, attached["sessionId"])

    def call(
        self, method: str, parameters: dict[str, Any], session: str | None = None
    ) -> dict[str, Any]:
        self._next += 1
        number = self._next
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for(self, method: str, session: str) -> None:
        """Waits for an event, or finds it among those that have come."""
        while not any(e["method"] == method and e.get("sessionId") == session for e in self.events):
            self._read()

    def _read(self) -> dict[str, Any]:
        ends = time.monotonic() + _SECONDS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._from], [], [], max(0.0, ends - time.monotonic()))
            assert ready, "Chromium does not answer"
            piece = os.read(self._from, 1 << 20)
            assert piece, "Chromium has gone"
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message

    def close(self) -> None:
        os.close(self._to)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._from)


@contextmanager
def browsing(*flags: str) -> Iterator[Browser]:
    """A browser with a new, empty profile."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(Path(profile), flags)
        try:
            yield browser
        finally:
            browser.close()
