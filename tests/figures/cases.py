"""Grids and options that figures have to cope with: the usual, the extreme and the broken."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.results import DatasetGrid, DatasetTile, GridResult
from service.figures import Caption, FigureOptions, NetworkPlace, View

Array = NDArray[np.float64]
Field = Callable[[Array, Array], Array]

CAPTION: Final = Caption(
    model="resnet56-noshort (final)",
    normalisation="random (seed 7), filter-normalised",
)


@dataclass(frozen=True)
class Case:
    """One figure of the gallery."""

    grid: GridResult
    options: FigureOptions = field(default_factory=lambda: FigureOptions(caption=CAPTION))

    def but(self, **changes: object) -> Case:
        """The same grid with other options."""
        return replace(self, options=replace(self.options, **changes))  # type: ignore[arg-type]


def data_of(
    name: str,
    loss: Array,
    anchors: Array,
    accuracy: Array | None = None,
    anchor_accuracy: Array | None = None,
    samples: int = 10_000,
) -> DatasetGrid:
    """A data set's values with the statuses that follow from them."""
    return DatasetGrid(
        name=name,
        loss=loss,
        stderr=np.abs(loss) * 0.01,
        accuracy=accuracy,
        status=status_of(loss),
        samples=samples,
        anchors=DatasetTile(
            loss=anchors,
            stderr=np.abs(anchors) * 0.01,
            accuracy=anchor_accuracy,
            status=status_of(anchors),
        ),
    )


def status_of(loss: Array) -> NDArray[np.int8]:
    """ok, or which kind of not finite."""
    status = np.zeros(loss.shape, dtype=np.int8)
    status[np.isposinf(loss)] = CellStatus.POSINF
    status[np.isneginf(loss)] = CellStatus.NEGINF
    status[np.isnan(loss)] = CellStatus.NAN
    return status


def plane_of(f: Field, x: Array, y: Array, name: str = "test", samples: int = 10_000) -> GridResult:
    """A surface of an analytic function with an accuracy that falls as the loss rises."""
    loss = np.asarray(f(*np.meshgrid(x, y)), dtype=np.float64)
    center = np.asarray(f(np.zeros(1), np.zeros(1)), dtype=np.float64)
    return GridResult(
        x=x,
        y=y,
        anchors=np.zeros((1, 2)),
        datasets=(data_of(name, loss, center, hits(loss), hits(center), samples),),
    )


def hits(loss: Array) -> Array:
    """An accuracy such as goes with a loss."""
    return np.asarray(0.1 + 0.88 * np.exp(-np.maximum(loss, 0.0) / 3))


def line_of(
    datasets: Mapping[str, Callable[[Array], Array]], x: Array, *, accuracy: bool = True
) -> GridResult:
    """An interpolation over several data sets, its ends known exactly."""
    ends = np.array([0.0, 1.0])
    return GridResult(
        x=x,
        y=None,
        anchors=np.array([[0.0, 0.0], [1.0, 0.0]]),
        datasets=tuple(
            data_of(
                name,
                f(x),
                f(ends),
                hits(f(x)) if accuracy else None,
                hits(f(ends)) if accuracy else None,
                samples=50_000 if name == "train" else 10_000,
            )
            for name, f in datasets.items()
        ),
    )


def told_apart(
    grid: GridResult, roles: list[str], at: list[list[float]], loss: list[list[float]]
) -> GridResult:
    """The grid with networks' own losses, [data set][network]; the first is what is shown."""
    own = np.array(loss)
    arrays = {
        "roles": np.array(roles),
        "at": np.array(at),
        "itself": np.arange(len(roles)) > 0,
        "loss": own,
        "stderr": 0.01 * own,
        "accuracy": hits(own),
        "status": status_of(own),
    }
    attached = {f"network.{name}": values for name, values in arrays.items()}
    return replace(grid, attachments={**grid.attachments, **attached})


def marked(grid: GridResult, where: Mapping[CellStatus, tuple[slice, slice]]) -> GridResult:
    """The grid with some cells turned into ones without a value."""
    first = grid.datasets[0]
    loss, status = first.loss.copy(), first.status.copy()
    for code, at in where.items():
        status[at] = code
        loss[at] = {CellStatus.POSINF: np.inf, CellStatus.NEGINF: -np.inf}.get(code, np.nan)
    return replace(grid, datasets=(replace(first, loss=loss, status=status), *grid.datasets[1:]))


def span(low: float, high: float, num: int) -> Array:
    """An axis."""
    return np.linspace(low, high, num)


def bowl(a: Array, b: Array) -> Array:
    return 0.05 + 2.1 * a**2 + 1.3 * b**2 + 0.4 * a * b


