"""How the API's documentation describes answers that are bytes and never change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from service.landscapes.grid import EXAMPLE

_IMMUTABLE: Final = "Strong `ETag`; immutable, so it may be kept for ever."

#: The content of an answer that is a grid JSON.
GRID: Final = {"examples": {"surface": {"value": EXAMPLE}}}


def bytes_of(
    media_type: str, description: str, content: Mapping[str, Any] | None = None
) -> dict[int | str, dict[str, Any]]:
    """200 with these bytes, and 304."""
    return {
        200: {
            "description": f"{description} {_IMMUTABLE}",
            "content": {media_type: dict(content or {})},
        },
        304: {"description": "What the caller has is right."},
    }
