"""A trajectory beside its surface: the named arrays of a result, read back, and shown as JSON.

Owns the attachments `trajectory.*` and the JSON member `trajectory`. Rows are checkpoints, the
runs one after another; the first run's last row is the centre, at (0, 0). The arithmetic is the
engine's; see `workers.engine.trajectory` for the definitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.questions.references import Recorded
from service.domain.questions.spec import BufferPolicy
from service.domain.questions.trajectory.part import TrajectoryPart
from service.domain.questions.trajectory.spec import TrajectoryJob
from service.domain.results import DatasetTile, GridResult, unique_names

_PREFIX: Final = "trajectory."
_STATISTICS: Final = ("loss", "stderr", "accuracy", "status")

DEFINITIONS: Final = {
    "coordinates": "(a, b) of the least squares θ_i − θ_n ≈ a·x + b·y; θ_n, the first run's last "
    "checkpoint, lies at (0, 0).",
    "explained_variance": "σ_k² / Σσ² of the singular values of M = [θ_0−θ_n; …; θ_{m−1}−θ_n], "
    "rows of all runs, in falling order; the first two are the axes'. With center `mean`, of M "
    "with its mean row subtracted. The largest component of each axis is positive.",
    "residuals": "‖(θ_i − θ_n) − (a·x + b·y)‖ / ‖θ_i − θ_n‖; 0 for the centre.",
    "distances": "‖θ_i − θ_n‖.",
    "share": "Σ‖a_i·x + b_i·y‖² / Σ‖θ_i − θ_n‖²: how much of the path the plane holds.",
    "random_shares": "The same share on planes of two random Gaussian directions (seeds 0, 1, …).",
    "true": "Loss of θ_i itself, with its own buffers.",
    "plane": "Loss at (a, b) in the plane: what the surface shows under the checkpoint.",
    "learning_rate_drops": "Checkpoints whose learning rate is below that of the one before in "
    "the same run.",
}


@dataclass(frozen=True)
class Trajectory:
    """Shapes: n checkpoints, r runs, d data sets. What is not known is NaN, or an empty text.

    Attributes:
        runs: shape (n,), the run of each row, from 0.
        run_labels: shape (r,).
        centre: row that everything is relative to.
        steps, epochs, learning_rates: shape (n,), float64.
        coordinates: shape (n, 2). residuals, distances: shape (n,).
        true: by `loss stderr accuracy status`, shape (d, n); None where no checkpoint itself was
            evaluated.
    """

    center: str
    checkpoints: NDArray[np.str_]
    labels: NDArray[np.str_]
    runs: NDArray[np.int64]
    run_labels: NDArray[np.str_]
    centre: int
    steps: NDArray[np.float64]
    epochs: NDArray[np.float64]
    learning_rates: NDArray[np.float64]
    coordinates: NDArray[np.float64]
    residuals: NDArray[np.float64]
    distances: NDArray[np.float64]
    explained_variance: NDArray[np.float64]
    share: float
    random_shares: NDArray[np.float64]
    true: Mapping[str, NDArray[Any]] | None

    @property
    def learning_rate_drops(self) -> NDArray[np.bool_]:
        """Shape (n,): whether the learning rate is lower than at the row before in the run."""
        drops = np.zeros(len(self.runs), dtype=bool)
        with np.errstate(invalid="ignore"):
            lower = self.learning_rates[1:] < self.learning_rates[:-1]
        drops[1:] = lower & (self.runs[1:] == self.runs[:-1])
        return drops

    def rows(self, run: int) -> NDArray[np.int64]:
        """The rows of a run, in order."""
        return np.flatnonzero(self.runs == run)

    def plane(self, tile: DatasetTile) -> DatasetTile:
        """The values in the plane at every row, from the anchors of a data set."""
        rows = slice(1, 1 + len(self.runs))
        return DatasetTile(
            loss=tile.loss[rows],
            stderr=tile.stderr[rows],
            accuracy=None if tile.accuracy is None else tile.accuracy[rows],
            status=tile.status[rows],
            extra={key: values[rows] for key, values in tile.extra.items()},
        )

    @classmethod
    def of(cls, result: GridResult) -> Trajectory | None:
        """The result's trajectory, or None where it has none."""
        found = {
            name.removeprefix(_PREFIX): array
            for name, array in result.attachments.items()
            if name.startswith(_PREFIX)
        }
        if "coordinates" not in found:
            return None
        true = {key: found[f"true_{key}"] for key in _STATISTICS if f"true_{key}" in found}
        return cls(
            **{name: found[name] for name in _ARRAYS},
            center=str(found["center"]),
            centre=int(found["centre"]),
            share=float(found["share"]),
            true=true or None,
        )

    def to_json(self, result: GridResult) -> dict[str, Any]:
        """Lists in the order of the rows; `null` for what is not known."""
        names = [d.name for d in result.datasets]
        return {
            "center": self.center,
            "centre_row": self.centre,
            "checkpoints": self.checkpoints.tolist(),
            "labels": [label or None for label in self.labels.tolist()],
            "runs": [
                {"label": label or None, "start": int(rows[0]), "stop": int(rows[-1]) + 1}
                for label, rows in (
                    (str(label), self.rows(run)) for run, label in enumerate(self.run_labels)
                )
            ],
            "steps": _known(self.steps),
            "epochs": _known(self.epochs),
            "learning_rates": _known(self.learning_rates),
            "learning_rate_drops": self.learning_rate_drops.tolist(),
            "coordinates": self.coordinates.tolist(),
            "residuals": self.residuals.tolist(),
            "distances": self.distances.tolist(),
            "explained_variance": self.explained_variance.tolist(),
            "share": self.share,
            "random_shares": self.random_shares.tolist(),
            "true": None
            if self.true is None
            else {
                name: _values_json({key: array[i] for key, array in self.true.items()})
                for i, name in enumerate(names)
            },
            "plane": {d.name: _values_json(vars(self.plane(d.anchors))) for d in result.datasets},
            "definitions": DEFINITIONS,
        }


