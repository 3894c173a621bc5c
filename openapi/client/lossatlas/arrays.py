"""A landscape's record and arrays, however they come."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from lossatlas.curvature import Curvature
from lossatlas.grids import DatasetValues, Flags, Floats, Grid, Words
from lossatlas.networks import NetworkValues
from lossatlas.trajectories import Trajectory
from lossatlas.values import LandscapeRecord


class LandscapeArrays:
    """A finished result. Without a data set's name, the first data set's values are meant."""

    def __init__(self, record: LandscapeRecord) -> None:
        self.record = record

    def __repr__(self) -> str:
        title = f" {self.record.title!r}" if self.record.title else ""
        return f"<{type(self).__name__} {self.id} {self.kind}{title}>"

    @property
    def id(self) -> str:
        """`lsc_…`"""
        return self.record.id

    @property
    def kind(self) -> str:
        """`surface`, `interpolation`, `line`…"""
        return self.record.kind

    @property
    def derived(self) -> Mapping[str, Any]:
        """Measures by name, each with its value and its definition."""
        return self.record.derived

    @property
    def provenance(self) -> Mapping[str, Any]:
        """Everything needed to compute the same numbers again."""
        return self.record.provenance

    @property
    def outdated(self) -> str | None:
        """What to know where its numbers were computed under older definitions; else None."""
        return self.record.outdated

    @property
    def grid(self) -> Grid:
        """Axes and values of every data set."""
        raise NotImplementedError

    @property
    def x(self) -> Floats:
        """Points along the first direction, shape (nx,)."""
        return self.grid.x

    @property
    def y(self) -> Floats | None:
        """Points along the second direction, shape (ny,); None on a line."""
        return self.grid.y

    @property
    def loss(self) -> Floats:
        """Shape (ny, nx), `[iy][ix]`; (n,) on a line. NaN where the status is not `ok`."""
        return self.grid.dataset().loss

    @property
    def stderr(self) -> Floats:
        """Standard error of the mean loss, laid out as `loss`."""
        return self.grid.dataset().stderr

    @property
    def evaluated(self) -> Flags:
        """Which cells were evaluated: all, but of an adaptive surface."""
        return self.grid.dataset().evaluated

    @property
    def estimated_error(self) -> Floats:
        """How far `loss` may be from the exact one, relative; 0 where it was evaluated."""
        return self.grid.dataset().estimated_error

    @property
    def sampling(self) -> Mapping[str, Any] | None:
        """The account of an adaptive surface: evaluations, saving, audit; None of exact ones."""
        return self.grid.sampling

    @property
    def accuracy(self) -> Floats | None:
        """A fraction, laid out as `loss`; None where the loss has none."""
        return self.grid.dataset().accuracy

    @property
    def status(self) -> Words:
        """A word for each cell, the worst of all data sets; `ok` where there is a value."""
        return self.grid.status

    @cached_property
    def trajectory(self) -> Trajectory | None:
        """The path of training on the plane; None for other kinds."""
        body = self.grid.body.get("trajectory")
        return None if body is None else Trajectory.from_json(body)

    @cached_property
    def networks(self) -> tuple[NetworkValues, ...]:
        """The networks that the line or plane passes through, with their own losses, where some
        are told apart from its points; () otherwise.
        """
        return tuple(map(NetworkValues.from_json, self.grid.body.get("networks", ())))

    @cached_property
    def curvature(self) -> Curvature | None:
        """The Hessian's spectrum; None unless it was asked for at a single point."""
        body = self.grid.body.get("curvature")
        return Curvature.from_json(body) if body and self.y is None else None

    @property
    def datasets(self) -> tuple[str, ...]:
        """Names, in the job's order."""
        return tuple(self.grid.datasets)

    def dataset(self, name: str) -> DatasetValues:
        """One data set's values. Raises KeyError naming those there are."""
        return self.grid.dataset(name)
