"""A grid of results as arrays: assembled from tiles, written to npz, read back, shown as JSON.

Owns the layout `values[iy][ix]` and the rule that JSON shows `null` wherever the status is
not `ok` while arrays keep NaN and infinities as they came.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.counted import Counted
from service.domain.plan import JobPlan


@dataclass(frozen=True)
class DatasetGrid:
    """One data set's values. Every array has the grid's shape, (ny, nx) or (n,).

    `anchors` holds the values at `GridResult.anchors`, shape (k,), in the same order. `extra`
    holds further values of every cell by name, for jobs that compute more than the loss. `samples`
    is how many the mean is over, and `counted` what else is known of that; None in results from
    before it was counted, whose `samples` are all that the data set has.
    """

    name: str
    loss: NDArray[np.float64]
    stderr: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    status: NDArray[np.int8]
    samples: int
    anchors: DatasetTile
    extra: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    counted: Counted | None = None

    @property
    def effective_samples(self) -> float:
        """How many samples of equal weight would leave a mean as uncertain."""
        return float(self.samples) if self.counted is None else self.counted.effective_samples


@dataclass(frozen=True)
class GridResult:
    """A curve (y is None) or a surface over several data sets.

    `anchors`, shape (k, 2), are the (α, β) whose values are always known: a plane's centre,
    a line's two ends, a path's projections. `attachments` are further arrays by name that belong
    to no cell: a path, a spectrum. Their names are dotted, `trajectory.distances` for example.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64] | None
    anchors: NDArray[np.float64]
    datasets: tuple[DatasetGrid, ...]
    attachments: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.x),) if self.y is None else (len(self.y), len(self.x))

    @property
    def status(self) -> NDArray[np.int8]:
        """The worst status of the data sets, cell by cell."""
        worst: NDArray[np.int8] = np.max(np.stack([d.status for d in self.datasets]), axis=0)
        return worst

    def dataset(self, name: str | None = None) -> DatasetGrid:
        """The named data set, or the first. Raises KeyError naming those there are."""
        if name is None:
            return self.datasets[0]
        for dataset in self.datasets:
            if dataset.name == name:
                return dataset
        raise KeyError(f"no data set {name!r}; there are {[d.name for d in self.datasets]}")

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Named arrays: `x y anchors names`, per data set i `d<i>.loss` and `d<i>.anchor.loss`…"""
        arrays: dict[str, NDArray[Any]] = {"x": self.x}
        if self.y is not None:
            arrays["y"] = self.y
        arrays["anchors"] = self.anchors
        arrays["names"] = np.array([d.name for d in self.datasets], dtype=np.str_)
        for i, d in enumerate(self.datasets):
            arrays[f"d{i}.loss"] = d.loss
            arrays[f"d{i}.stderr"] = d.stderr
            if d.accuracy is not None:
                arrays[f"d{i}.accuracy"] = d.accuracy
            arrays[f"d{i}.status"] = d.status
            arrays.update({f"d{i}.extra.{name}": values for name, values in d.extra.items()})
            arrays[f"d{i}.samples"] = np.array(d.samples, dtype=np.int64)
            if d.counted is not None:
                arrays.update(d.counted.to_arrays(f"d{i}"))
            arrays.update(_tile_arrays(f"d{i}.anchor", d.anchors))
        arrays.update({_ATTACHED + name: values for name, values in self.attachments.items()})
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> GridResult:
        """The inverse of `to_arrays`. Raises KeyError when an array is missing."""
        datasets = tuple(
            DatasetGrid(
                name=str(name),
                loss=arrays[f"d{i}.loss"],
                stderr=arrays[f"d{i}.stderr"],
                accuracy=arrays.get(f"d{i}.accuracy"),
                status=arrays[f"d{i}.status"],
                samples=int(arrays[f"d{i}.samples"]),
                anchors=_tile_from(f"d{i}.anchor", arrays),
                extra=_extra(f"d{i}", arrays),
                counted=Counted.from_arrays(f"d{i}", arrays),
            )
            for i, name in enumerate(arrays["names"])
        )
        return cls(
            x=arrays["x"],
            y=arrays.get("y"),
            anchors=arrays["anchors"],
            datasets=datasets,
            attachments=_attachments(arrays),
        )

    def to_json(self) -> dict[str, Any]:
        """`x y datasets status` of the wire form."""
        body: dict[str, Any] = {"x": self.x.tolist()}
        if self.y is not None:
            body["y"] = self.y.tolist()
        body["datasets"] = {d.name: _dataset_json(d) for d in self.datasets}
        body["status"] = _words(self.status)
        body["anchors"] = [
            {
                "at": point[:1] if self.y is None else point,
                "datasets": {d.name: _anchor_json(d.anchors, k) for d in self.datasets},
            }
            for k, point in enumerate(self.anchors.tolist())
        ]
        return body


@dataclass(frozen=True)
class DatasetTile:
    """One data set's values at a tile's cells, each of shape (cells,)."""

    loss: NDArray[np.float64]
    stderr: NDArray[np.float64]
    accuracy: NDArray[np.float64] | None
    status: NDArray[np.int8]
    extra: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)


@dataclass(frozen=True)
class Tile:
    """Values at `index`, flat cell indices of the grid, shape (cells,).

    `attachments` become the result's.
    """

    index: NDArray[np.int64]
    datasets: tuple[DatasetTile, ...]
    attachments: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def to_npz(self) -> bytes:
        arrays: dict[str, NDArray[Any]] = {"index": self.index}
        for i, d in enumerate(self.datasets):
            arrays.update(_tile_arrays(f"d{i}", d))
        arrays.update({_ATTACHED + name: values for name, values in self.attachments.items()})
        return encode_npz(arrays)

    @classmethod
    def from_npz(cls, data: bytes) -> Tile:
        """Raises ValueError when the bytes are not a tile."""
        arrays = decode_npz(data)
        count = sum(1 for key in arrays if _STATUS.fullmatch(key))
        try:
            datasets = tuple(_tile_from(f"d{i}", arrays) for i in range(count))
            return cls(arrays["index"], datasets, _attachments(arrays))
        except KeyError as error:
            raise ValueError(f"not a tile: {error} is missing") from error


#: Before the names of attachments among a result's arrays.
_ATTACHED: Final = "attached."
_STATUS: Final = re.compile(r"d[0-9]+\.status")


def _attachments(arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {
        name.removeprefix(_ATTACHED): values
        for name, values in arrays.items()
        if name.startswith(_ATTACHED)
    }


def _tile_arrays(prefix: str, tile: DatasetTile) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {
        f"{prefix}.loss": tile.loss,
        f"{prefix}.stderr": tile.stderr,
        f"{prefix}.status": tile.status,
    }
    if tile.accuracy is not None:
        arrays[f"{prefix}.accuracy"] = tile.accuracy
    arrays.update({f"{prefix}.extra.{name}": values for name, values in tile.extra.items()})
    return arrays


def _tile_from(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> DatasetTile:
    return DatasetTile(
        loss=arrays[f"{prefix}.loss"],
        stderr=arrays[f"{prefix}.stderr"],
        accuracy=arrays.get(f"{prefix}.accuracy"),
        status=arrays[f"{prefix}.status"],
        extra=_extra(prefix, arrays),
    )


def _extra(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.float64]]:
    start = f"{prefix}.extra."
    return {key.removeprefix(start): a for key, a in arrays.items() if key.startswith(start)}


def assemble(
    plan: JobPlan, names: Sequence[str], samples: Sequence[int], tiles: Iterable[Tile]
) -> GridResult:
    """Lays tiles into the plan's grid; cells that no tile covers are `pending`.

    Args:
        names: the data sets' names, distinct, in the tiles' order.
        samples: how many samples each has, for plans that do not say how many count.
    Raises:
        ValueError: a tile of other data sets, or an index outside the plan.
    """
    total = plan.evaluations
    loss = np.full((len(names), total), np.nan)
    stderr = np.full((len(names), total), np.nan)
    accuracy = np.full((len(names), total), np.nan)
    has_accuracy = [False] * len(names)
    status = np.full((len(names), total), CellStatus.PENDING, dtype=np.int8)
    extra: list[dict[str, NDArray[np.float64]]] = [{} for _ in names]
    attachments: dict[str, NDArray[Any]] = {}
    for tile in tiles:
        if len(tile.datasets) != len(names):
            raise ValueError(f"a tile of {len(tile.datasets)} data sets in a grid of {len(names)}")
        if len(tile.index) and (tile.index.min() < 0 or tile.index.max() >= total):
            raise ValueError(f"a tile reaches outside the plan's {total} points")
        for i, d in enumerate(tile.datasets):
            loss[i, tile.index] = d.loss
            stderr[i, tile.index] = d.stderr
            status[i, tile.index] = d.status
            if d.accuracy is not None:
                accuracy[i, tile.index] = d.accuracy
                has_accuracy[i] = True
            for key, values in d.extra.items():
                extra[i].setdefault(key, np.full(total, np.nan))[tile.index] = values
        attachments.update(tile.attachments)
    if plan.part is not None and plan.part.themselves:
        own = slice(plan.in_plane, plan.in_plane + len(plan.part.themselves))
        themselves = {"loss": loss, "stderr": stderr, "accuracy": accuracy, "status": status}
        attachments |= plan.part.attachments(**{key: of[:, own] for key, of in themselves.items()})
    if plan.networks:
        places = np.array(plan.network_indices(), dtype=np.int64)
        attachments["network.roles"] = np.array([n.role for n in plan.networks], dtype=np.str_)
        attachments["network.at"] = np.array([n.at for n in plan.networks], dtype=np.float64)
        attachments["network.itself"] = np.array([n.itself for n in plan.networks], dtype=np.bool_)
        attachments["network.loss"] = loss[:, places]
        attachments["network.stderr"] = stderr[:, places]
        attachments["network.accuracy"] = accuracy[:, places]
        attachments["network.status"] = status[:, places]
    anchors = np.array(plan.anchor_indices(), dtype=np.int64)
    counted = plan.counted or (None,) * len(names)
    shape, cells = plan.shape, plan.cells
    return GridResult(
        x=np.asarray(plan.x, dtype=np.float64),
        y=None if plan.y is None else np.asarray(plan.y, dtype=np.float64),
        anchors=np.array(plan.anchors, dtype=np.float64).reshape(-1, 2),
        attachments=attachments,
        datasets=tuple(
            DatasetGrid(
                name=name,
                loss=loss[i, :cells].reshape(shape),
                stderr=stderr[i, :cells].reshape(shape),
                accuracy=accuracy[i, :cells].reshape(shape) if has_accuracy[i] else None,
                status=status[i, :cells].reshape(shape),
                samples=samples[i] if (c := counted[i]) is None else c.samples,
                anchors=DatasetTile(
                    loss=loss[i, anchors],
                    stderr=stderr[i, anchors],
                    accuracy=accuracy[i, anchors] if has_accuracy[i] else None,
                    status=status[i, anchors],
                    extra={key: values[anchors] for key, values in extra[i].items()},
                ),
                extra={key: values[:cells].reshape(shape) for key, values in extra[i].items()},
                counted=counted[i],
            )
            for i, name in enumerate(names)
        ),
    )


def unique_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names made distinct in order: a second `train` becomes `train (2)`."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)


def encode_npz(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An npz of bytes that depend on the arrays only (no clock): equal results digest alike."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)
    return buffer.getvalue()


def decode_npz(data: bytes) -> dict[str, NDArray[Any]]:
    """Arrays by name; never unpickles. Raises ValueError when the bytes are not such an npz."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(f"not an npz: {error}") from error


