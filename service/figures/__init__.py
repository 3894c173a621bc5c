"""Figures: grid to PNG or SVG, matplotlib without global state; pure.

render(result, FigureOptions(view=View.CONTOUR, theme="dark"), "png")
"""

from service.figures.options import Caption, FigureOptions, NetworkPlace, View, shape_of
from service.figures.overlay import MOST as MOST_OVERLAID
from service.figures.overlay import Named
from service.figures.render import Format, render, render_overlay
from service.figures.views import VIEWS, view_of, views_of

__all__ = [
    "MOST_OVERLAID",
    "VIEWS",
    "Caption",
    "FigureOptions",
    "Format",
    "Named",
    "NetworkPlace",
    "View",
    "render",
    "render_overlay",
    "shape_of",
    "view_of",
    "views_of",
]
