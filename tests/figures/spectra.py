"""Curvature that figures have to cope with: spectra at a point, and maps of eigenvalues."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.domain.results import GridResult
from service.figures import FigureOptions, View
from tests.figures.cases import CAPTION, Case, data_of, plane_of, span

Arrays = dict[str, Any]
ENDS: Arrays = {
    "largest": np.array([12.5, 4.0, 3.0]),
    "largest_residual": np.array([1e-7, 1e-6, 1e-2]),
    "largest_converged": np.array([True, True, False]),
    "smallest": np.array([-0.75]),
    "smallest_residual": np.array([1e-6]),
    "smallest_converged": np.array([True]),
}
NODES = np.array([-0.75, 0.0, 0.01, 3.0, 12.5, -0.7, 0.0, 0.02, 4.0, 12.4])


def density() -> Arrays:
    x = np.linspace(-2, 14, 400)
    curve = np.exp(-((x / 0.1) ** 2)) + 1e-4 * np.exp(-(((x - 12.5) / 0.1) ** 2))
    return {
        "density.nodes": NODES,
        "density.weights": np.full(10, 0.1),
        "density.probe": np.repeat([0, 1], 5),
        "density.products": np.array(10),
        "density.curve_x": x,
        "density.curve": curve / (curve.sum() * (x[1] - x[0])),
        "density.width": np.array(0.1),
    }


LAYERS: Arrays = {
    "layers.names": np.array(["stem.conv", "block_1.conv_a_with_a_very_long_name_indeed.weight"]),
    "layers.sizes": np.array([108, 864]),
    "layers.largest": np.array([7.0, 12.0]),
    "layers.smallest": np.array([-1.0, -0.25]),
    "layers.trace": np.array([20.0, 30.0]),
    "layers.trace_error": np.array([0.5, 0.25]),
}
TRACE: Arrays = {
    "trace.value": np.array(51.25),
    "trace.standard_error": np.array(0.4),
    "trace.products": np.array(16),
    "trace.method": np.array("deflated"),
}


def point(**arrays: Any) -> GridResult:
    """The curvature at a single point."""
    known: Arrays = {
        "parameters": np.array(972),
        "samples": np.array(10_000),
        "excluded": np.array(["bias"]),
        "tolerance": np.array(1e-5),
        "gradient_norm": np.array(0.125),
        **arrays,
    }
    one = np.array([0.3])
    return GridResult(
        x=np.zeros(1),
        y=None,
        anchors=np.zeros((1, 2)),
        datasets=(data_of("train", one, one),),
        attachments={f"curvature.{name}": np.asarray(a) for name, a in known.items()},
    )


def mapped(top: NDArray[np.float64], low: NDArray[np.float64]) -> GridResult:
    """A convexity map with these eigenvalues, shape (9, 9)."""
    axis = span(-1, 1, 9)
    plane = plane_of(lambda x, y: x**2 + y**2, axis, axis)
    first = replace(
        plane.datasets[0],
        extra={
            "lambda_max": top,
            "lambda_min": low,
            "ratio": np.abs(low / top),
            "converged": np.ones((9, 9)),
        },
    )
    known = {"curvature.parameters": np.array(972), "curvature.tolerance": np.array(1e-3)}
    return replace(plane, datasets=(first,), attachments=known)


def case(result: GridResult, **options: Any) -> Case:
    return Case(result, FigureOptions(caption=CAPTION, **options))


WHOLE = {**ENDS, **density(), **LAYERS, **TRACE}
FIGURES = {
    "spectrum": case(point(**WHOLE)),
    "dark": case(point(**WHOLE), theme="dark"),
    "small": case(point(**WHOLE), width=320),
    "stems": case(point(**ENDS)),
    "density alone": case(point(**density())),
    "close together": case(point(**{**ENDS, "smallest": np.array([12.0])})),
    "all negative": case(point(**{**ENDS, "largest": np.array([-0.1, -0.2, -0.3])})),
    "nothing": case(point()),
    "layers": case(point(**WHOLE), view=View.LAYERS),
    "pending": case(replace(point(), attachments={})),
}
