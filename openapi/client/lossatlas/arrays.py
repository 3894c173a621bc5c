"""A landscape's record and arrays, without I/O: what the client's two kinds of landscape share."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from lossatlas.curvature import Curvature
from lossatlas.display import card
from lossatlas.grids import DatasetValues, Flags, Floats, Grid, Words
from lossatlas.networks import NetworkValues
from lossatlas.steps import Steps
from lossatlas.trajectories import Trajectory
from lossatlas.values import LandscapeRecord

if TYPE_CHECKING:
    from lossatlas.labelled import Dataset as XarrayDataset
    from lossatlas.plotting import Axes

T = TypeVar("T")


class LandscapeBase:
    """A finished result. Without a data set's name, the first data set's values are meant."""

    def __init__(self, transport: Any, record: LandscapeRecord) -> None:
        self._transport = transport
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

    def plot(
        self,
        ax: Axes | None = None,
        *,
        view: str | None = None,
        metric: str | None = None,
        dataset: str | None = None,
        log: bool | None = None,
        levels: int = 20,
        vmin: float | None = None,
        vmax: float | None = None,
        colorbar: bool = True,
    ) -> Axes:
        """Draws into matplotlib axes, from the arrays; `figure` has the service draw.

        Cells without a finite value are hatched, never coloured or bridged. The scale leaves them
        out.

        Args:
            ax: drawn into; new axes by default. Of the view `surface` it must be a 3-D one.
            view: `curve` for a line; `contour` (the usual one), `filled`, `heatmap` or `surface`
                for a plane; `spectrum` for a point's curvature.
            metric: `loss` (the usual one), `accuracy`, `stderr`, or another of the data set's.
            dataset: by name; the first on a plane and all on a curve.
            log: a logarithmic scale; by default where the values are positive and span a factor of
                fifty.
            levels: contour lines at most.
            vmin, vmax: ends of the scale.

        Raises:
            InputError: a view or a metric that does not fit, or matplotlib is absent.
        """
        from lossatlas.plotting import draw

        return draw(
            self,
            ax,
            view=view,
            metric=metric,
            dataset=dataset,
            log=log,
            levels=levels,
            ends=(vmin, vmax),
            colorbar=colorbar,
        )

    def to_xarray(self) -> XarrayDataset:
        """Every data set's values with their axes, as an xarray Dataset.

        Dimensions `dataset`, `y` (on a plane) and `x`; variables `loss`, `stderr`, `status`, and
        `accuracy` and others where there are any. NaN and infinities as in the arrays.

        Raises:
            InputError: xarray is absent.
        """
        from lossatlas.labelled import to_xarray

        return to_xarray(self)

    def _card(self, below: str = "") -> str:
        rows: dict[str, Any] = {
            "project": self.record.project,
            "model": self.record.model,
            "job": self.record.job,
            "tags": self.record.tags,
        }
        for name, measure in self.derived.items():
            value = measure.get("value") if isinstance(measure, Mapping) else None
            if isinstance(value, int | float) and len(rows) < _ROWS:
                rows[name.replace("_", " ")] = value
        return card(f"{self.record.title or self.kind} {self.id}", rows, below)

    def _run(self, steps: Steps[T]) -> T:
        done: T = self._transport.run(steps)
        return done


#: A card has so many rows at most.
_ROWS = 10
