"""The numbers of a landscape that the page compares, as the service gives them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from lossatlas.grids import Floats
from lossatlas.landscapes import Landscape

_OF_SURFACES: Final = (
    "center_loss",
    "sharpness",
    "basin_width",
    "nonconvex_share",
    "local_minima",
    "roughness",
    "maximum",
)
_OF_RATIOS: Final = ("negative_share", "strongly_negative_share")


def numbers_of(kind: str, landscape: Landscape) -> dict[str, float | None]:
    """By name; None where the service has no number."""
    match kind:
        case "surface":
            return {name: _value(landscape.derived, name) for name in _OF_SURFACES}
        case "line":
            return _of_line(landscape)
        case "across":
            return _of_line_across(landscape)
        case "path":
            return _of_path(landscape)
        case _:
            return _of_ratio(landscape)


def ratio(landscape: Landscape) -> Floats:
    """|λ_min/λ_max| by cell, shape (ny, nx)."""
    return landscape.grid.dataset().extra["ratio"]


def _of_line(landscape: Landscape) -> dict[str, float | None]:
    train, test = landscape.datasets[:2]
    derived = landscape.derived["datasets"]
    loss = landscape.dataset(train).loss
    found = {
        "barrier": _value(derived[train], "barrier"),
        "barrier_test": _value(derived[test], "barrier"),
    }
    for name, end, cell in (("origin", "origin_loss", 0), ("target", "target_loss", -1)):
        # the rise is of the line, whatever the network's own loss is
        base = _value(derived[train], f"{end}_on_line")
        base = _value(derived[train], end) if base is None else base
        # the outermost point, beyond the minimum
        outer = float(loss[cell])
        found[f"rise_{name}"] = None if base is None or not np.isfinite(outer) else outer - base
    return found


def _of_line_across(landscape: Landscape) -> dict[str, float | None]:
    """Of the mean over the directions; the network lies in the middle."""
    loss = landscape.loss
    centre = float(loss[len(loss) // 2])
    rise = float((loss[0] + loss[-1]) / 2 - centre)
    return {
        "center_loss": centre if np.isfinite(centre) else None,
        "rise": rise if np.isfinite(rise) else None,
    }


def _of_path(landscape: Landscape) -> dict[str, float | None]:
    path = landscape.grid.body["trajectory"]
    random = path["random_shares"]
    residuals = path["residuals"]
    first, second = path["explained_variance"][:2]
    return {
        "explained": first + second,
        "explained_first": first,
        "explained_second": second,
        "random": float(np.mean(random)) if random else None,
        "residual_largest": max(residuals) if residuals else None,
        "checkpoints": float(len(path["coordinates"])),
    }


def _of_ratio(landscape: Landscape) -> dict[str, float | None]:
    shares = {name: _value(landscape.derived, name) for name in _OF_RATIOS}
    values = ratio(landscape)
    known = values[np.isfinite(values)]
    if not known.size:
        return {"ratio_median": None, "ratio_mean": None, **shares}
    return {
        "ratio_median": float(np.median(known)),
        "ratio_mean": float(known.mean()),
        **shares,
    }


def _value(derived: Mapping[str, Any], name: str) -> float | None:
    value = derived.get(name, {}).get("value")
    return None if value is None else float(value)
