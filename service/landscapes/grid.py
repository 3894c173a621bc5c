"""The grid JSON: values laid out `[iy][ix]`, with all that is needed to read them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from service.domain.curvature import curvature_json
from service.domain.lines import Lines
from service.domain.results import GridResult
from service.domain.trajectory import Trajectory
from service.domain.weights import WeightHistograms


def grid_json(
    result: GridResult, *, provenance: Mapping[str, Any], derived: Mapping[str, Any]
) -> dict[str, Any]:
    """`x y datasets status anchors` of the result; `center directions derived provenance` beside,
    and `trajectory`, `curvature`, `line`, `weights` and `sampling` where there are such.

    `center` is the trained network itself: the plane's centre, or the line's first end.
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
    path = Trajectory.of(result)
    if path is not None:
        body["trajectory"] = path.to_json(result)
    curvature = curvature_json(
        result, directions=directions, timings=provenance.get("timings") or {}
    )
    if curvature is not None:
        body["curvature"] = curvature
    lines, weights = Lines.of(result), WeightHistograms.of(result)
    if lines is not None:
        body["line"] = lines.to_json(result)
    if weights is not None:
        body["weights"] = weights.to_json()
    if "sampling" in provenance:
        body["sampling"] = provenance["sampling"]
    body["derived"] = dict(derived)
    body["provenance"] = dict(provenance)
    return body