_ARRAYS: Final = (
    "checkpoints",
    "labels",
    "runs",
    "run_labels",
    "steps",
    "epochs",
    "learning_rates",
    "coordinates",
    "residuals",
    "distances",
    "explained_variance",
    "random_shares",
)


def rows_of(spec: TrajectoryJob) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """A recorded trajectory's checkpoints, one run after another, and the run of each."""
    every = (spec.checkpoints, *(run.checkpoints for run in spec.runs))
    rows = [(identity, run) for run, ids in enumerate(every) if ids != "all" for identity in ids]
    return tuple(identity for identity, _ in rows), tuple(run for _, run in rows)


def attachments(
    path: TrajectoryPart, spec: TrajectoryJob, checkpoints: Mapping[str, Recorded]
) -> dict[str, NDArray[Any]]:
    """The named arrays of a planned trajectory.

    Args:
        spec: as recorded, every checkpoint and every run named.
        checkpoints: records by id.
    """
    rows = [checkpoints[identity] for identity in path.checkpoints]
    arrays: dict[str, NDArray[Any]] = {
        "center": np.array(spec.center, dtype=np.str_),
        "centre": np.array(path.centre, dtype=np.int64),
        "checkpoints": _texts(path.checkpoints),
        "labels": _texts([row.label or "" for row in rows]),
        "runs": np.array(path.runs, dtype=np.int64),
        "run_labels": _texts(unique_names([spec.label or "", *(r.label or "" for r in spec.runs)])),
        "steps": _floats(row.step for row in rows),
        "epochs": _floats(row.epoch for row in rows),
        "learning_rates": _floats(row.learning_rate for row in rows),
        "coordinates": np.array(path.coordinates, dtype=np.float64).reshape(-1, 2),
        "residuals": _floats(path.residuals),
        "distances": _floats(path.distances),
        "explained_variance": _floats(path.explained_variance),
        "share": np.array(path.share, dtype=np.float64),
        "random_shares": _floats(path.random_shares),
    }
    return {_PREFIX + name: array for name, array in arrays.items()}


def provenance(path: TrajectoryPart, spec: TrajectoryJob, buffers: BufferPolicy) -> dict[str, Any]:
    """How the plane was found, in words and names."""
    plane = {
        "frozen": "the centre checkpoint's everywhere",
        "interpolate": "moved along the axes, by the same combination of the checkpoints' "
        "buffers as each axis is of their parameters",
        "recalibrate": "computed anew at every point",
    }
    return {
        "center": spec.center,
        "centre_checkpoint": path.checkpoints[path.centre],
        "checkpoints": len(path.checkpoints),
        "excluded": list(path.excluded),
        "explained_variance": list(path.explained_variance[:2]),
        "share": path.share,
        "random_planes": {
            "seeds": list(range(len(path.random_shares))),
            "shares": list(path.random_shares),
        },
        "buffers_of_the_plane": plane.get(buffers.value, buffers.value),
        "buffers_of_true_losses": "each checkpoint's own" if path.true_loss else None,
        "definitions": DEFINITIONS,
    }


def _values_json(values: Mapping[str, Any]) -> dict[str, Any]:
    status = values["status"]
    ok = status == CellStatus.OK
    body: dict[str, Any] = {"status": [CellStatus(int(code)).word for code in status]}
    for key in ("loss", "stderr", "accuracy"):
        numbers = values.get(key)
        if numbers is not None and (key != "accuracy" or np.isfinite(numbers).any()):
            body[key] = _known(np.where(ok, numbers, np.nan))
    return body


def _known(values: NDArray[np.float64]) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _floats(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)


def _texts(values: Iterable[str]) -> NDArray[np.str_]:
    return np.array(list(values), dtype=np.str_)