def basin(a: Array, b: Array) -> Array:
    """Smooth in the middle, steep and uneven outside, as of a network with skip connections."""
    r = a**2 + 0.8 * b**2
    return 0.08 + 3 * r + 1.5 * r**2 + 0.15 * np.sin(3 * a + 1) * r


def chaos(a: Array, b: Array) -> Array:
    """Losses over seven decades with several minima, as of a deep plain network."""
    r = np.sqrt(a**2 + b**2)
    wild = np.sin(5 * a + 2 * b) * np.cos(4 * b - a) + 0.6 * np.sin(9 * a * b + 3 * a)
    return np.asarray(10 ** (0.2 + 6.3 * np.tanh(r) + 0.9 * wild * np.minimum(1, 2 * r)))


def valley(a: Array, b: Array) -> Array:
    """Its minimum lies at (0.5, −0.25) and nowhere else."""
    return 1 + 4 * (a - 0.5) ** 2 + 9 * (b + 0.25) ** 2


VIEWS: Final = (View.CONTOUR, View.FILLED, View.HEATMAP, View.SURFACE)
IN_EVERY_VIEW: Final = {
    "smooth",
    "rough",
    "oblong",
    "voids",
    "touching-zero",
    "narrow-voids",
    "long",
    "dark",
    "clipped",
    "dense-levels",
}

LINE_APART: Final = told_apart(
    line_of(
        {"train": lambda a: 0.02 + 1.3 * a**2, "test": lambda a: 0.31 + 1.4 * a**2},
        span(-0.5, 1.5, 51),
    ),
    ["origin", "target"],
    [[0.0, 0.0], [1.0, 0.0]],
    [[0.02, 0.12], [0.31, 0.38]],
)
THROUGH: Final = replace(
    CAPTION,
    origin="checkpoint \u201csgd\u201d",
    networks=(
        NetworkPlace("x", "checkpoint \u201cadam\u201d", (1.0, 0.0)),
        NetworkPlace("y", "checkpoint \u201clamb\u201d", (0.0, 1.0)),
    ),
)


def through_three() -> GridResult:
    """A plane through three networks that lie higher on it than they are."""
    grid = plane_of(bowl, span(-0.5, 1.5, 21), span(-0.25, 1.25, 16))
    places = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    a, b = np.array(places).T
    data = grid.datasets[0]
    anchors = data_of("test", bowl(a, b), bowl(a, b), None, hits(bowl(a, b))).anchors
    grid = replace(grid, anchors=np.array(places), datasets=(replace(data, anchors=anchors),))
    return told_apart(grid, ["origin", "x", "y"], places, [[0.05, 0.376, 0.41]])


SIDE: Final = span(-1, 1, 25)

VOIDS: Final = marked(
    plane_of(basin, SIDE, SIDE),
    {
        CellStatus.NAN: (slice(0, 4), slice(0, 5)),
        CellStatus.POSINF: (slice(20, 25), slice(0, 6)),
        CellStatus.NEGINF: (slice(10, 12), slice(2, 5)),
        CellStatus.FAILED: (slice(0, 3), slice(18, 25)),
        CellStatus.INVALID_BUFFER: (slice(17, 25), slice(19, 25)),
    },
)
PARTIAL: Final = marked(VOIDS, {CellStatus.PENDING: (slice(13, 25), slice(8, 25))})
NO_VALUES: Final = plane_of(lambda a, b: a * np.nan, SIDE, SIDE)
LINE: Final = line_of(
    {
        "train": lambda a: 0.02 + 2.5 * a**2 * (1.3 - a) ** 2 * 4 + 0.05 * a,
        "test": lambda a: 0.31 + 2.7 * a**2 * (1.3 - a) ** 2 * 4 + 0.25 * a,
    },
    span(-0.5, 1.5, 51),
)
NOISES: Final = ("gauss", "shot", "blur", "snow", "frost", "fog", "contrast", "jpeg-compression")


def parabola(k: int) -> Callable[[Array], Array]:
    """The k-th of many curves that differ in height and width."""
    return lambda a: 0.1 * k + (1 + k / 5) * (a - 0.4) ** 2 + 0.01


MANY: Final = line_of(
    {f"cifar10-corrupted-{noise}": parabola(k) for k, noise in enumerate(NOISES)}, span(-1, 2, 61)
)
LONG: Final = Caption(
    model="wide-resnet-110-16-without-skip-connections-sgd-batch8192-lr0.1-wd5e-4-seed"
    "1234567890-checkpoint-epoch-000299-final-averaged",
    normalisation="random (seed 12345678901234567890), filter-normalised; towards another "
    "checkpoint, layer-normalised",
    notes=(
        "The second direction was made orthogonal to the first.",
        "Running statistics move along the directions, and a variance that would fall below "
        "zero makes a cell invalid; such cells are hatched and counted below the plot.",
    ),
)


