"""A finished result: arrays on demand, figures and files from the service."""

from __future__ import annotations

import base64
import html
import tempfile
import webbrowser
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lossatlas.curvature import Curvature
from lossatlas.errors import InputError
from lossatlas.files import write_bytes
from lossatlas.grids import DatasetValues, Floats, Grid, Words
from lossatlas.trajectories import Trajectory
from lossatlas.values import LandscapeRecord

if TYPE_CHECKING:
    from lossatlas.transport import Transport

View = Literal["curve", "weights", "contour", "filled", "heatmap", "surface", "spectrum", "layers"]
Theme = Literal["light", "dark"]

FIGURE_SUFFIXES = (".png", ".svg")
DATA_SUFFIXES = (".json", ".npz", ".h5", ".vts")
PAGE_SUFFIXES = (".html",)
#: Everything that a landscape is written as.
SUFFIXES = (*FIGURE_SUFFIXES, *DATA_SUFFIXES, *PAGE_SUFFIXES)


class Landscape:
    """A loss landscape, immutable. Arrays are fetched when first needed and kept.

    Without a data set's name, the first data set's values are meant.
    """

    def __init__(self, transport: Transport, record: LandscapeRecord) -> None:
        self._transport = transport
        self.record = record

    def __repr__(self) -> str:
        title = f" {self.record.title!r}" if self.record.title else ""
        return f"<Landscape {self.id} {self.kind}{title}>"

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

    @cached_property
    def grid(self) -> Grid:
        """Axes and values of every data set."""
        return Grid.from_json(self._transport.call("GET", f"{self._here}/data.json").json())

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

    def figure(
        self,
        format: Literal["png", "svg"] = "png",
        *,
        view: View | str | None = None,
        metric: str | None = None,
        dataset: str | None = None,
        log: bool | None = None,
        levels: int | None = None,
        vmin: float | None = None,
        vmax: float | None = None,
        theme: Theme | None = None,
        width: int | None = None,
        trajectory: bool | None = None,
    ) -> bytes:
        """A figure's bytes, drawn by the service.

        Args:
            view: `curve` for a line; `contour` (the usual one), `filled`, `heatmap` or `surface`
                for a plane; `spectrum` (the usual one) or `layers` for a point's curvature.
            metric: `loss` (the usual one), `accuracy`, or of a convexity map `ratio` (the usual
                one), `lambda_max`, `lambda_min`.
            dataset: by name; the first on a plane and all on a curve.
            log: a logarithmic scale; chosen by the values when left out.
            levels: contour lines at most.
            vmin, vmax: ends of the scale.
            width: in pixels.
            trajectory: False leaves the path of training out.

        Raises:
            ProblemError: a view that does not fit, or a name that is not there.
        """
        query = {
            "view": view,
            "metric": metric,
            "dataset": dataset,
            "log": None if log is None else str(log).lower(),
            "levels": levels,
            "vmin": vmin,
            "vmax": vmax,
            "theme": theme,
            "width": width,
            "trajectory": None if trajectory is None else str(trajectory).lower(),
        }
        return self._transport.call("GET", f"{self._here}/figure.{format}", query=query).content

    def save_figure(self, path: str | Path, view: View | str | None = None, **options: Any) -> Path:
        """Writes a figure, PNG or SVG by the path's suffix; options as for `figure`.

        Raises:
            InputError: another suffix.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix == ".png":
            return write_bytes(path, self.figure("png", view=view, **options))
        if suffix == ".svg":
            return write_bytes(path, self.figure("svg", view=view, **options))
        raise InputError(f"{path.name}: a figure is a .png or an .svg")

    def save_data(self, path: str | Path) -> Path:
        """Writes the values, in the format of the path's suffix.

        `.json` and `.npz`; `.h5` with the keys of the published code (Li et al. 2018); `.vts` for
        ParaView.

        Raises:
            InputError: another suffix.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in DATA_SUFFIXES:
            raise InputError(f"{path.name}: values are a {' '.join(DATA_SUFFIXES)}")
        return write_bytes(path, self._transport.call("GET", f"{self._here}/data{suffix}").content)

    def page(self) -> str:
        """An interactive page, self-contained HTML: a surface to turn, or curves."""
        return self._transport.call("GET", f"{self._here}/view").content.decode()

    def save_page(self, path: str | Path) -> Path:
        """Writes the interactive page. Raises InputError for a suffix other than .html."""
        path = Path(path)
        if path.suffix.lower() not in PAGE_SUFFIXES:
            raise InputError(f"{path.name}: a page is an .html")
        return write_bytes(path, self.page().encode())

    def show(self, path: str | Path | None = None) -> Path:
        """Writes the interactive page and opens it in a browser.

        Args:
            path: where to; by default a file of this landscape's id in the temporary folder.

        Returns:
            The file, which stays.
        """
        if path is None:
            # a folder of our own: a name that others can foresee could lead elsewhere
            path = Path(tempfile.mkdtemp(prefix="lossatlas-")) / f"{self.id}.html"
        written = self.save_page(path).resolve()
        webbrowser.open(written.as_uri())
        return written

    def save(self, path: str | Path, view: View | str | None = None) -> Path:
        """Writes a figure, the values or the interactive page, by the path's suffix.

        Raises:
            InputError: a suffix that is not among `SUFFIXES`.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix in FIGURE_SUFFIXES:
            return self.save_figure(path, view)
        if suffix in DATA_SUFFIXES:
            return self.save_data(path)
        if suffix in PAGE_SUFFIXES:
            return self.save_page(path)
        raise InputError(
            f"{path.name}: give {' '.join(FIGURE_SUFFIXES)} for a figure, "
            f"{' '.join(DATA_SUFFIXES)} for values or .html for a page"
        )

    def _repr_png_(self) -> bytes:
        return self.figure("png")

    def _repr_html_(self) -> str:
        image = base64.b64encode(self.figure("png")).decode()
        words = html.escape(f"{self.record.title or self.kind} ({self.id})")
        return f'<img src="data:image/png;base64,{image}" alt="{words}" style="max-width: 100%">'

    @property
    def _here(self) -> str:
        return f"/v1/landscapes/{self.id}"