def _dataset_json(d: DatasetGrid) -> dict[str, Any]:
    body: dict[str, Any] = {
        "loss": {"values": _nulled(d.loss, d.status), "stderr": _nulled(d.stderr, d.status)},
        "samples": d.samples,
        **({} if d.counted is None else d.counted.to_json()),
        "status": _words(d.status),
    }
    if d.accuracy is not None:
        body["accuracy"] = {"values": _nulled(d.accuracy, d.status)}
    for name, values in d.extra.items():
        body[name] = {"values": _nulled(values, d.status)}
    return body


def _anchor_json(tile: DatasetTile, k: int) -> dict[str, Any]:
    status = tile.status[k : k + 1]
    body = {
        "loss": _nulled(tile.loss[k : k + 1], status)[0],
        "stderr": _nulled(tile.stderr[k : k + 1], status)[0],
        "status": _words(status)[0],
    }
    if tile.accuracy is not None:
        body["accuracy"] = _nulled(tile.accuracy[k : k + 1], status)[0]
    return body


def _nulled(values: NDArray[np.float64], status: NDArray[np.int8]) -> Any:
    # a standard error may be undefined (one sample) where the loss itself is fine
    shown = (status == CellStatus.OK) & np.isfinite(values)
    nulled = values.astype(object)
    nulled[~shown] = None
    return nulled.tolist()


def _words(status: NDArray[np.int8]) -> Any:
    words = np.array([code.word for code in CellStatus], dtype=object)
    return words[status].tolist()
