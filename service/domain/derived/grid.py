"""Measures that any grid has, and those of planes and of single networks."""

from __future__ import annotations

from typing import Final

from service.domain.derived import basin, convexity, ends, extremes, minima
from service.domain.derived.rule import Reads, Rule

#: Of every line and plane.
ANY: Final = (
    Rule("minimum", "Minimum", Reads.CELL, extremes.minimum),
    Rule("maximum", "Maximum", Reads.CELL, extremes.maximum),
    Rule("roughness", "Roughness", Reads.SHAPE, convexity.roughness),
    Rule("nonconvex_share", "Non-convex share", Reads.SHAPE, convexity.nonconvex_share),
    Rule("local_minima", "Local minima", Reads.SHAPE, minima.local_minima),
)
CENTER: Final = Rule("center_loss", "Loss at the centre", Reads.ANCHORS, ends.center_loss)
#: Of planes around a network.
PLANE: Final = (
    CENTER,
    Rule("sharpness", "Sharpness", Reads.CELL, basin.sharpness),
    Rule("basin_width", "Basin width", Reads.SHAPE, basin.basin_width),
)
#: Where the loss has an accuracy.
CENTER_ACCURACY: Final = Rule(
    "center_accuracy", "Center accuracy", Reads.ANCHORS, ends.center_accuracy
)
