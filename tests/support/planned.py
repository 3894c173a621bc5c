"""Plans of a line or plane on a machine's processor, for tests of what is made of them."""

from __future__ import annotations

from typing import Any

from service.domain.plan import LINE_ANCHORS, PLANE_ANCHORS, JobPlan
from service.domain.questions.spec import BufferPolicy, Precision


def planned(x: list[float], y: list[float] | None, *, tile_cells: int, **more: Any) -> JobPlan:
    """A plan over these coordinates, of a line where `y` is None. `more` replaces fields."""
    fields: dict[str, Any] = {
        "anchors": LINE_ANCHORS if y is None else PLANE_ANCHORS,
        "directions": (),
        "cosine": None,
        "orthogonalised": False,
        "precision": Precision.FLOAT32,
        "buffers": BufferPolicy.FROZEN,
        "batch_size": 8,
        "threads": 1,
        "cell_seconds": 0.1,
        "device": "cpu",
        **more,
    }
    return JobPlan(x=tuple(x), y=None if y is None else tuple(y), tile_cells=tile_cells, **fields)
