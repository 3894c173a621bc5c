"""A finished result: arrays on demand, figures and files from the service."""

from __future__ import annotations

import tempfile
import webbrowser
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack

from lossatlas.display import framed, image, in_notebook, shown
from lossatlas.errors import InputError, LossatlasError
from lossatlas.files import write_bytes
from lossatlas.grids import Grid
from lossatlas.steps import Call, Steps, call, fetch, local
from lossatlas.viewing import LandscapeBase

View = Literal["curve", "weights", "contour", "filled", "heatmap", "surface", "spectrum", "layers"]
Theme = Literal["light", "dark"]

FIGURE_SUFFIXES = (".png", ".svg")
DATA_SUFFIXES = (".json", ".npz", ".h5", ".vts")
PAGE_SUFFIXES = (".html",)
#: Everything that a landscape is written as.
SUFFIXES = (*FIGURE_SUFFIXES, *DATA_SUFFIXES, *PAGE_SUFFIXES)


class SharedFigure(TypedDict, total=False):
    """What the picture of a link takes; `Landscape.figure` says what each is."""

    view: View | str | None
    metric: str | None
    dataset: str | None
    log: bool | None
    levels: int | None
    vmin: float | None
    vmax: float | None
    theme: Theme | None
    width: int | None
    trajectory: bool | None
    samples: bool | None
    plain: bool | None


class SavedFigure(TypedDict, total=False):
    """What `Landscape.figure` takes beside the format and the view."""

    metric: str | None
    dataset: str | None
    log: bool | None
    levels: int | None
    vmin: float | None
    vmax: float | None
    theme: Theme | None
    width: int | None
    trajectory: bool | None
    samples: bool | None
    beside: Sequence[Landscape | str]
    labels: Sequence[str]


#: What `figure` takes beside the format.
_OPTIONS: Final = frozenset(("view", *SavedFigure.__annotations__))


class Landscape(LandscapeBase):
    """A loss landscape, immutable. Arrays are fetched when first needed and kept.

    Without a data set's name, the first data set's values are meant.
    """

    @cached_property
    def grid(self) -> Grid:
        """Axes and values of every data set."""
        return self._run(reading(self.id))

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
        samples: bool | None = None,
        beside: Sequence[Landscape | str] = (),
        labels: Sequence[str] = (),
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
            samples: True marks the evaluated cells of an adaptive surface.
            beside: further lines, or their ids, on the same axes.
            labels: with `beside`, what the legend calls each line, this one's first; left out,
                that in which they differ.

        Raises:
            ProblemError: a view that does not fit, or a name that is not there.
        """
        options = {
            "view": view,
            "metric": metric,
            "dataset": dataset,
            "log": log,
            "levels": levels,
            "vmin": vmin,
            "vmax": vmax,
            "theme": theme,
            "width": width,
            "trajectory": trajectory,
            "samples": samples,
            "beside": beside,
            "labels": labels,
        }
        return self._run(drawing(self.id, format, options))

    def save_figure(
        self,
        /,
        path: str | Path,
        view: View | str | None = None,
        **options: Unpack[SavedFigure],
    ) -> Path:
        """Writes a figure, PNG or SVG by the path's suffix; options as for `figure`.

        Raises:
            InputError: another suffix.
        """
        return self._run(_saving_figure(self.id, Path(path), {"view": view, **options}))

    def save_data(self, path: str | Path) -> Path:
        """Writes the values, in the format of the path's suffix.

        `.json` and `.npz`; `.h5` with the keys of the published code (Li et al. 2018); `.vts` for
        ParaView.

        Raises:
            InputError: another suffix.
        """
        return self._run(_saving_data(self.id, Path(path)))

    def page(self) -> str:
        """An interactive page, self-contained HTML: a surface to turn, or curves."""
        return self._run(paging(self.id))

    def save_page(self, path: str | Path) -> Path:
        """Writes the interactive page. Raises InputError for a suffix other than .html."""
        return self._run(_saving_page(self.id, Path(path)))

    def show(self, path: str | Path | None = None, *, height: int = 680) -> Path | None:
        """Shows the interactive page: in a notebook's cell, elsewhere in a browser.

        Args:
            path: a file to write it to; elsewhere by default one of this landscape's id in the
                temporary folder.
            height: of the cell's frame, in pixels.

        Returns:
            The file, which stays; None in a notebook without a path.
        """
        return self._run(_showing(self.id, None if path is None else Path(path), height))

    def save(
        self,
        path: str | Path,
        view: View | str | None = None,
        *,
        beside: Sequence[Landscape | str] = (),
    ) -> Path:
        """Writes a figure, the values or the interactive page, by the path's suffix.

        Args:
            beside: of a figure: further lines on the same axes.

        Raises:
            InputError: a suffix that is not among `SUFFIXES`.
        """
        return self._run(_saving(self.id, Path(path), {"view": view, "beside": beside}))

    @cached_property
    def _picture(self) -> bytes | None:
        # a notebook asks for every form of one picture; an outage must not hide the rest
        try:
            return self.figure("png")
        except LossatlasError:
            return None

    def _repr_png_(self) -> bytes | None:
        return self._picture

    def _repr_html_(self) -> str:
        if self._picture is None:
            return self._card("<em>the service does not draw it now</em>")
        return self._card(image(self._picture, f"{self.record.title or self.kind} ({self.id})"))


def reading(landscape: str) -> Steps[Grid]:
    """A landscape's arrays."""
    return Grid.from_json((yield from fetch(f"/v1/landscapes/{landscape}/data.json")))


