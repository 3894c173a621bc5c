"""Two directions that span a plane, as several kinds of question ask for them."""

from __future__ import annotations

from service.domain.directions import PlaneDirections
from service.domain.questions.references import AskedDirection


def plane_of(directions: PlaneDirections, at: str) -> dict[str, AskedDirection]:
    """The plane's directions by axis; `at` is the pointer of both."""
    return {
        "x": AskedDirection(directions.x, f"{at}/x"),
        "y": AskedDirection(directions.y, f"{at}/y", "y"),
    }
