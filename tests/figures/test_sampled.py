"""Figures of adaptive surfaces: they say so, and mark what was evaluated when asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from service.domain.adaptive import ESTIMATED_ERROR, EVALUATED, Sampling
from service.domain.results import GridResult
from service.figures import FigureOptions, View, view_of
from tests.figures.cases import Case, bowl, plane_of, span
from tests.figures.sight import look

X, Y = span(-1, 1, 9), span(-1, 1, 7)


def sampled() -> GridResult:
    plane = plane_of(bowl, X, Y)
    evaluated = np.zeros((7, 9))
    evaluated[::3, ::4] = 1
    grid = replace(
        plane.datasets[0],
        extra={EVALUATED: evaluated, ESTIMATED_ERROR: np.where(evaluated == 1, 0.0, 0.02)},
    )
    kept = Sampling(0.03, (0.987,)).arrays()
    return replace(plane, datasets=(grid,), attachments=kept)


def texts(result: GridResult, **options: object) -> str:
    page = look(Case(result, FigureOptions(**options)))  # type: ignore[arg-type]
    return " ".join(text.get_text() for text in page.page.figure.texts)


@pytest.mark.parametrize("view", [View.CONTOUR, View.FILLED, View.HEATMAP, View.SURFACE])
def test_every_view_says_how_many_cells_were_evaluated(view: View) -> None:
    said = texts(sampled(), view=view).replace("\n", " ")
    assert "9 of 63 cells evaluated, the others interpolated" in said
    assert "98% of cells expected within 3% of the loss" in said


def test_an_exact_surface_says_nothing_of_it() -> None:
    assert "interpolated" not in texts(plane_of(bowl, X, Y))


@pytest.mark.parametrize("view", [View.CONTOUR, View.FILLED, View.HEATMAP])
def test_evaluated_cells_are_marked_when_asked(view: View) -> None:
    marked = look(Case(sampled(), FigureOptions(view=view, samples=True)))
    lines = {line.get_label(): line for line in marked.axes("plane").lines}
    dots = lines["evaluated cells"]
    assert sorted(set(np.round(dots.get_xdata(), 3))) == [-1, 0, 1]
    assert len(dots.get_xdata()) == 9
    plain = look(Case(sampled(), FigureOptions(view=view)))
    assert "evaluated cells" not in {line.get_label() for line in plain.axes("plane").lines}


def test_flags_and_errors_are_drawn_cell_by_cell() -> None:
    for metric in (EVALUATED, ESTIMATED_ERROR):
        assert view_of(FigureOptions(metric=metric), sampled()) is View.HEATMAP
