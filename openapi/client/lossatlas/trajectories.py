"""A path of training as NumPy arrays, rows in the order of the checkpoints."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossatlas.grids import Floats


@dataclass(frozen=True)
class TrajectoryRun:
    """One run: its checkpoints are the rows `start` to `stop`, the last not included."""

    label: str | None
    start: int
    stop: int


@dataclass(frozen=True)
class Trajectory:
    """n checkpoints on a plane of two principal components, one run after another.

    What is not known is NaN.

    Attributes:
        center: `final` or `mean`: how the components were found.
        centre_row: the checkpoint at (0, 0), the last of the first run.
        checkpoints: ids. labels: None where a checkpoint has none.
        steps, epochs, learning_rates: shape (n,).
        learning_rate_drops: shape (n,), whether the rate is lower than at the row before.
        coordinates: shape (n, 2), least squares on the two axes.
        residuals: shape (n,), off-plane share ‖θ_i − proj‖ / ‖θ_i − θ_n‖.
        distances: shape (n,), ‖θ_i − θ_n‖.
        explained_variance: ratios in falling order; the first two are the axes'.
        share: of the path's variation that the plane holds.
        random_shares: the same of planes of random directions.
        true_loss: by data set, shape (n,): each checkpoint's own loss; {} unless asked for.
        plane_loss: by data set, shape (n,): the loss in the plane, below the checkpoint.
        body: the JSON, definitions included.
    """

    center: str
    centre_row: int
    runs: tuple[TrajectoryRun, ...]
    checkpoints: tuple[str, ...]
    labels: tuple[str | None, ...]
    steps: Floats
    epochs: Floats
    learning_rates: Floats
    learning_rate_drops: NDArray[np.bool_]
    coordinates: Floats
    residuals: Floats
    distances: Floats
    explained_variance: Floats
    share: float
    random_shares: Floats
    true_loss: Mapping[str, Floats]
    plane_loss: Mapping[str, Floats]
    body: Mapping[str, Any]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Trajectory:
        """Reads the member `trajectory` of the service's grid JSON."""
        return cls(
            center=str(body["center"]),
            centre_row=int(body["centre_row"]),
            runs=tuple(
                TrajectoryRun(run["label"], int(run["start"]), int(run["stop"]))
                for run in body["runs"]
            ),
            checkpoints=tuple(body["checkpoints"]),
            labels=tuple(body["labels"]),
            steps=_numbers(body["steps"]),
            epochs=_numbers(body["epochs"]),
            learning_rates=_numbers(body["learning_rates"]),
            learning_rate_drops=np.asarray(body["learning_rate_drops"], dtype=np.bool_),
            coordinates=_numbers(body["coordinates"]),
            residuals=_numbers(body["residuals"]),
            distances=_numbers(body["distances"]),
            explained_variance=_numbers(body["explained_variance"]),
            share=float(body["share"]),
            random_shares=_numbers(body["random_shares"]),
            true_loss={n: _numbers(v["loss"]) for n, v in (body.get("true") or {}).items()},
            plane_loss={n: _numbers(v["loss"]) for n, v in body["plane"].items()},
            body=body,
        )


def run_spec(run: Any) -> dict[str, Any]:
    """A further run as the service takes it: a model, its id, or a mapping with more to say."""
    if isinstance(run, Mapping):
        spec: dict[str, Any] = {"model": _id(run["model"])}
        if run.get("checkpoints", "all") != "all":
            spec["checkpoints"] = _ids(run["checkpoints"])
        return spec | {key: run[key] for key in ("label",) if run.get(key) is not None}
    return {"model": _id(run)}


def _numbers(values: Any) -> Floats:
    # None becomes NaN
    return np.array(values, dtype=np.float64)


def _id(thing: Any) -> str:
    return thing if isinstance(thing, str) else str(thing.id)


def _ids(things: Iterable[Any]) -> list[str]:
    return [_id(thing) for thing in things]
