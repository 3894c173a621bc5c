"""Paths over analytic surfaces, for figures to cope with: long, noisy, flat, several."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from service.domain.results import GridResult
from service.figures import FigureOptions, View
from tests.figures.cases import (
    CAPTION,
    VIEWS,
    Case,
    Field,
    basin,
    chaos,
    data_of,
    hits,
    span,
)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """Coordinates, shape (n, 2), the last of the first run at (0, 0)."""

    label: str
    at: Array
    rates: Array


def on_plane(f: Field, runs: list[Run], num: int = 25, *, true: float = 0.03) -> GridResult:
    """A surface under paths; true losses lie `true` (relative) above the plane's at the start."""
    at = np.concatenate([run.at for run in runs])
    low, high = at.min(0), at.max(0)
    margin = 0.3 * (high - low)
    x, y = (span(low[i] - margin[i], high[i] + margin[i], num) for i in (0, 1))
    scale = np.array([np.abs(at[:, 0]).max(), np.abs(at[:, 1]).max()])
    unit = [1.6, 0.8] / scale

    def plane(a: Array, b: Array) -> Array:
        return f(a * unit[0], b * unit[1])

    places = np.vstack([np.zeros((1, 2)), at])
    loss, under = plane(*np.meshgrid(x, y)), plane(*places.T)
    n = len(at)
    far = np.hypot(*(at * unit).T)
    own = under[1:] * (1 + true * far)
    return GridResult(
        x=x,
        y=y,
        anchors=places,
        datasets=(data_of("train", loss, under, hits(loss), hits(under)),),
        attachments={
            f"trajectory.{name}": array
            for name, array in {
                "center": np.array("final"),
                "centre": np.array(len(runs[0].at) - 1),
                "checkpoints": np.array([f"ckp_{i}" for i in range(n)]),
                "labels": np.array([""] * n),
                "runs": np.concatenate([np.full(len(r.at), i) for i, r in enumerate(runs)]),
                "run_labels": np.array([run.label for run in runs]),
                "steps": np.full(n, np.nan),
                "epochs": np.concatenate([np.arange(len(r.at), dtype=np.float64) for r in runs]),
                "learning_rates": np.concatenate([run.rates for run in runs]),
                "coordinates": at,
                "residuals": np.full(n, 0.2),
                "distances": np.hypot(*at.T),
                "explained_variance": np.array([0.831, 0.094, 0.05, 0.025]),
                "share": np.array(0.925),
                "random_shares": np.array([0.00031, 0.00012]),
                "true_loss": own[None],
                "true_stderr": 0.01 * own[None],
                "true_accuracy": hits(own)[None],
                "true_status": np.zeros((1, n), dtype=np.int8),
            }.items()
        },
    )


def descent(n: int, seed: int = 0, *, noise: float = 0.0, height: float = 2.0) -> Array:
    """A path that turns as training does, ends at (0, 0), and may be noisy."""
    generator = np.random.default_rng(seed)
    t = np.linspace(0, 1, n)
    decay = (1 - t) ** 1.5
    at = np.column_stack([8 * decay, height * np.sin(2.6 * decay) * decay])
    at += noise * generator.standard_normal((n, 2)) * decay[:, None] ** 0.5
    out: Array = at - at[-1]
    return out


def rates(n: int, *drops: int) -> Array:
    """A learning rate that is divided by ten at these checkpoints."""
    out = np.full(n, 0.1)
    for drop in drops:
        out[drop:] /= 10
    return out


def one(n: int = 13, *drops: int, noise: float = 0.0, height: float = 2.0) -> list[Run]:
    return [Run("resnet56", descent(n, noise=noise, height=height), rates(n, *drops))]


def grids() -> dict[str, GridResult]:
    """Every path by name."""
    small, large = descent(40, 1, noise=0.12), descent(40, 2, noise=0.02)
    large = large * [0.8, -1.3] + [1.5, 0.6]
    several = [
        Run("batch 128", small, rates(40, 20, 30)),
        Run("batch 8192", large, rates(40, 20, 30)),
    ]
    many = [
        Run(
            f"seed {k}", descent(20, k, noise=0.1) * [1, (-1) ** k * (0.4 + 0.2 * k)], rates(20, 10)
        )
        for k in range(8)
    ]
    narrow = one(13, 6)
    return {
        "one": on_plane(basin, one(13, 6, 9)),
        "few": on_plane(basin, one(3)),
        "long": on_plane(basin, one(300, 150, 225, noise=0.25), 51),
        "rough": on_plane(chaos, one(60, 30), 51),
        "flat": on_plane(basin, one(13, 6, height=1e-4)),
        "several": on_plane(basin, several, 51),
        "many": on_plane(basin, many, 31),
        "in-plane": replace(on_plane(basin, narrow, true=0.0)),
    }


def cases() -> dict[str, Case]:
    """Figures of paths."""
    found = {}
    for name, grid in grids().items():
        case = Case(grid, FigureOptions(caption=CAPTION))
        views = VIEWS if name in ("one", "several") else (View.CONTOUR, View.SURFACE)
        for view in views:
            found[f"path-{name}-{view.value}"] = case.but(view=view)
    for name in ("one", "several"):
        for view in (View.CONTOUR, View.FILLED):
            found[f"path-{name}-dark-{view.value}"] = found[f"path-{name}-{view.value}"].but(
                theme="dark"
            )
    found["path-hidden"] = found["path-one-contour"].but(trajectory=False)
    found["path-narrow"] = found["path-one-contour"].but(width=300)
    found["path-accuracy"] = found["path-one-filled"].but(metric="accuracy")
    return found
