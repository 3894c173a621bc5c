"""Figures: grid to PNG or SVG, matplotlib without global state; pure.

render(result, FigureOptions(view=View.CONTOUR, theme="dark"), "png")
"""

from service.figures.options import Caption, FigureOptions, View, shape_of, views_of
from service.figures.render import Format, render

__all__ = ["Caption", "FigureOptions", "Format", "View", "render", "shape_of", "views_of"]
