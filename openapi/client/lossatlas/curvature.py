"""The Hessian's spectrum at a checkpoint, as NumPy arrays; and the specs that ask for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lossatlas.grids import Floats

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Eigenvalues:
    """One end of a spectrum, most extreme first; every array has shape (k,).

    Attributes:
        residuals: ‖Hu − λu‖ for the unit vector u found: an eigenvalue lies within it.
        converged: residual ≤ tolerance · (largest |eigenvalue|).
    """

    values: Floats
    residuals: Floats
    converged: Flags


@dataclass(frozen=True)
class Trace:
    """An estimate of tr H. `interval` is of 95 % at least; `method` is empty for a layer's."""

    value: float
    standard_error: float
    interval: tuple[float, float]
    method: str
    products: int | None


@dataclass(frozen=True)
class Density:
    """Stochastic Lanczos quadrature.

    Attributes:
        nodes, weights: raw, shape (n,); the weights add up to 1.
        probe: which probe each node is of, shape (n,).
        x, density: the smoothed curve, which integrates to 1, both of shape (points,).
        width: standard deviation of the smoothing Gaussian.
    """

    nodes: Floats
    weights: Floats
    probe: NDArray[np.int64]
    x: Floats
    density: Floats
    width: float


@dataclass(frozen=True)
class LayerCurvature:
    """A layer's diagonal block of H. `parameters`: how many numbers it holds."""

    name: str
    parameters: int
    largest: float
    smallest: float
    trace: Trace


@dataclass(frozen=True)
class Along:
    """dᵀHd / dᵀd for a direction d of length `norm`, by its id."""

    direction: str
    value: float
    norm: float


@dataclass(frozen=True)
class Curvature:
    """The Hessian of the mean loss over `dataset`; what was not asked for is None or empty.

    Attributes:
        samples: how many the mean is over: those with a target.
        parameters: how many numbers H is taken over, without those `excluded`.
        products: Hessian-vector products spent.
        body: the JSON, with a definition of every member.
    """

    dataset: str
    samples: int
    parameters: int
    excluded: tuple[str, ...]
    tolerance: float
    products: int
    gradient_norm: float
    largest: Eigenvalues
    smallest: Eigenvalues
    trace: Trace | None
    density: Density | None
    layers: tuple[LayerCurvature, ...]
    along: tuple[Along, ...]
    body: Mapping[str, Any]

    @property
    def lambda_max(self) -> float | None:
        """The most positive eigenvalue."""
        return float(self.largest.values[0]) if len(self.largest.values) else None

    @property
    def lambda_min(self) -> float | None:
        """The most negative eigenvalue."""
        return float(self.smallest.values[0]) if len(self.smallest.values) else None

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Curvature:
        """Reads the member `curvature` of a single point's grid JSON."""
        trace, density = body.get("trace"), body.get("density")
        return cls(
            dataset=body["dataset"],
            samples=int(body["samples"]),
            parameters=int(body["parameters"]),
            excluded=tuple(body["excluded"]),
            tolerance=float(body["tolerance"]),
            products=int(body["products"]),
            gradient_norm=float(body["gradient_norm"]),
            largest=_eigenvalues(body["largest"]),
            smallest=_eigenvalues(body["smallest"]),
            trace=None if trace is None else _trace(trace),
            density=None if density is None else _density(density),
            layers=tuple(_layer(layer) for layer in body.get("layers") or ()),
            along=tuple(
                Along(entry["direction"], float(entry["value"]), float(entry["norm"]))
                for entry in body.get("along") or ()
            ),
            body=body,
        )


def trace_spec(trace: str | Mapping[str, Any] | None, samples: int) -> dict[str, Any] | None:
    """A method by name, with `samples`; or the spec itself."""
    if trace is None:
        return None
    return {"method": trace, "samples": samples} if isinstance(trace, str) else dict(trace)


def density_spec(density: bool | Mapping[str, Any]) -> dict[str, Any] | None:
    """True is the service's usual density."""
    if isinstance(density, bool):
        return {} if density else None
    return dict(density)


def _eigenvalues(pairs: Sequence[Mapping[str, Any]]) -> Eigenvalues:
    return Eigenvalues(
        values=np.array([pair["value"] for pair in pairs], dtype=np.float64),
        residuals=np.array([pair["residual"] for pair in pairs], dtype=np.float64),
        converged=np.array([pair["converged"] for pair in pairs], dtype=np.bool_),
    )


def _trace(body: Mapping[str, Any]) -> Trace:
    low, high = body["interval"]
    products = body.get("products")
    return Trace(
        value=float(body["value"]),
        standard_error=float(body["standard_error"]),
        interval=(float(low), float(high)),
        method=str(body.get("method", "")),
        products=None if products is None else int(products),
    )


def _density(body: Mapping[str, Any]) -> Density:
    curve = body["curve"]
    return Density(
        nodes=np.array(body["nodes"], dtype=np.float64),
        weights=np.array(body["weights"], dtype=np.float64),
        probe=np.array(body["probe"], dtype=np.int64),
        x=np.array(curve["x"], dtype=np.float64),
        density=np.array(curve["density"], dtype=np.float64),
        width=float(curve["width"]),
    )


def _layer(body: Mapping[str, Any]) -> LayerCurvature:
    return LayerCurvature(
        name=body["name"],
        parameters=int(body["parameters"]),
        largest=float(body["largest"]["value"]),
        smallest=float(body["smallest"]["value"]),
        trace=_trace(body["trace"]),
    )
