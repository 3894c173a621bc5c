"""What a view says of itself: one beside each drawing, and `views` lists them. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.domain.results import DatasetGrid, GridResult
from service.figures.drawing import Drawing
from service.figures.options import FigureOptions, View
from service.figures.page import Page
from service.figures.trajectory import PathDrawing

Draw = Callable[[Page, GridResult, FigureOptions, DatasetGrid, PathDrawing | None], Drawing]


def _none(_result: GridResult) -> Sequence[str]:
    return ()


@dataclass(frozen=True)
class ViewRule:
    """A way to draw a grid.

    Attributes:
        label: on pages.
        where: of a title; `{}` is the point that the figure is about.
        what: of a title, where it is not the metric.
        fits: whether a result can be drawn so.
        draw: on a page, a data set's values; with the path of training where there is one.
        every_dataset: whether all data sets are drawn, and not the first alone.
        many_faces: whether it is less as pixels than as lines.
        sentences: what the caption says of such a result.
    """

    view: View
    label: str
    where: str
    fits: Callable[[GridResult], bool]
    draw: Draw
    what: str | None = None
    every_dataset: bool = False
    many_faces: bool = False
    sentences: Callable[[GridResult], Sequence[str]] = _none
