"""HDF5 with the keys of the published code (Li et al. 2018), so that its scripts read it.

`xcoordinates ycoordinates train_loss train_acc test_loss test_acc` lie at the root, accuracies in
per cent; with curvature `min_eig` and `max_eig` beside them, with a trajectory `proj_xcoord`,
`proj_ycoord` and `explained_variance_ratio_`, so that one file serves as the published surface,
projection and direction file. The published code evaluates flat cell k at `meshgrid(x, y)`'s k-th
point, and its plotting holds the array against that mesh; so the arrays here are laid out
`[iy][ix]`, shape (ny, nx). (Its own files give the shape as (nx, ny): the same numbers in the same
order, which its contour plots refuse unless nx = ny.) Every data set is also a group with all that
is known of it.

The bytes depend on the arguments only: no clock, no machine.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, Final

import h5py
import numpy as np
from numpy.typing import NDArray

from service.domain.adaptive import Sampling
from service.domain.cells import CellStatus
from service.domain.networks import sentences
from service.domain.questions.curvature.result import array, has_map, has_spectrum
from service.domain.results import DatasetGrid, GridResult
from service.exports.about import About
from service.exports.trajectory import path_of

MEDIA_TYPE: Final = "application/x-hdf5"

#: Words for what a data set is, as people name their splits.
_TEST: Final = ("test", "val", "valid", "validation", "eval", "dev", "holdout")
_TRAIN: Final = ("train", "training")


def encode_hdf5(
    result: GridResult,
    about: About,
    tensors: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
) -> bytes:
    """The file's bytes.

    Args:
        tensors: the directions' tensors by axis (`x`, `y`) and name; left out, the groups
            `xdirection` and `ydirection` hold only where they come from.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=True) as file:
        _head(file, result, about)
        train, test = sides(result, about)
        for side, grid in (("train", train), ("test", test)):
            if grid is not None:
                _as_published(file, side, grid)
        _eigenvalues(file, result)
        for grid in result.datasets:
            _group(file, grid, about)
        for axis, planned in (about.provenance.get("directions") or {}).items():
            _direction(file, axis, planned, (tensors or {}).get(axis) or {})
        _path(file, result)
        for name, values in result.attachments.items():
            _put(file, "attachments/" + name.replace(".", "/"), values)
    return buffer.getvalue()


def sides(result: GridResult, about: About) -> tuple[DatasetGrid | None, DatasetGrid | None]:
    """The data sets shown as training and as test.

    By their splits where those are known; of the others the first is training and the second test.
    """
    words = {grid.name: (about.splits.get(grid.name) or "").lower() for grid in result.datasets}
    train = next((g for g in result.datasets if words[g.name] in _TRAIN), None)
    test = next((g for g in result.datasets if words[g.name] in _TEST), None)
    for grid in result.datasets:
        if words[grid.name] in (*_TRAIN, *_TEST):
            continue
        if train is None:
            train = grid
        elif test is None:
            test = grid
    return train, test


def _head(file: h5py.File, result: GridResult, about: About) -> None:
    for name in ("landscape", "kind", "title", "model"):
        file.attrs[name] = getattr(about, name) or ""
    for name in ("engine", "definitions", "dtype", "device", "buffers", "cosine"):
        value = about.provenance.get(name)
        if value is not None:
            file.attrs[name] = value
    sampling = Sampling.of(result)
    if sampling is not None:
        file.attrs["sampling"] = sampling.sentence(result, result.datasets[0])
    told = sentences(result, result.datasets, {})
    if told:
        file.attrs["networks"] = " ".join(told)
    file.attrs["layout"] = "values[iy][ix]"
    _put(file, "xcoordinates", result.x)
    if result.y is not None:
        _put(file, "ycoordinates", result.y)
    _put(file, "anchors", result.anchors)
    # too long for an attribute, of which HDF5 allows 64 KiB
    _text(file, "provenance", json.dumps(about.provenance, sort_keys=True))
    _text(file, "derived", json.dumps(about.derived, sort_keys=True))


def _as_published(file: h5py.File, side: str, grid: DatasetGrid) -> None:
    loss = _put(file, f"{side}_loss", grid.loss)
    # where there is none, the published plots still ask for it
    missing = grid.accuracy is None
    accuracy = np.full(grid.loss.shape, np.nan) if grid.accuracy is None else grid.accuracy * 100
    percent = _put(file, f"{side}_acc", accuracy)
    percent.attrs["unit"] = "per cent"
    percent.attrs["defined"] = not missing
    for stored in (loss, percent):
        stored.attrs["dataset"] = grid.name
    _put(file, f"{side}_status", grid.status).attrs["codes"] = _codes()


