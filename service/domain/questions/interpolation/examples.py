"""A line through two checkpoints, as the API's documentation shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "interpolation": {
        "summary": "The line through two checkpoints",
        "value": {
            "kind": "interpolation",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "target": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c4",
            "alpha": {"min": -0.5, "max": 1.5, "num": 51},
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
            "buffers": "frozen",
        },
    },
}
