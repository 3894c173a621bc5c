"""Values on a line or a plane, as NumPy arrays laid out `[iy][ix]`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Words = NDArray[np.str_]
Flags = NDArray[np.bool_]

#: What a cell without a finite value has in the arrays, by its status; others are NaN.
_INFINITE = {"posinf": np.inf, "neginf": -np.inf}


@dataclass(frozen=True)
class Counted:
    """What a mean over a data set is over.

    Attributes:
        reduction: what counts alike, every `sample` or every `position`.
        positions: with a target: tokens or pixels where targets are classes, else the values that
            a sample's loss is the mean of.
        ignored_samples: without any target, left out.
        ignored_positions: without one, left out; those of ignored samples included.
        effective_samples: as many of equal weight would leave the mean as uncertain (Kish 1965).
    """

    reduction: str
    positions: int
    ignored_samples: int
    ignored_positions: int
    effective_samples: float


@dataclass(frozen=True)
class DatasetValues:
    """One data set's values.

    Attributes:
        loss, stderr: shape (ny, nx), or (n,) on a line; float64. NaN where the status is not `ok`,
            infinite where it is `posinf` or `neginf`.
        accuracy: likewise, a fraction; None where the loss has none.
        status: a word for each cell: `ok`, `nan`, `posinf`, `neginf`, `invalid_buffer`, `failed`,
            `pending`.
        samples: how many samples each value is the mean over: those with a target.
        counted: what else it is the mean over; None in results from before it was counted, whose
            `samples` are all that the data set has.
        extra: further values by name.
    """

    name: str
    loss: Floats
    stderr: Floats
    accuracy: Floats | None
    status: Words
    samples: int
    extra: Mapping[str, Floats]
    counted: Counted | None = None

    @property
    def evaluated(self) -> Flags:
        """Cells whose value was computed: all, but of an adaptive surface."""
        flags = self.extra.get("evaluated")
        known: Flags = self.status != "pending" if flags is None else flags == 1
        return known

    @property
    def estimated_error(self) -> Floats:
        """How far the loss may be from the exact one, relative; 0 where it was evaluated."""
        error = self.extra.get("estimated_error")
        return np.zeros(self.loss.shape) if error is None else error


@dataclass(frozen=True)
class Grid:
    """A line (`y` is None) or a plane, over one data set or several.

    Attributes:
        x, y: the axes' points, shapes (nx,) and (ny,), in units of the directions.
        status: the worst word of the data sets, cell by cell.
        body: the whole JSON document.
    """

    x: Floats
    y: Floats | None
    status: Words
    datasets: Mapping[str, DatasetValues]
    body: Mapping[str, Any]

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Grid:
        """Reads the service's grid JSON."""
        return cls(
            x=np.asarray(body["x"], dtype=np.float64),
            y=np.asarray(body["y"], dtype=np.float64) if body.get("y") is not None else None,
            status=np.asarray(body["status"], dtype=np.str_),
            datasets={name: _dataset(name, d) for name, d in body["datasets"].items()},
            body=body,
        )

    @property
    def sampling(self) -> Mapping[str, Any] | None:
        """The account of an adaptive surface: evaluations, saving, audit; None of exact ones."""
        return self.body.get("sampling")

    def dataset(self, name: str | None = None) -> DatasetValues:
        """The named data set, or the first. Raises KeyError naming those there are."""
        if name is None:
            return next(iter(self.datasets.values()))
        if name not in self.datasets:
            raise KeyError(f"no data set {name!r}; there are {', '.join(self.datasets)}")
        return self.datasets[name]


_KNOWN = frozenset({"loss", "accuracy", "samples", "status"})


def _dataset(name: str, body: Mapping[str, Any]) -> DatasetValues:
    status = np.asarray(body["status"], dtype=np.str_)
    loss = _numbers(body["loss"]["values"])
    for word, value in _INFINITE.items():
        loss[status == word] = value
    accuracy = body.get("accuracy")
    return DatasetValues(
        name=name,
        loss=loss,
        stderr=_numbers(body["loss"]["stderr"]),
        accuracy=None if accuracy is None else _numbers(accuracy["values"]),
        status=status,
        samples=int(body["samples"]),
        extra={
            key: _numbers(value["values"])
            for key, value in body.items()
            if key not in _KNOWN and isinstance(value, Mapping) and "values" in value
        },
        counted=_counted(body),
    )


def _counted(body: Mapping[str, Any]) -> Counted | None:
    if "reduction" not in body:
        return None
    ignored = body["ignored"]
    return Counted(
        reduction=str(body["reduction"]),
        positions=int(body["positions"]),
        ignored_samples=int(ignored["samples"]),
        ignored_positions=int(ignored["positions"]),
        effective_samples=float(body["effective_samples"]),
    )


def _numbers(values: Any) -> Floats:
    # None becomes NaN
    return np.array(values, dtype=np.float64)
