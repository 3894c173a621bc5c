"""Landscapes as xarray Datasets. The only part of the client that needs xarray."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from lossatlas.arrays import LandscapeArrays
from lossatlas.errors import InputError
from lossatlas.grids import Counted

if TYPE_CHECKING:
    from xarray import Dataset as Dataset

    from lossatlas.grids import DatasetValues


def to_xarray(landscape: LandscapeArrays) -> Dataset:
    """See `Landscape.to_xarray`."""
    try:
        import xarray
    except ImportError:
        raise InputError("to_xarray needs xarray: pip install 'lossatlas[xarray]'") from None
    grid = landscape.grid
    names = list(grid.datasets)
    dims = ("dataset", "x") if grid.y is None else ("dataset", "y", "x")
    coordinates: dict[str, Any] = {"dataset": names, "x": ("x", grid.x, _axis("x"))}
    if grid.y is not None:
        coordinates["y"] = ("y", grid.y, _axis("y"))
    all_values = [grid.datasets[name] for name in names]
    variables: dict[str, Any] = {
        "loss": (
            dims,
            np.stack([values.loss for values in all_values]),
            {"long_name": "mean loss"},
        ),
        "stderr": (
            dims,
            np.stack([values.stderr for values in all_values]),
            {"long_name": "standard error of the mean loss"},
        ),
        "status": (dims, np.stack([values.status for values in all_values])),
    }
    if all(values.accuracy is not None for values in all_values):
        variables["accuracy"] = (
            dims,
            np.stack([values.accuracy for values in all_values if values.accuracy is not None]),
            {"long_name": "accuracy", "units": "1"},
        )
    shape = variables["loss"][1].shape
    empty = np.full(shape[1:], np.nan)
    for name in sorted({name for values in all_values for name in values.extra}):
        stacked = np.stack([values.extra.get(name, empty) for values in all_values])
        if stacked.shape == shape:
            variables[name] = (dims, stacked)
    return xarray.Dataset(
        variables,
        coords=coordinates | _counts(all_values),
        attrs={"landscape": landscape.id, "kind": landscape.kind, "model": landscape.record.model},
    )


def _counts(all_values: Sequence[DatasetValues]) -> dict[str, Any]:
    """What each data set's means are over, beside its name."""
    found: dict[str, Any] = {"samples": ("dataset", [values.samples for values in all_values])}
    counted = [values.counted for values in all_values if values.counted is not None]
    if len(counted) == len(all_values):
        for name in (field.name for field in fields(Counted)):
            found[name] = ("dataset", [getattr(one, name) for one in counted])
    return found


def _axis(name: str) -> dict[str, str]:
    # in units of the direction; xarray would print a unit of 1
    return {"long_name": f"along the direction {name}"}
