"""Figures on request: what may be asked, and rendered bytes kept in the store.

Owns the query's rules, the words of the caption and the cache. The drawing is `service.figures`'.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints

from service.domain.digests import digest_json
from service.domain.problems import Problem
from service.domain.results import GridResult
from service.figures import Caption, FigureOptions, View, render, shape_of, views_of

Format = Literal["png", "svg"]
MEDIA_TYPES: Final[Mapping[Format, str]] = {"png": "image/png", "svg": "image/svg+xml"}

#: Raised when the same question would be drawn otherwise.
REVISION: Final = 2

#: Figures are drawn one at a time; a crowd that waits for its turn must not take every thread
#: that answers requests.
_PLACES: Final = threading.BoundedSemaphore(8)
_PATIENCE_SECONDS: Final = 3.0

#: More random directions than this are told by their first and last seed.
_SEEDS_TOLD: Final = 2

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


def caption_of(model: str | None, provenance: Mapping[str, Any]) -> Caption:
    """The caption's words that the arrays do not hold."""
    planned = provenance.get("directions") or {}
    specs = [entry.get("spec") or {} for entry in planned.values()]
    return Caption(
        model=model,
        normalisation=_normalisation(specs),
        notes=_notes(provenance),
    )


def _normalisation(specs: list[Mapping[str, Any]]) -> str | None:
    said = []
    seeds = [spec["seed"] for spec in specs if spec.get("kind") == "random"]
    many = len(seeds) > _SEEDS_TOLD
    for spec in specs:
        words = {
            "random": f"random (seeds {min(seeds)} to {max(seeds)})"
            if many
            else f"random (seed {spec.get('seed')})",
            "between": "towards another checkpoint",
            "uploaded": "uploaded",
            "gradient": "the gradient",
            "eigenvector": f"eigenvector of the {spec.get('which')} eigenvalue",
            "pca": f"principal component {spec.get('component')}",
        }.get(str(spec.get("kind")), str(spec.get("kind")))
        normalise = spec.get("normalize", "none")
        said.append(words if normalise == "none" else f"{words}, {normalise}-normalised")
    return "; ".join(dict.fromkeys(said)) or None


def _notes(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    notes = []
    if provenance.get("orthogonalised"):
        notes.append("The second direction was made orthogonal to the first.")
    if provenance.get("buffers") == "interpolate":
        notes.append("Running statistics move along the directions.")
    how = provenance.get("recalibration")
    if how:
        notes.append(f"Running statistics recomputed at every point from {how['samples']} samples.")
    if provenance.get("partial"):
        notes.append("Still being computed.")
    return tuple(notes)


def name_of(data: str, query: FigureQuery, caption: Caption) -> str:
    """Names a figure by everything that it depends on: a digest."""
    return digest_json([REVISION, data, query.model_dump(mode="json"), _words(caption)])


def drawn(result: GridResult, query: FigureQuery, caption: Caption, format: Format) -> bytes:
    """The figure's bytes. Raises Problem `unavailable` when too many are waiting to be drawn."""
    options = FigureOptions(
        view=query.view,
        metric=metric_of(query, result),
        log=query.log,
        levels=query.levels,
        vmin=query.vmin,
        vmax=query.vmax,
        theme=query.theme,
        width=query.width,
        dataset=query.dataset,
        trajectory=query.trajectory,
        caption=caption,
    )
    if not _PLACES.acquire(timeout=_PATIENCE_SECONDS):
        raise Problem(
            "unavailable",
            "many figures are being drawn; try again in a moment",
            headers={"Retry-After": "5"},
        )
    try:
        return render(result, options, format)
    finally:
        _PLACES.release()


def _words(caption: Caption) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(caption).items()}
