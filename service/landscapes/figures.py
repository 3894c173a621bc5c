"""Figures on request: what may be asked, and rendered bytes kept in the store.

Owns the query's rules and the cache's names. The words are those of `captions`; the drawing is
that of `service.figures`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from service.domain.digests import digest_json
from service.domain.ids import LandscapeId
from service.domain.printable import Printable
from service.domain.problems import Problem
from service.domain.results import GridResult
from service.figures import (
    MOST_OVERLAID,
    Caption,
    FigureOptions,
    Named,
    View,
    render,
    render_overlay,
    shape_of,
    views_of,
)

Format = Literal["png", "svg"]
MEDIA_TYPES: Final[Mapping[Format, str]] = {"png": "image/png", "svg": "image/svg+xml"}

#: Raised when the same question would be drawn otherwise.
REVISION: Final = 4

#: Figures are drawn one at a time; a crowd that waits for its turn must not take every thread
#: that answers requests.
_PLACES: Final = threading.BoundedSemaphore(8)
_PATIENCE_SECONDS: Final = 3.0

Label = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]+$"), Printable
]
MetricName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


class FigureQuery(BaseModel):
    """What a figure shows and how."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    view: View | None = Field(
        default=None,
        description="The usual one first: `curve` or `weights` for a line; `contour`, `filled`, "
        "`heatmap` or `surface` for a plane; `spectrum` or `layers` for a point's curvature.",
    )
    metric: MetricName | None = Field(
        default=None,
        description="`loss`, `accuracy`, or another value that the cells have. Left out: `ratio`, "
        "|λ_min / λ_max|, on a convexity map, and else `loss`.",
    )
    dataset: Annotated[str, StringConstraints(max_length=210)] | None = Field(
        default=None,
        description="By name. Left out: the first one on a plane, all of them on a curve.",
    )
    log: bool | None = Field(
        default=None,
        description="Logarithmic scale. Left out: chosen for values over more than two decades.",
    )
    levels: int = Field(default=20, ge=2, le=100, description="Contour lines at most.")
    vmin: FiniteFloat | None = Field(default=None, description="Lower end of the scale.")
    vmax: FiniteFloat | None = Field(default=None, description="Upper end of the scale.")
    theme: Literal["light", "dark"] = "light"
    width: int = Field(default=1000, ge=200, le=4000, description="In pixels.")
    trajectory: bool = Field(
        default=True, description="Draw the path of training, where the result has one."
    )
    samples: bool = Field(
        default=False,
        description="Mark the evaluated cells of an adaptive surface seen from above.",
    )
    plain: bool = Field(
        default=False,
        description="The plot alone, cut out at its frame, and so narrower; PNG. For small "
        "pictures in lists.",
    )
    beside: tuple[LandscapeId, ...] = Field(
        default=(),
        max_length=MOST_OVERLAID - 1,
        description="Further lines on the same axes, a colour for each. Given again and again: "
        "`beside=lsc_…&beside=lsc_…`.",
    )
    label: tuple[Label, ...] = Field(
        default=(),
        max_length=MOST_OVERLAID,
        description="With `beside`: what the legend calls each line, this one's first. Left out: "
        "that in which they differ.",
    )

    @model_validator(mode="after")
    def _labelled(self) -> Self:
        count = len(self.beside) + 1
        if self.label and (not self.beside or len(self.label) != count):
            raise ValueError(
                f"label: {len(self.label)} for {count} line{'s' * (count > 1)}; give `beside` and "
                "one label for each line, or no label"
            )
        return self


def require_fitting(query: FigureQuery, result: GridResult) -> None:
    """Holds a query against the grid it is about.

    Raises:
        Problem: `not_supported` for a view of the other kind of grid; `invalid_request` for a data
            set or a metric that is not there, or for bounds the wrong way round.
    """
    possible = views_of(result)
    if query.view is not None and query.view not in possible:
        raise Problem(
            "not_supported",
            f"view {query.view.value!r} does not fit {shape_of(result)};"
            f" possible: {', '.join(possible)}",
            pointer="/view",
        )
    if query.vmin is not None and query.vmax is not None and not query.vmin < query.vmax:
        raise Problem(
            "invalid_request",
            f"vmin must be below vmax, got {query.vmin} and {query.vmax}",
            pointer="/vmin",
        )
    names = [d.name for d in result.datasets]
    if query.dataset is not None and query.dataset not in names:
        raise Problem(
            "invalid_request",
            f"there is no data set {query.dataset!r}; there are {', '.join(names)}",
            pointer="/dataset",
        )
    grid = result.dataset(query.dataset)
    metrics = ["loss", *([] if grid.accuracy is None else ["accuracy"]), *grid.extra]
    if metric_of(query, result) not in metrics:
        raise Problem(
            "invalid_request",
            f"there is no {query.metric!r} here; there are {', '.join(metrics)}",
            pointer="/metric",
        )


def metric_of(query: FigureQuery, result: GridResult) -> str:
    """The metric asked for, or the usual one of such a result."""
    if query.metric is not None:
        return query.metric
    return "ratio" if "ratio" in result.dataset(query.dataset).extra else "loss"


def name_of(data: str, query: FigureQuery, caption: Caption, labels: Sequence[str] = ()) -> str:
    """Names a figure by everything that it depends on: a digest."""
    asked = query.model_dump(mode="json")
    return digest_json([REVISION, data, asked, _words(caption), list(labels)])


def require_overlay(query: FigureQuery, results: Sequence[GridResult]) -> None:
    """Holds a query of several lines against all of them.

    Raises:
        Problem: `not_supported` for anything but curves of lines; and as `require_fitting` for
            each.
    """
    if query.view not in (None, View.CURVE):
        raise Problem("not_supported", "only curves can be laid over each other", pointer="/view")
    for place, result in enumerate(results):
        if View.CURVE not in views_of(result):
            where = "/view" if place == 0 else f"/beside/{place - 1}"
            raise Problem(
                "not_supported",
                f"only lines can be laid over each other, and this is {shape_of(result)}",
                pointer=where,
            )
        require_fitting(query, result)


def drawn(result: GridResult, query: FigureQuery, caption: Caption, format: Format) -> bytes:
    """The figure's bytes. Raises Problem `unavailable` when too many are waiting to be drawn."""
    options = _options(query, caption, metric_of(query, result))
    return _in_turn(lambda: render(result, options, format))


def drawn_overlay(
    lines: Sequence[Named], query: FigureQuery, caption: Caption, format: Format
) -> bytes:
    """The figure of several lines. Raises as `drawn`."""
    options = _options(query, caption, query.metric or "loss")
    return _in_turn(lambda: render_overlay(lines, options, format))


def _options(query: FigureQuery, caption: Caption, metric: str) -> FigureOptions:
    return FigureOptions(
        view=query.view,
        metric=metric,
        log=query.log,
        levels=query.levels,
        vmin=query.vmin,
        vmax=query.vmax,
        theme=query.theme,
        width=query.width,
        dataset=query.dataset,
        trajectory=query.trajectory,
        plain=query.plain,
        samples=query.samples,
        caption=caption,
    )


def _in_turn(draw: Callable[[], bytes]) -> bytes:
    if not _PLACES.acquire(timeout=_PATIENCE_SECONDS):
        raise Problem(
            "unavailable",
            "many figures are being drawn; try again in a moment",
            headers={"Retry-After": "5"},
        )
    try:
        return draw()
    finally:
        _PLACES.release()


def _words(caption: Caption) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(caption).items()}
