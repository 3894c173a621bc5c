"""A landscape's arrays drawn and labelled: what the client's two kinds of landscape share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from lossatlas.arrays import LandscapeArrays
from lossatlas.display import card
from lossatlas.steps import Steps
from lossatlas.values import LandscapeRecord

if TYPE_CHECKING:
    from lossatlas.labelled import Dataset as XarrayDataset
    from lossatlas.plotting import Axes

T = TypeVar("T")


class LandscapeBase(LandscapeArrays):
    """A finished result of a service, which `transport` reaches."""

    def __init__(self, transport: Any, record: LandscapeRecord) -> None:
        super().__init__(record)
        self._transport = transport

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
            "outdated": self.outdated,
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
