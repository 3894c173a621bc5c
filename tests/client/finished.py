"""Landscapes and jobs as the service describes them, made here: for how things look."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from lossatlas.grids import Grid
from lossatlas.landscapes import Landscape
from lossatlas.values import JobState, LandscapeRecord, Progress
from numpy.typing import NDArray

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WORDS = {"nan": np.nan, "posinf": np.inf}


def landscape(
    losses: dict[str, NDArray[np.float64]], title: str = "a title", kind: str = "surface"
) -> Landscape:
    """A plane of values `[iy][ix]`, or a line; infinities and NaN get their words."""
    shape = next(iter(losses.values())).shape
    x, y = np.linspace(-1, 1, shape[-1]), np.linspace(-1, 1, shape[0])
    datasets: dict[str, Any] = {}
    for name, loss in losses.items():
        status = np.where(np.isfinite(loss), "ok", np.where(np.isnan(loss), "nan", "posinf"))
        values = np.where(np.isfinite(loss), loss, None)
        datasets[name] = {
            "loss": {
                "values": values.tolist(),
                "stderr": np.where(np.isfinite(loss), 0.1, None).tolist(),
            },
            "accuracy": None,
            "status": status.tolist(),
            "samples": 10,
        }
    body = {
        "x": x.tolist(),
        "y": y.tolist() if len(shape) == 2 else None,
        "status": next(iter(datasets.values()))["status"],
        "datasets": datasets,
    }
    record = LandscapeRecord(
        id="lsc_1", project="p", job="job_1", kind=kind, model="mdl_1", title=title, created_at=NOW
    )
    made = Landscape(None, record)
    made.__dict__["grid"] = Grid.from_json(body)
    return made


def job_state(**more: Any) -> JobState:
    """A running job."""
    known: dict[str, Any] = {
        "id": "job_1", "kind": "surface", "project": "p", "model": "mdl_1", "state": "running",
        "progress": Progress(phase="tile", done=3, total=9), "created_at": NOW,
    }  # fmt: skip
    return JobState.model_validate({**known, **more})
