"""A person at a browser: opens pages, clicks, types, and looks."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.browser import Browser, BrowserPage

_SECONDS = 30.0
_AXE = Path(__file__).parents[1] / "data" / "axe" / "axe.min.js"
#: Pictures that are below the fold too.
_LOADED = (
    "[...document.images].every(i => { i.loading = 'eager';"
    " return i.complete && i.naturalWidth > 0 })"
)


@dataclass(frozen=True)
class Visitor:
    """One page of a browser, and the folder for what it looked like."""

    browser: Browser
    page: BrowserPage
    url: str
    artifacts: Path

    def open(self, path: str) -> None:
        self.page.open(f"{self.url}{path}")

    def resize(self, width: int, height: int) -> None:
        self.page.resize(width, height)

    def at(self) -> str:
        """The address within the service."""
        return str(self.page.evaluate("location.pathname + location.search"))

    def text(self, selector: str = "body") -> str:
        return str(self.page.evaluate(f"document.querySelector({json.dumps(selector)}).innerText"))

    def count(self, selector: str) -> int:
        return int(self.page.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def value(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def fill(self, selector: str, text: str) -> None:
        self.page.evaluate(
            f"document.querySelector({json.dumps(selector)}).value = {json.dumps(text)}"
        )

    def follow(self, selector: str) -> None:
        """Clicks on what leads to another page, and waits for that."""
        self.browser.events.clear()
        self.page.evaluate(f"document.querySelector({json.dumps(selector)}).click()")
        self.browser.wait_for("Page.loadEventFired", self.page._session)
        self.page.settle()

    def until(self, expression: str) -> None:
        """Waits until an expression of the page is true; the page may load itself again."""
        ends = time.monotonic() + _SECONDS
        while not self._holds(expression):
            assert time.monotonic() < ends, f"never true: {expression}; {self.page.complaints}"

    def _holds(self, expression: str) -> bool:
        try:
            self.page.settle()
            return bool(self.page.evaluate(f"Boolean({expression})"))
        except AssertionError as error:
            if any(word in str(error) for word in ("navigated", "context", "null", "undefined")):
                return False
            raise

    def pictures(self) -> None:
        """Waits until every picture is there. Raises AssertionError for a broken one."""
        self.until(_LOADED)

    def look(self, name: str) -> bytes:
        """What the page looks like, kept."""
        self.page.settle()
        image = self.page.screenshot()
        (self.artifacts / f"{name}.png").write_bytes(image)
        return image

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element in the window, scrolled into view."""
        x, y = self.page.evaluate(
            f"(e => {{ e.scrollIntoView({{block: 'center'}}); const b = e.getBoundingClientRect();"
            f" return [b.x + b.width / 2, b.y + b.height / 2] }})"
            f"(document.querySelector({json.dumps(selector)}))"
        )
        return float(x), float(y)

    def sign_in(self, secret: str) -> None:
        self.open("/")
        assert self.at() == "/sign-in"
        self.fill("#key", secret)
        self.follow("form[action='/sign-in'] button")

    def violations(self) -> list[str]:
        """What axe-core finds to be serious or critical, as sentences."""
        self.page.evaluate(_AXE.read_text() + "; 1")
        found = self.page.evaluate(
            "axe.run(document, { iframes: false, resultTypes: ['violations'] })"
            ".then(r => r.violations.filter(v => ['serious', 'critical'].includes(v.impact))"
            ".map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.html).slice(0, 3).join(' | ')}`))"
        )
        return [str(one) for one in found]