def cases() -> dict[str, Case]:
    """Every figure by name."""
    smooth = Case(plane_of(basin, SIDE, SIDE))
    rough = Case(plane_of(chaos, SIDE, SIDE))
    fine = Case(plane_of(chaos, span(-1, 1, 51), span(-1, 1, 51)))
    oblong = Case(plane_of(valley, span(-1, 1, 7), span(-0.5, 0.5, 4)))
    voids, partial, line = Case(VOIDS), Case(PARTIAL), Case(LINE)
    found: dict[str, Case] = {}
    grids = {
        "bowl": Case(plane_of(bowl, SIDE, SIDE)),
        "smooth": smooth,
        "rough": rough,
        "fine": fine,
        "oblong": oblong,
        "voids": voids,
        "partial": partial,
        "constant": Case(plane_of(lambda a, b: 0 * a + 2.302585, SIDE, SIDE)),
        "negative": Case(plane_of(lambda a, b: a**2 - b**2 - 3, SIDE, SIDE)),
        "touching-zero": Case(
            plane_of(lambda a, b: np.maximum(0, a**2 + b**2 - 0.1) * 1e3, SIDE, SIDE),
            FigureOptions(log=True, caption=CAPTION),
        ),
        "no-values": Case(NO_VALUES),
        "one-row": Case(plane_of(bowl, SIDE, np.zeros(1))),
        "one-column": Case(plane_of(bowl, np.zeros(1), SIDE)),
        "one-cell": Case(plane_of(bowl, np.zeros(1), np.zeros(1))),
        "two-by-two": Case(plane_of(bowl, span(-1, 1, 2), span(-1, 1, 2))),
        "off-centre": Case(plane_of(valley, span(0.25, 0.75, 11), span(-0.5, 0, 11))),
        "tiny-values": Case(plane_of(lambda a, b: 1e-9 * bowl(a, b), SIDE, SIDE)),
        "huge-values": Case(plane_of(lambda a, b: 1e12 + 1e9 * bowl(a, b), SIDE, SIDE)),
        "very-wide": Case(plane_of(bowl, span(-10, 10, 41), span(-0.5, 0.5, 9))),
        "very-tall": Case(plane_of(bowl, span(-0.5, 0.5, 9), span(-10, 10, 41))),
        "narrow": smooth.but(width=200),
        "narrow-voids": voids.but(width=200),
        "long": voids.but(caption=LONG, x_label="α (" + "a long label " * 4 + ")"),
        "dark": rough.but(theme="dark"),
        "dark-voids": voids.but(theme="dark"),
        "clipped": rough.but(vmin=10.0, vmax=1e5),
        "clipped-linear": rough.but(log=False, vmin=0.0, vmax=50.0),
        "rough-linear": rough.but(log=False),
        "accuracy": smooth.but(metric="accuracy"),
        "dense-levels": smooth.but(levels=100),
        "few-levels": smooth.but(levels=2),
    }
    for name, case in grids.items():
        for view in VIEWS if name in IN_EVERY_VIEW else (View.CONTOUR, View.SURFACE):
            found[f"{name}-{view.value}"] = case.but(view=view)
    found |= {
        "line": line,
        "line-dark": line.but(theme="dark"),
        "line-log": line.but(log=True),
        "line-accuracy": line.but(metric="accuracy"),
        "line-one": line.but(dataset="train"),
        "line-many": Case(MANY),
        "line-many-narrow": Case(MANY).but(width=200),
        "line-long": line.but(caption=LONG, title="A title of " + "some length and " * 9),
        "line-loss-only": Case(line_of({"train": lambda a: a**2}, SIDE, accuracy=False)),
        "line-steep": Case(line_of({"train": lambda a: 10 ** (3 * a**2 - 2)}, span(-1, 2, 61))),
        "line-clipped": line.but(vmax=1.0),
        "line-point": Case(line_of({"train": lambda a: a**2 + 1}, np.array([0.5]))),
        "line-holes": Case(
            line_of(
                {
                    "train": lambda a: np.where(a > 1.2, np.inf, np.where(a < -0.8, np.nan, a**2)),
                    "test": lambda a: np.where(np.abs(a - 0.5) < 0.05, np.nan, a**2 + 0.5),
                },
                span(-1, 1.5, 51),
            )
        ),
        "line-no-values": Case(line_of({"train": lambda a: a * np.nan}, SIDE)),
        "line-apart": Case(LINE_APART),
        "line-apart-one": Case(LINE_APART).but(dataset="train", theme="dark", width=400),
        "plane-through-three": Case(through_three(), FigureOptions(caption=THROUGH)),
        "relief-through-three": Case(through_three(), FigureOptions(caption=THROUGH)).but(
            view=View.SURFACE, width=500
        ),
        "line-constant": Case(line_of({"train": lambda a: 0 * a}, SIDE)),
        "huge": rough.but(width=4000, view=View.FILLED),
    }
    return found
