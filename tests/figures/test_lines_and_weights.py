"""Several lines with their mean and band, and histograms of weights one over the other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.lines import Line2D
from matplotlib.patches import StepPatch

from service.domain.plan import PLANE_ANCHORS, JobPlan
from service.domain.questions.line.result import gathered
from service.domain.questions.spec import BufferPolicy, Precision
from service.domain.results import DatasetTile, GridResult, Tile, assemble
from service.domain.weights import WeightHistograms
from service.figures import FigureOptions, View, render, views_of
from tests.figures.cases import LINE, Case
from tests.figures.sight import look

REPEATS = 4


def lines(hole: float | None = None) -> GridResult:
    plan = JobPlan(
        x=tuple(np.linspace(-1, 1, 21).tolist()),
        y=tuple(float(k) for k in range(REPEATS)),
        anchors=PLANE_ANCHORS,
        directions=(),
        cosine=None,
        orthogonalised=False,
        precision=Precision.FLOAT32,
        buffers=BufferPolicy.FROZEN,
        batch_size=8,
        threads=1,
        cell_seconds=0.1,
        tile_cells=100,
        device="cpu",
    )
    index = plan.order()
    alpha, which = plan.coordinates()[index].T
    loss = 0.1 + (1 + which) * alpha**2
    status = np.zeros(len(index), dtype=np.int8)
    if hole is not None:
        there = (which == 2) & np.isclose(alpha, hole)
        loss[there], status[there] = np.nan, 4
    parts = (DatasetTile(loss, loss / 10, 1 / (1 + loss), status),)
    return gathered(assemble(plan, ["train"], [9], [Tile(index, parts)]))


def test_the_mean_of_lines_with_each_beside_it() -> None:
    result = lines()
    assert result.y is None
    (grid,) = result.datasets
    x = result.x
    each = 0.1 + np.arange(1, REPEATS + 1)[:, None] * x**2
    np.testing.assert_allclose(result.attachments["line.loss"][0], each)
    np.testing.assert_allclose(grid.loss, each.mean(axis=0))
    np.testing.assert_allclose(grid.extra["loss_spread"], each.std(axis=0, ddof=1))
    assert grid.anchors.loss == pytest.approx([0.1])
    again = GridResult.from_arrays(result.to_arrays())
    np.testing.assert_array_equal(again.attachments["line.loss"], result.attachments["line.loss"])


def test_where_one_line_has_no_value_the_mean_has_none() -> None:
    result = lines(hole=0.5)
    (grid,) = result.datasets
    at = int(np.argmin(np.abs(result.x - 0.5)))
    assert grid.status[at] == 4
    assert (grid.status == 0).sum() == len(result.x) - 1


def test_every_line_is_drawn_thin_under_its_mean_and_band() -> None:
    sight = look(Case(lines()))
    (mean,) = sight.labelled("loss train", Line2D)
    for k in range(REPEATS):
        (thin,) = sight.labelled(f"loss train {k}", Line2D)
        assert thin.get_linewidth() < mean.get_linewidth()
        np.testing.assert_allclose(
            np.asarray(thin.get_ydata()), lines().attachments["line.loss"][0][k]
        )
    low, high = sight.axes("left").get_ylim()
    assert high >= lines().attachments["line.loss"].max()
    assert low <= 0.1
    assert f"each of {REPEATS} directions" in sight.legend
    assert sight.axes("left").get_xlabel().endswith("(0: the trained network)")


def weighed(spread: float = 0.1) -> GridResult:
    generator = np.random.default_rng(0)
    edges = np.linspace(-3, 3, 1001)
    counts = np.stack(
        [np.histogram(generator.normal(0, s, 20_000), edges)[0] for s in (spread, spread / 2)]
    )
    found = WeightHistograms(edges, counts, np.array([10.0, 5.0]))
    return replace(LINE, attachments=found.arrays())


def test_weights_are_shown_where_they_are_and_add_up() -> None:
    result = weighed()
    assert views_of(result) == (View.CURVE, View.WEIGHTS)
    assert views_of(LINE) == (View.CURVE,)
    sight = look(Case(result, FigureOptions(view=View.WEIGHTS)))
    axes = sight.axes("weights")
    low, high = axes.get_xlim()
    assert low == pytest.approx(-high)
    assert 0.25 < high < 0.6  # ±3σ of the wider end, not the ±3 that was counted
    outlines = [p for p in axes.patches if isinstance(p, StepPatch)]
    steps = [p for p in outlines if p.get_label() in ("origin", "target")]
    assert len(steps) == 2
    for step in steps:
        assert 0.998 <= step.get_data().values.sum() <= 1.0
    assert "origin: 20,000 weights, length 10" in sight.legend


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [300, 1000])
@pytest.mark.parametrize("spread", [0.001, 0.1, 1.0])
def test_any_histogram_is_drawn(theme: str, width: int, spread: float) -> None:
    options = FigureOptions(view=View.WEIGHTS, theme=theme, width=width)  # type: ignore[arg-type]
    assert render(weighed(spread), options)[:4] == b"\x89PNG"
    assert render(lines(hole=0.0), FigureOptions(theme=theme, width=width))[:4] == b"\x89PNG"  # type: ignore[arg-type]
