"""Surfaces, as the API's documentation shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

EXAMPLES: Final[Mapping[str, Mapping[str, Any]]] = {
    "surface": {
        "summary": "A filter-normalised surface",
        "value": {
            "kind": "surface",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "directions": {
                "x": {"kind": "random", "seed": 1, "normalize": "filter"},
                "y": {"kind": "random", "seed": 2, "normalize": "filter"},
            },
            "grid": {
                "x": {"min": -1, "max": 1, "num": 51},
                "y": {"min": -1, "max": 1, "num": 51},
            },
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
        },
    },
    "surface_adaptive": {
        "summary": "A surface from few evaluations, within 3 % of the loss",
        "value": {
            "kind": "surface",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "directions": {
                "x": {"kind": "random", "seed": 1, "normalize": "filter"},
                "y": {"kind": "random", "seed": 2, "normalize": "filter"},
            },
            "grid": {
                "x": {"min": -1, "max": 1, "num": 51},
                "y": {"min": -1, "max": 1, "num": 51},
            },
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
            "sampling": {"mode": "adaptive", "tolerance": 0.03},
        },
    },
    "surface_saved_directions": {
        "summary": "A surface along saved directions",
        "value": {
            "kind": "surface",
            "origin": "ckp_01k5m8z3r7q9w2x4y6t8v0b1c3",
            "directions": {
                "x": "dir_01k5m8z3r7q9w2x4y6t8v0b1c6",
                "y": "dir_01k5m8z3r7q9w2x4y6t8v0b1c7",
            },
            "grid": {
                "x": {"min": -1, "max": 1, "num": 25},
                "y": {"min": -1, "max": 1, "num": 25},
            },
            "datasets": ["dst_01k5m8z3r7q9w2x4y6t8v0b1c5"],
            "precision": "float64",
        },
    },
}