def _eigenvalues(file: h5py.File, result: GridResult) -> None:
    """Of a map, or of the one cell of a point: its ends of the spectrum under the published names.

    Cells whose curvature is not known are NaN: the published code would compute its own marks, -1
    and 1, again.
    """
    extra = result.datasets[0].extra
    if has_map(result):
        ends = extra.get("lambda_min"), extra.get("lambda_max")
    elif has_spectrum(result):
        ends = _outermost(result, "smallest"), _outermost(result, "largest")
    else:
        return
    for name, values in zip(("min_eig", "max_eig"), ends, strict=True):
        if values is not None:
            _put(file, name, values).attrs["dataset"] = result.datasets[0].name


def _outermost(result: GridResult, end: str) -> NDArray[np.float64] | None:
    values = array(result, end)
    return None if values is None or not len(values) else np.array([float(values[0])])


def _group(file: h5py.File, grid: DatasetGrid, about: About) -> None:
    group = file.create_group(f"datasets/{_segment(grid.name)}", track_order=True)
    group.attrs["name"] = grid.name
    group.attrs["samples"] = grid.samples
    if grid.counted is not None:
        for name, value in grid.counted.model_dump(mode="json").items():
            group.attrs[name] = value
    group.attrs["split"] = about.splits.get(grid.name) or ""
    _put(group, "loss", grid.loss)
    _put(group, "stderr", grid.stderr)
    if grid.accuracy is not None:
        _put(group, "accuracy", grid.accuracy).attrs["unit"] = "fraction"
    _put(group, "status", grid.status).attrs["codes"] = _codes()
    for name, values in grid.extra.items():
        _put(group, f"extra/{_segment(name)}", values)
    _put(group, "anchors/loss", grid.anchors.loss)
    _put(group, "anchors/stderr", grid.anchors.stderr)
    _put(group, "anchors/status", grid.anchors.status)
    if grid.anchors.accuracy is not None:
        _put(group, "anchors/accuracy", grid.anchors.accuracy).attrs["unit"] = "fraction"


def _direction(
    file: h5py.File, axis: str, planned: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]
) -> None:
    group = file.create_group(f"{axis}direction", track_order=True)
    for name in ("id", "norm", "object"):
        if planned.get(name) is not None:
            group.attrs[name] = planned[name]
    group.attrs["spec"] = json.dumps(planned.get("spec") or {}, sort_keys=True)
    for name, values in tensors.items():
        _put(group, _segment(name), values)


def _path(file: h5py.File, result: GridResult) -> None:
    """The path of training under the published names.

    Its plots draw one line through all points: NaN between two runs keeps them apart.
    """
    steps = path_of(result)
    if steps:
        runs = sorted({step.run for step in steps})
        parts = [[(step.x, step.y) for step in steps if step.run == run] for run in runs]
        apart = [(np.nan, np.nan)]
        joined = [point for part in parts for point in (*apart, *part)][1:]
        for name, values in zip(("proj_xcoord", "proj_ycoord"), np.array(joined).T, strict=True):
            _put(file, name, values)
    ratios = result.attachments.get("trajectory.explained_variance")
    if ratios is not None:
        _put(file, "explained_variance_ratio_", ratios)


def _put(parent: h5py.Group, name: str, values: NDArray[Any]) -> h5py.Dataset:
    if values.dtype.kind == "U":
        # HDF5 has no arrays of code points; texts of one length in UTF-8 it has
        encoded = np.char.encode(values, "utf-8")
        kind = h5py.string_dtype("utf-8", max(1, encoded.dtype.itemsize))
        return parent.create_dataset(name, data=encoded.astype(kind), track_times=False)
    return parent.create_dataset(name, data=values, track_times=False)


def _text(file: h5py.File, name: str, text: str) -> None:
    data = np.frombuffer(text.encode(), dtype=f"S{max(1, len(text.encode()))}")
    kind = h5py.string_dtype("utf-8", data.dtype.itemsize)
    file.create_dataset(name, data=data[0], dtype=kind, track_times=False)


def _codes() -> str:
    return " ".join(f"{code.value}={code.word}" for code in CellStatus)


def _segment(name: str) -> str:
    """A name as one step of a path: `/` would begin another, `.` alone would be this group."""
    escaped = name.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
    return escaped.replace(".", "%2E") if escaped.strip(".") == "" else escaped
