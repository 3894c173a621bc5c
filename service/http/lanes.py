"""Which requests wait for which: by what their work takes, in a table.

Owns the sorts of work and how wide each lane is; never does the queueing (`service.http.shares`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from service.http.authentication import ENTRANCES, READABLE, SHARED, STATIC
from service.http.shares import Width
from service.settings import Settings

#: Pictures and files made from results: a core for a tenth of a second, or for ten.
_DRAWN: Final = re.compile(
    r"/v1/landscapes/[^/]+/(?:figure|data|difference)\.[^/]+"
    r"|/v1/landscapes/[^/]+/view"
    r"|/v1/jobs/[^/]+/partial\.[^/]+"
    r"|/compare|/landscapes/[^/]+"
)
#: Bytes that are streamed from the store, as fast as the caller takes them.
_FETCHED: Final = re.compile(r"/v1/objects/[^/]+|/v1/directions/[^/]+/tensors")


def lane_of(method: str, path: str) -> str | None:
    """The lane of a request; None for health and what is at hand."""
    if path in READABLE or path.startswith(STATIC):
        return None
    if path in ENTRANCES:
        return "entering"
    if method == "POST" and path == "/v1/models":
        return "checking"
    if path.startswith("/v1/objects/") and method == "PUT":
        return "sending"
    if method in ("GET", "HEAD"):
        if _FETCHED.fullmatch(path):
            return "fetching"
        return "drawing" if path.startswith(SHARED) or _DRAWN.fullmatch(path) else "reading"
    return "changing"


def widths(settings: Settings) -> Mapping[str, Width]:
    """How wide the lanes are: what several callers at once gain from, and no wider. Python computes
    in one thread at a time, so that many places for work make everybody slow.
    """
    draw, check, send = (
        settings.figures_at_once,
        settings.model_checks_at_once,
        settings.uploads_at_once,
    )
    return {
        "reading": Width(places=12, of_project=8, of_key=5, queue=200),
        "changing": Width(places=8, of_project=5, of_key=3, queue=100),
        "entering": Width(places=8, of_project=4, of_key=4, queue=100),
        "drawing": _shared(draw, queue=200),
        "checking": _shared(check, queue=settings.model_checks_waiting),
        "sending": Width(send, max(2, send // 2), max(1, send // 4), queue=100),
        "fetching": Width(places=64, of_project=24, of_key=16, queue=100),
    }


def _shared(places: int, *, queue: int) -> Width:
    """Half for one key, and something left by every project."""
    return Width(places, max(1, places * 3 // 4), max(1, places // 2), queue)
