"""The values that the page holds: JSON that is safe inside HTML. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.networks import Networks
from service.domain.results import DatasetGrid, GridResult
from service.exports.trajectory import Step

#: More would make a page of tens of megabytes that no browser turns smoothly.
MOST_CELLS: Final = 1_000_000


def values_of(result: GridResult, trajectory: Sequence[Step]) -> dict[str, Any]:
    """What the page's script reads; values flat, cell `iy * nx + ix`, null where there is none."""
    return {
        "x": _numbers(result.x),
        "y": None if result.y is None else _numbers(result.y),
        "words": [code.word for code in CellStatus],
        "datasets": [_dataset(grid) for grid in result.datasets],
        "anchors": [
            {
                "x": float(a),
                "y": float(b),
                "loss": [_number(g.anchors.loss[k]) for g in result.datasets],
            }
            for k, (a, b) in enumerate(result.anchors.tolist())
        ],
        "networks": _networks(result),
        "trajectory": [
            {
                "x": step.x,
                "y": step.y,
                "loss": step.loss,
                "label": step.label,
                "run": step.run,
                "dropped": step.dropped,
            }
            for step in trajectory
        ],
    }


def _networks(result: GridResult) -> list[dict[str, Any]]:
    """Those whose own loss is not what the line or plane gives at their places."""
    networks = Networks.of(result)
    if networks is None:
        return []
    ok = (networks.status == CellStatus.OK) & np.isfinite(networks.loss)
    own = np.where(ok, networks.loss, np.nan)
    return [
        {
            "role": str(networks.roles[k]),
            "x": float(networks.at[k, 0]),
            "y": float(networks.at[k, 1]),
            "loss": _numbers(own[:, k]),
        }
        for k in np.flatnonzero(networks.itself).tolist()
    ]


def script_safe(value: Any) -> str:
    """JSON in which nothing can end a script element or begin a comment."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _dataset(grid: DatasetGrid) -> dict[str, Any]:
    metrics = {"loss": _shown(grid.loss, grid.status)}
    if grid.accuracy is not None:
        metrics["accuracy"] = _shown(grid.accuracy, grid.status)
    metrics.update({name: _shown(values, grid.status) for name, values in grid.extra.items()})
    return {
        "name": grid.name,
        "samples": grid.samples,
        **({} if grid.counted is None else grid.counted.to_json()),
        "status": grid.status.ravel().tolist(),
        "metrics": metrics,
    }


def _shown(values: NDArray[np.float64], status: NDArray[np.int8]) -> list[float | None]:
    ok = (status == CellStatus.OK) & np.isfinite(values)
    return [
        _short(value) if fine else None
        for value, fine in zip(values.ravel().tolist(), ok.ravel().tolist(), strict=True)
    ]


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [_number(value) for value in values.tolist()]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _short(value: float) -> float:
    # as many digits as a screen shows; the files have them all
    return float(f"{value:.8g}")
