"""Lines along directions, as the API's documentation shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "line": {
        "summary": "Five random directions, one after another",
        "value": {
            "kind": "line",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "direction": {"kind": "random", "seed": 1, "normalize": "filter"},
            "repeats": 5,
            "alpha": {"min": -1, "max": 1, "num": 51},
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
        },
    },
}
