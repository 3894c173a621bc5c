"""Curvature as JSON: the Hessian's spectrum at a point, or what a map's further values are.

Owns the names `curvature.…` of attached arrays on the reading side, and the definitions that go
with them. Pure; computes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from service.domain.questions.line.result import Lines
from service.domain.results import GridResult

PREFIX: Final = "curvature."

_HESSIAN: Final = (
    "H = ∇²L of the mean loss over the first data set, in the parameters that were not excluded, "
    "in evaluation mode."
)
_PAIR: Final = (
    "`residual` is ‖Hu − λu‖ for the unit vector u found: an eigenvalue of H lies within it. "
    "`converged`: residual ≤ tolerance · (largest |eigenvalue|), and nothing farther out is "
    "missing: an eigenvalue of multiplicity m stands here m times. Beyond the first one, further "
    "starts orthogonal to what was found have looked for copies and found no more."
)
_ONE: Final = " H has one parameter: both ends are its one eigenvalue."
_FORMS: Final = (
    "Largest difference of a sample's loss, at the checkpoint, between the form of the program "
    "that is differentiated and the one that losses are computed in: rounding, or the job would "
    "have failed."
)
#: What each member is.
DEFINITIONS: Final[Mapping[str, str]] = {
    "hessian": _HESSIAN,
    "largest": f"Most positive eigenvalues of H, from one Lanczos basis. {_PAIR}",
    "smallest": f"Most negative eigenvalues of H, from the same basis. {_PAIR}",
    "trace": "Estimate of tr H from random probes, with its standard error and an interval of at "
    "least 95 % (Student's t, widened for skewness). `deflated`: what the Lanczos run knows is "
    "taken exactly, the rest is left to the probes.",
    "density": "Stochastic Lanczos quadrature: nodes are Ritz values, weights add up to 1 and "
    "approximate the share of eigenvalues there. `curve`: each node spread to a Gaussian of "
    "standard deviation `width`; it integrates to 1.",
    "layers": "The diagonal block of H of each module's own parameters: its extreme eigenvalues "
    "and the deflated estimate of its trace. The blocks' traces add up to tr H.",
    "along": "dᵀHd / dᵀd over the parameters that were not excluded; `norm` is ‖d‖ over them.",
    "gradient_norm": "‖∇L‖ over the parameters that were not excluded.",
    "products": "Hessian-vector products spent in all.",
    "form_difference": _FORMS,
}
#: What each further value of a map's cells is.
MAP_DEFINITIONS: Final[Mapping[str, str]] = {
    "hessian": _HESSIAN,
    "lambda_max": "Most positive eigenvalue of H at the cell, from a Lanczos run with the same "
    "random start at every cell.",
    "lambda_min": "Most negative eigenvalue of H at the cell, from the same run.",
    "ratio": "|λ_min / λ_max|: near 0 where the loss is close to convex (Li et al. 2018, §6).",
    "lambda_max_residual": "‖Hu − λu‖ of λ_max: an eigenvalue lies within it.",
    "lambda_min_residual": "‖Hu − λu‖ of λ_min: an eigenvalue lies within it.",
    "converged": "1 where both residuals are within tolerance · (largest |eigenvalue|), else 0.",
    "products": "Hessian-vector products spent on the cell.",
    "form_difference": _FORMS,
}


def is_point(result: GridResult) -> bool:
    """Whether this is a single point, known or still to come; every line has several."""
    alone = result.y is None and len(result.x) == 1 and len(result.anchors) < 2
    return alone and Lines.of(result) is None


def has_spectrum(result: GridResult) -> bool:
    """Whether the curvature at a single point is known."""
    return is_point(result) and _key("parameters") in result.attachments


def has_map(result: GridResult) -> bool:
    """Whether λ_max and λ_min are known at the cells of a plane."""
    return result.y is not None and _key("parameters") in result.attachments


def array(result: GridResult, name: str) -> NDArray[Any] | None:
    """An attached array by its name without `curvature.`; None where it was not asked for."""
    return result.attachments.get(_key(name))


def number(result: GridResult, name: str) -> float | None:
    """An attached number likewise."""
    found = array(result, name)
    return None if found is None else float(found)


def curvature_json(
    result: GridResult, *, directions: Mapping[str, Any], timings: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The member `curvature` of the grid JSON; None for results without curvature.

    Args:
        directions: of the provenance, by axis: the ids of those in `along`.
        timings: of the provenance.
    """
    if not (has_spectrum(result) or has_map(result)):
        return None
    body: dict[str, Any] = {
        "dataset": result.datasets[0].name,
        "samples": _plain(array(result, "samples")),
        **({} if (counted := result.datasets[0].counted) is None else counted.to_json()),
        "parameters": _plain(array(result, "parameters")),
        "excluded": _plain(array(result, "excluded")),
        "tolerance": _plain(array(result, "tolerance")),
        "form_difference": _plain(array(result, "form_difference")),
        "seconds": timings.get("tiles_seconds"),
    }
    if has_map(result):
        return {**body, "definitions": _defined(MAP_DEFINITIONS, body["parameters"])}
    body["products"] = _plain(array(result, "products"))
    body["lanczos_products"] = _plain(array(result, "lanczos_products"))
    body["gradient_norm"] = _plain(array(result, "gradient_norm"))
    for end in ("largest", "smallest"):
        body[end] = _pairs(result, end)
    for name, member in (
        ("trace", _trace(result)),
        ("density", _density(result)),
        ("layers", _layers(result)),
        ("along", _along(result, directions)),
    ):
        if member is not None:
            body[name] = member
    return {**body, "definitions": _defined(DEFINITIONS, body["parameters"])}


