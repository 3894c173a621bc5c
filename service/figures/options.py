"""What a figure shows and how, as frozen values. Draws nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal

from service.domain.adaptive import ESTIMATED_ERROR, EVALUATED
from service.domain.questions.curvature.result import is_point
from service.domain.results import GridResult


class View(StrEnum):
    """Ways to draw a grid: `CURVE` and `WEIGHTS` for a line, `SPECTRUM` and `LAYERS` for a point's
    curvature, the others for a plane.
    """

    CURVE = "curve"
    WEIGHTS = "weights"
    CONTOUR = "contour"
    FILLED = "filled"
    HEATMAP = "heatmap"
    SURFACE = "surface"
    SPECTRUM = "spectrum"
    LAYERS = "layers"


#: Values of cells that are flags or belong to single cells: areas, not lines.
CELL_METRICS: Final = frozenset({EVALUATED, ESTIMATED_ERROR})
#: A convexity map's values that show what its cells are like.
CURVATURE_METRICS: Final = frozenset({"ratio", "lambda_max", "lambda_min"})


@dataclass(frozen=True)
class NetworkPlace:
    """A network besides the centre that lies on a plane: `x` or `y`, its name, and (α, β)."""

    role: str
    name: str
    at: tuple[float, float]


@dataclass(frozen=True)
class Caption:
    """What the arrays do not know of themselves. Range, data and samples come from the arrays.

    Attributes:
        model: the network's name, and its checkpoint's where that helps.
        normalisation: how the directions were made, as one would say it in a paper.
        origin: the point that it is about, as in "around …"; None is the trained network.
        ends: what the origin and the target of a line are.
        networks: of a plane through several networks, those besides the centre.
        notes: further sentences, each on a line of its own.
    """

    model: str | None = None
    normalisation: str | None = None
    origin: str | None = None
    ends: tuple[str, str] | None = None
    networks: tuple[NetworkPlace, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class FigureOptions:
    """How to draw.

    Attributes:
        view: None chooses `curve` for a line, `spectrum` for a point, and for a plane `contour`, or
            `heatmap` for values of its curvature.
        metric: `loss`, `accuracy` or the name of another value of every cell. On a curve,
            `loss` shows accuracy as well, on the right axis.
        log: None chooses a logarithmic scale for values other than accuracy, all positive, that
            span more than two decades.
        levels: how many contour lines at most.
        vmin, vmax: ends of the scale, in the metric's units (accuracy is a fraction).
        width: pixels, of PNG and SVG alike; the height follows from the content.
        dataset: by name; None is the first on a plane and all on a curve.
        x_label, y_label: names of a plane's axes, in place of α and β, or of a trajectory's
            components.
        trajectory: draw the path of training where the grid has one.
        plain: of a PNG the plot alone, cut out at its frame: for small pictures in lists.
        samples: mark the cells that were evaluated where others were interpolated.
    """

    view: View | None = None
    metric: str = "loss"
    log: bool | None = None
    levels: int = 20
    vmin: float | None = None
    vmax: float | None = None
    theme: Literal["light", "dark"] = "light"
    width: int = 1000
    dataset: str | None = None
    title: str | None = None
    x_label: str | None = None
    y_label: str | None = None
    trajectory: bool = True
    samples: bool = False
    plain: bool = False
    caption: Caption = field(default_factory=Caption)

    def __post_init__(self) -> None:
        if not 200 <= self.width <= 4000:
            raise ValueError(f"width must be 200 to 4000 pixels, got {self.width}")
        if not 2 <= self.levels <= 100:
            raise ValueError(f"levels must be 2 to 100, got {self.levels}")
        if self.vmin is not None and self.vmax is not None and not self.vmin < self.vmax:
            raise ValueError(f"vmin must be below vmax, got {self.vmin} and {self.vmax}")


def shape_of(result: GridResult) -> str:
    """What the grid is, in words."""
    if result.y is not None:
        return "a plane"
    return "a single point" if is_point(result) else "a line"
