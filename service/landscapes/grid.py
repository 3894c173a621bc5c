"""The grid JSON: values laid out `[iy][ix]`, with all that is needed to read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from service.domain.definitions import outdated
from service.domain.networks import Networks
from service.domain.questions.table import question_named
from service.domain.results import GridResult
from service.domain.weights import WeightHistograms

#: Shown in the API's documentation: a plane of 3 × 2 cells, one of which has no value.
EXAMPLE: Final[dict[str, Any]] = {
    "x": [-1.0, 0.0, 1.0],
    "y": [0.0, 1.0],
    "datasets": {
        "test": {
            "loss": {
                "values": [[1.92, 0.07, 2.31], [None, 1.44, 3.02]],
                "stderr": [[0.04, 0.01, 0.05], [None, 0.03, 0.06]],
            },
            "samples": 10000,
            "reduction": "sample",
            "positions": 10000,
            "ignored": {"samples": 0, "positions": 0},
            "effective_samples": 10000.0,
            "status": [["ok", "ok", "ok"], ["nan", "ok", "ok"]],
            "accuracy": {"values": [[0.61, 0.98, 0.55], [None, 0.7, 0.42]]},
        }
    },
    "status": [["ok", "ok", "ok"], ["nan", "ok", "ok"]],
    "anchors": [
        {
            "at": [0.0, 0.0],
            "datasets": {"test": {"loss": 0.07, "stderr": 0.01, "status": "ok", "accuracy": 0.98}},
        }
    ],
    "center": {
        "at": [0.0, 0.0],
        "datasets": {"test": {"loss": 0.07, "stderr": 0.01, "status": "ok", "accuracy": 0.98}},
    },
    "directions": {
        "x": {"id": "dir_01k5m8z3r7q9w2x4y6t8v0b1c6", "norm": 38.1},
        "y": {"id": "dir_01k5m8z3r7q9w2x4y6t8v0b1c7", "norm": 38.2},
        "cosine": 0.0004,
    },
    "derived": {"dataset": "test", "minimum": {"value": 0.07, "definition": "…", "at": [0.0, 0.0]}},
    "provenance": {"engine": "1.0.0", "dtype": "float32", "seeds": {"x": 1, "y": 2}},
}


def grid_json(
    kind: str,
    result: GridResult,
    *,
    provenance: Mapping[str, Any],
    derived: Mapping[str, Any],
) -> dict[str, Any]:
    """`x y datasets status anchors` of the result; `center directions derived provenance` beside,
    and the members of the kind, `weights`, `networks` and `sampling` where there are such;
    `outdated` says so where all of it was computed under older definitions.

    `center` is what the plane's centre gives, or the line's first end: the trained network, but
    for recomputed running statistics, where `networks` has it.
    """
    body = result.to_json()
    directions = provenance.get("directions") or {}
    body["center"] = body["anchors"][0] if body["anchors"] else None
    body["directions"] = {
        **{
            axis: {"id": planned.get("id"), "norm": planned.get("norm")}
            for axis, planned in directions.items()
        },
        "cosine": provenance.get("cosine"),
    }
    question = question_named(kind)
    members = {} if question is None else question.members(result, provenance)
    body |= members
    weights = WeightHistograms.of(result)
    if weights is not None:
        body["weights"] = weights.to_json()
    networks = Networks.of(result)
    if networks is not None:
        body["networks"] = networks.to_json(result, provenance.get("networks") or ())
    if "sampling" in provenance:
        body["sampling"] = provenance["sampling"]
    note = outdated(provenance)
    if note is not None:
        body["outdated"] = note
        for name, member in members.items():
            # the words beside these values are of today, the values are not
            words = member.get("definitions", {})
            body[name] = {**member, "definitions": {**words, "outdated": note}}
    body["derived"] = dict(derived)
    body["provenance"] = dict(provenance)
    return body