def one_parameter(parameters: float | None) -> str:
    """What is to be said of the ends of a spectrum of so many eigenvalues; mostly nothing."""
    return _ONE if parameters == 1 else ""


def _defined(definitions: Mapping[str, str], parameters: float | None) -> dict[str, str]:
    return {**definitions, "hessian": definitions["hessian"] + one_parameter(parameters)}


def _key(name: str) -> str:
    return PREFIX + name


def _plain(values: NDArray[Any] | None) -> Any:
    """Numbers and words as JSON has them: `null` for what is not finite or not there."""
    if values is None:
        return None
    if values.dtype.kind != "f":
        return values.tolist()
    nulled = values.astype(object)
    # [...] so that a single number too stays an array
    nulled[...] = np.where(np.isfinite(values), nulled, np.array(None))
    return nulled.tolist()


def _pairs(result: GridResult, name: str) -> list[dict[str, Any]]:
    columns = {
        "value": _plain(array(result, name)),
        "residual": _plain(array(result, f"{name}_residual")),
        "converged": _plain(array(result, f"{name}_converged")),
    }
    return _rows(columns)


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns of equal lengths as one object a row; none where a column is missing."""
    if any(column is None for column in columns.values()):
        return []
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _trace(result: GridResult) -> dict[str, Any] | None:
    if array(result, "trace.value") is None:
        return None
    names = ("value", "standard_error", "interval", "samples", "products", "method")
    return {name: _plain(array(result, f"trace.{name}")) for name in names}


def _density(result: GridResult) -> dict[str, Any] | None:
    if array(result, "density.nodes") is None:
        return None
    body = {
        name: _plain(array(result, f"density.{name}"))
        for name in ("nodes", "weights", "probe", "products")
    }
    body["curve"] = {
        "x": _plain(array(result, "density.curve_x")),
        "density": _plain(array(result, "density.curve")),
        "width": _plain(array(result, "density.width")),
    }
    return body


def _layers(result: GridResult) -> list[dict[str, Any]] | None:
    names = array(result, "layers.names")
    if names is None:
        return None
    columns = {
        "name": names.tolist(),
        "parameters": _plain(array(result, "layers.sizes")),
        "largest": _pairs(result, "layers.largest"),
        "smallest": _pairs(result, "layers.smallest"),
        "trace": _rows(
            {
                "value": _plain(array(result, "layers.trace")),
                "standard_error": _plain(array(result, "layers.trace_error")),
                "interval": _plain(array(result, "layers.trace_interval")),
            }
        ),
        "products": _plain(array(result, "layers.products")),
    }
    return _rows(columns)


def _along(result: GridResult, directions: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    axes = array(result, "along.axes")
    if axes is None:
        return None
    return _rows(
        {
            "axis": axes.tolist(),
            "direction": [(directions.get(str(axis)) or {}).get("id") for axis in axes],
            "value": _plain(array(result, "along.values")),
            "norm": _plain(array(result, "along.norms")),
        }
    )
