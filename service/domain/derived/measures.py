"""The table of measures: which are computed for a curve and which for a surface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from service.domain.cells import CellStatus
from service.domain.curvature import has_map, is_point
from service.domain.derived import barrier, basin, curvature, ends, extremes, minima, spectrum
from service.domain.derived.measure import Measure
from service.domain.lines import Lines
from service.domain.results import DatasetGrid, GridResult

_Rule = Callable[[GridResult, DatasetGrid], Measure]

ANY: Final[Mapping[str, _Rule]] = {
    "minimum": extremes.minimum,
    "maximum": extremes.maximum,
    "roughness": curvature.roughness,
    "nonconvex_share": curvature.nonconvex_share,
    "local_minima": minima.local_minima,
}
PLANE: Final[Mapping[str, _Rule]] = {
    "center_loss": ends.center_loss,
    "sharpness": basin.sharpness,
    "basin_width": basin.basin_width,
}
LINE: Final[Mapping[str, _Rule]] = {
    "origin_loss": ends.origin_loss,
    "target_loss": ends.target_loss,
    "barrier": barrier.barrier,
    "barrier_over_worse_end": barrier.barrier_over_worse_end,
}
#: Of a single point, and of lines from one.
POINT: Final[Mapping[str, _Rule]] = {"center_loss": ends.center_loss}
#: Of the Hessian over the first data set, at a point and over a map.
SPECTRUM: Final[Mapping[str, _Rule]] = {
    "lambda_max": spectrum.lambda_max,
    "lambda_min": spectrum.lambda_min,
    "convexity_ratio": spectrum.convexity_ratio,
    "trace": spectrum.trace,
}
MAP: Final[Mapping[str, _Rule]] = {
    "lambda_max": spectrum.lambda_max,
    "lambda_min": spectrum.lambda_min,
    "convexity_ratio": spectrum.convexity_ratio,
    "negative_share": spectrum.negative_share,
    "strongly_negative_share": spectrum.strongly_negative_share,
}
#: Of any data set whose loss has an accuracy.
ACCURACY: Final[Mapping[str, _Rule]] = {
    "center_accuracy": ends.center_accuracy,
    "origin_accuracy": ends.origin_accuracy,
    "target_accuracy": ends.target_accuracy,
}

#: Of networks whose own losses are not what the line or plane gives at their places.
BESIDE: Final[Mapping[str, _Rule]] = {
    **ends.ON_LINE,
    **ends.ON_LINE_ACCURACY,
    **ends.ON_PLANE,
    **ends.ON_PLANE_ACCURACY,
}

#: Every measure that some result has.
NAMES: Final[tuple[str, ...]] = tuple(
    sorted({*ANY, *PLANE, *LINE, *POINT, *SPECTRUM, *MAP, *ACCURACY, *BESIDE})
)


def measure(result: GridResult) -> dict[str, Any]:
    """Every measure of a finished grid, as the wire's `derived`.

    The first data set's measures stand at the top level, so that they can be filtered and
    sorted by; all data sets' measures stand under `datasets`.
    """
    by_dataset = {d.name: _of_dataset(result, d) for d in result.datasets}
    first = result.datasets[0].name
    return {"dataset": first, **by_dataset[first], "datasets": by_dataset}


def _of_dataset(result: GridResult, dataset: DatasetGrid) -> dict[str, Any]:
    rules = _rules(result)
    if dataset.anchors.accuracy is not None:
        points = ("origin", "target") if "origin_loss" in rules else ("center",)
        rules |= {name: ACCURACY[name] for name in (f"{point}_accuracy" for point in points)}
    rules |= ends.beside(result, dataset)
    if dataset is result.datasets[0]:
        rules |= SPECTRUM if is_point(result) else MAP if has_map(result) else {}
    body: dict[str, Any] = {name: rule(result, dataset).to_json() for name, rule in rules.items()}
    codes = dataset.status.ravel()
    body["cells"] = {
        code.word: int((codes == code).sum()) for code in CellStatus if (codes == code).any()
    }
    return body


def _rules(result: GridResult) -> dict[str, _Rule]:
    """The measures of any data set of such a result."""
    if is_point(result):
        return dict(POINT)
    if Lines.of(result) is not None:
        return {**ANY, **POINT}
    return {**ANY, **(LINE if result.y is None else PLANE)}