def drawing(landscape: str, format: str, options: Mapping[str, Any]) -> Steps[bytes]:
    """A figure's bytes. Raises TypeError for an option that there is not."""
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise TypeError(
            f"a figure has no option {unknown[0]!r}; it has {', '.join(sorted(_OPTIONS))}"
        )
    query = {
        name: str(value).lower() if isinstance(value, bool) else value
        for name, value in options.items()
    }
    beside, labels = query.pop("beside", ()), query.pop("labels", ())
    query["beside"] = [one if isinstance(one, str) else one.id for one in beside] or None
    query["label"] = list(labels) or None
    path = f"/v1/landscapes/{landscape}/figure.{format}"
    return (yield from call(Call("GET", path, query=query))).content


def paging(landscape: str) -> Steps[str]:
    """The interactive page."""
    return (yield from call(Call("GET", f"/v1/landscapes/{landscape}/view"))).content.decode()


def _saving_figure(landscape: str, path: Path, options: Mapping[str, Any]) -> Steps[Path]:
    suffix = path.suffix.lower()
    if suffix not in FIGURE_SUFFIXES:
        raise InputError(f"{path.name}: a figure is a .png or an .svg")
    data = yield from drawing(landscape, suffix[1:], options)
    return (yield from local(lambda: write_bytes(path, data)))


def _saving_data(landscape: str, path: Path) -> Steps[Path]:
    suffix = path.suffix.lower()
    if suffix not in DATA_SUFFIXES:
        raise InputError(f"{path.name}: values are a {' '.join(DATA_SUFFIXES)}")
    answer = yield from call(Call("GET", f"/v1/landscapes/{landscape}/data{suffix}"))
    return (yield from local(lambda: write_bytes(path, answer.content)))


def _saving_page(landscape: str, path: Path) -> Steps[Path]:
    if path.suffix.lower() not in PAGE_SUFFIXES:
        raise InputError(f"{path.name}: a page is an .html")
    page = yield from paging(landscape)
    return (yield from local(lambda: write_bytes(path, page.encode())))


def _saving(landscape: str, path: Path, options: Mapping[str, Any]) -> Steps[Path]:
    suffix = path.suffix.lower()
    if suffix in FIGURE_SUFFIXES:
        return (yield from _saving_figure(landscape, path, options))
    if suffix in DATA_SUFFIXES:
        return (yield from _saving_data(landscape, path))
    if suffix in PAGE_SUFFIXES:
        return (yield from _saving_page(landscape, path))
    raise InputError(
        f"{path.name}: give {' '.join(FIGURE_SUFFIXES)} for a figure, "
        f"{' '.join(DATA_SUFFIXES)} for values or .html for a page"
    )


def _showing(landscape: str, path: Path | None, height: int) -> Steps[Path | None]:
    if in_notebook():
        page = yield from paging(landscape)
        shown(framed(page, height))
        if path is None:
            return None
        return (yield from _saving_page(landscape, path))
    if path is None:
        # a folder of our own: a name that others can foresee could lead elsewhere
        path = Path(tempfile.mkdtemp(prefix="lossatlas-")) / f"{landscape}.html"
    written = (yield from _saving_page(landscape, path)).resolve()
    webbrowser.open(written.as_uri())
    return written
