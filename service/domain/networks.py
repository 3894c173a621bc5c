"""Networks that a line or plane passes through: their own values beside what it gives there.

A point of a line has the running statistics that `buffers` gives it: the origin's, interpolated or
recomputed ones. A network is its weights with its own statistics. Where the two differ, networks
are evaluated themselves, and stand beside the grid as the attachments `network.*`. Owns the reading
of those names and the JSON member `networks`. A result without them has networks whose places on
the line or plane are all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.plan import JobPlan
from service.domain.questions.trajectory.result import Trajectory
from service.domain.results import DatasetGrid, DatasetTile, GridResult

_PREFIX: Final = "network."

DEFINITION: Final = (
    "`datasets`: the network itself, its weights with its own running statistics. `on_line` or "
    "`on_plane`: what the line or plane gives at its place, with the running statistics that every "
    "point there has (`buffers`)."
)


@dataclass(frozen=True)
class Networks:
    """Own values of k networks over d data sets.

    Attributes:
        roles: shape (k,): `origin`; `target` of a line; `x`, `y`: the direction that leads there.
        at: shape (k, 2), (α, β).
        itself: shape (k,), whether it was evaluated beside the grid.
        loss, stderr, accuracy: shape (d, k); accuracy is NaN for a data set without.
        status: shape (d, k), codes of `CellStatus`.
    """

    roles: NDArray[np.str_]
    at: NDArray[np.float64]
    itself: NDArray[np.bool_]
    loss: NDArray[np.float64]
    stderr: NDArray[np.float64]
    accuracy: NDArray[np.float64]
    status: NDArray[np.int8]

    @classmethod
    def of(cls, result: GridResult) -> Networks | None:
        """The result's networks, or None where it has none to tell apart from its points."""
        if _PREFIX + "loss" not in result.attachments:
            return None
        names = ("roles", "at", "itself", "loss", "stderr", "accuracy", "status")
        return cls(**{name: result.attachments[_PREFIX + name] for name in names})

    def place(self, role: str) -> int | None:
        """Where the network of this role stands; None if there is none."""
        found = np.flatnonzero(self.roles == role)
        return int(found[0]) if len(found) else None

    def tile(self, dataset: int) -> DatasetTile:
        """One data set's own values, each of shape (k,)."""
        accuracy = self.accuracy[dataset]
        return DatasetTile(
            loss=self.loss[dataset],
            stderr=self.stderr[dataset],
            accuracy=accuracy if np.isfinite(accuracy).any() else None,
            status=self.status[dataset],
        )

    def to_json(
        self, result: GridResult, planned: Sequence[Mapping[str, Any]] = ()
    ) -> list[dict[str, Any]]:
        """One object a network; `null` for what is not known.

        Args:
            planned: of the provenance: `checkpoint` and `label` of each role.
        """
        known = {str(entry.get("role")): entry for entry in planned}
        shown = "on_line" if result.y is None else "on_plane"
        return [
            {
                "role": role,
                "checkpoint": known.get(role, {}).get("checkpoint"),
                "label": known.get(role, {}).get("label"),
                "at": at[:1] if result.y is None else at,
                "datasets": {
                    d.name: _values(self.tile(i), k) for i, d in enumerate(result.datasets)
                },
                shown: {
                    d.name: _values(d.anchors, anchor)
                    for d in result.datasets
                    if (anchor := anchor_at(result, at)) is not None
                },
                "definition": DEFINITION,
            }
            for k, (role, at) in enumerate(zip(self.roles.tolist(), self.at.tolist(), strict=True))
        ]


@dataclass(frozen=True)
class Own:
    """One network's values on one data set; `accuracy` is NaN where there is none."""

    loss: float
    stderr: float
    accuracy: float
    status: CellStatus


def own(result: GridResult, dataset: str, role: str) -> Own | None:
    """The values of the network itself; None where its place on the line or plane is all of it.

    A trajectory's origin is its centre checkpoint.
    """
    index = [grid.name for grid in result.datasets].index(dataset)
    networks = Networks.of(result)
    if networks is not None and (place := networks.place(role)) is not None:
        values = (networks.loss, networks.stderr, networks.accuracy, networks.status)
        return _own(values, index, place)
    path = Trajectory.of(result)
    if role == "origin" and path is not None and path.true is not None:
        names = ("loss", "stderr", "accuracy", "status")
        blank = np.full(path.true["loss"].shape, np.nan)
        return _own(tuple(path.true.get(name, blank) for name in names), index, path.centre)
    return None


def sentences(
    result: GridResult,
    datasets: Sequence[DatasetGrid],
    names: Mapping[str, str],
    *,
    but: Collection[str] = (),
) -> list[str]:
    """What each network's own loss is, and what is shown at its place; none where they are one.

    Args:
        names: of the networks by role; left out, the role names it.
        but: roles of which nothing is said.
    """
    networks = Networks.of(result)
    if networks is None:
        return []
    order = [grid.name for grid in result.datasets]
    where = "the line" if result.y is None else "the plane"
    said = []
    for place in np.flatnonzero(networks.itself).tolist():
        role = str(networks.roles[place])
        if role in but:
            continue
        anchor = anchor_at(result, networks.at[place].tolist())
        parts: list[str] = []
        for grid in datasets:
            part = f"{_said(networks.tile(order.index(grid.name)), place)} on {grid.name}"
            if anchor is not None:
                gives = f"{where} gives " if not parts else ""
                part += f" ({gives}{_said(grid.anchors, anchor)})"
            parts.append(part)
        name = names.get(role, _ROLES[role])
        said.append(f"{name}, with its own running statistics: loss {', '.join(parts)}.")
    return said


#: What a network is called that has no better name.
_ROLES: Final = {
    "origin": "The origin itself",
    "target": "The target itself",
    "x": "The network that x leads to",
    "y": "The network that y leads to",
}


def anchor_at(result: GridResult, at: Sequence[float]) -> int | None:
    """The anchor at (α, β); None where there is none."""
    found = np.flatnonzero((result.anchors == np.asarray(at)[None, :]).all(axis=1))
    return int(found[0]) if len(found) else None


def provenance(plan: JobPlan, labels: Mapping[str, str | None]) -> dict[str, Any]:
    """`{"networks": …}`: which lie on the line or plane, and where; {} where none is told apart.

    Args:
        labels: of checkpoints, by id.
    """
    if not plan.networks:
        return {}
    return {
        "networks": [
            {**network.model_dump(), "at": [*network.at], "label": labels.get(network.checkpoint)}
            for network in plan.networks
        ]
    }


def _said(tile: DatasetTile, k: int) -> str:
    status = CellStatus(int(tile.status[k]))
    return f"{float(tile.loss[k]):.4g}" if status is CellStatus.OK else status.word


def _own(arrays: Sequence[NDArray[Any]], dataset: int, place: int) -> Own:
    loss, stderr, accuracy, status = (values[dataset, place] for values in arrays)
    return Own(float(loss), float(stderr), float(accuracy), CellStatus(int(status)))


def _values(tile: DatasetTile, k: int) -> dict[str, Any]:
    status = CellStatus(int(tile.status[k]))
    ok = status is CellStatus.OK
    body: dict[str, Any] = {"status": status.word}
    for name, values in (("loss", tile.loss), ("stderr", tile.stderr), ("accuracy", tile.accuracy)):
        if values is not None:
            body[name] = float(values[k]) if ok and np.isfinite(values[k]) else None
    return body
