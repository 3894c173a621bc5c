"""From a direction's spec to its tensors: made, normalised, and rounded as every tile uses it.

Owns the translation of specs (plain JSON here) into the engine's words. What is taken over data
(gradient, eigenvector) is computed in batches and a form that follow from the network by rule, in
float32 at least, with the buffers of the point that it starts from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch

from service.domain.problems import Problem
from workers.computation import tensors
from workers.computation.context import JobContext
from workers.engine.curvature_directions import eigenvector_direction, gradient_direction
from workers.engine.datasets import Dataset
from workers.engine.direction import Direction
from workers.engine.directions import between, random_direction, uploaded
from workers.engine.hessian import HessianOperator
from workers.engine.lanczos import spectrum_ends
from workers.engine.network import Point
from workers.engine.normalisation import Kind, Rule, ignorable, normalise
from workers.engine.objective import Objective
from workers.engine.precision import Precision
from workers.engine.product_memory import plan_products

#: Passes of one block of vectors, backwards too, on each kind of device.
_PRODUCT_BYTES: Final = {"cpu": 512 << 20, "cuda": 8 << 30}
_MOST_PRODUCTS: Final = 300


@dataclass(frozen=True)
class Made:
    """A direction as it is used, and what is known of how it came to be.

    Attributes:
        about: of an eigenvector: `eigenvalue`, `residual` ‖Hv − λv‖, `converged`, `products`; of a
            gradient: `loss` and `gradient_norm`.
    """

    direction: Direction
    about: Mapping[str, float | bool] = field(default_factory=dict)


def read_direction(context: JobContext, path: Path) -> Direction:
    """A materialised direction, as `tensors.encode_direction` wrote it."""
    found = tensors.read(path, code="direction_invalid", what="the direction")
    return uploaded(context.network, tensors.plain_names(found))


def make_direction(
    context: JobContext,
    axis: str,
    spec: Mapping[str, Any],
    path: Path | None,
    *,
    origin: Point | None = None,
) -> Made:
    """The direction of `spec` at `origin` (default: the job's), rounded to float32.

    With what is known of how it came to be.

    Args:
        axis: "x" or "y", for random directions that do not name their stream.
        path: of the object that an `uploaded` spec names.

    Raises:
        DirectionInvalid: uploaded tensors do not fit the network, or the gradient is zero.
        Problem: an unknown kind, a tensor file that cannot be read, or data that are not open.
    """
    start = context.origin if origin is None else origin
    raw = _raw(context, start, axis, spec, path)
    rule = Rule.from_words(spec["normalize"], spec["ignore"], spec.get("convention", "lossatlas"))
    scaled = normalise(raw.direction, start, context.network, rule).to(torch.float32)
    return Made(scaled, raw.about)


def _raw(
    context: JobContext, start: Point, axis: str, spec: Mapping[str, Any], path: Path | None
) -> Made:
    match spec["kind"]:
        case "random":
            return Made(random_direction(context.network, spec["seed"], spec.get("axis") or axis))
        case "between":
            return Made(between(context.network, start, context.points[spec["target"]]))
        case "uploaded" if path is not None:
            found = tensors.read(path, code="direction_invalid", what="the uploaded direction")
            prefix = spec.get("prefix", "")
            return Made(uploaded(context.network, tensors.plain_names(found, prefix)))
        case "gradient":
            return _gradient(context, start, context.dataset(spec["dataset"]))
        case "eigenvector":
            return _eigenvector(context, start, context.dataset(spec["dataset"]), spec)
        case "pca":
            raise Problem(
                "conflict",
                "a principal component is made by the trajectory's own job; that job has not made "
                "this one yet",
            )
        case kind:
            raise Problem("not_supported", f"directions of kind {kind!r} cannot be made here")


def _gradient(context: JobContext, start: Point, dataset: Dataset) -> Made:
    gradient = _objective(context, start, dataset, frozenset(), block=1).at(start).gradient()
    direction = gradient_direction(context.network, gradient)
    length = float(torch.linalg.vector_norm(gradient.vector.double()))
    return Made(direction, _finite({"loss": gradient.loss, "gradient_norm": length}))


def _eigenvector(
    context: JobContext, start: Point, dataset: Dataset, spec: Mapping[str, Any]
) -> Made:
    objective = _objective(context, start, dataset, ignorable(spec["exclude"]), block=1)
    operator = HessianOperator(objective.at(start), block=1)
    largest = spec["which"] == "largest"
    spectrum = spectrum_ends(
        operator,
        largest=int(largest),
        smallest=int(not largest),
        tolerance=spec["tolerance"],
        max_products=_MOST_PRODUCTS,
        seed=spec["seed"],
    )
    (pair,) = spectrum.largest or spectrum.smallest
    return Made(
        eigenvector_direction(context.network, operator, pair),
        {
            "eigenvalue": pair.value,
            "residual": pair.residual,
            "converged": pair.converged,
            "products": spectrum.products,
        },
    )


def _objective(
    context: JobContext, start: Point, dataset: Dataset, exclude: frozenset[Kind], *, block: int
) -> Objective:
    """The data set's loss in batches that fit the device, in float32 or float64."""
    double = context.precision is Precision.FLOAT64
    setting = replace(
        context.setting(1), precision=Precision.FLOAT64 if double else Precision.FLOAT32
    )
    plan = plan_products(
        setting,
        start,
        dataset,
        memory_budget_bytes=_PRODUCT_BYTES.get(context.device.type, _PRODUCT_BYTES["cpu"]),
        block=block,
        exclude=exclude,
    )
    return Objective(replace(setting, batch_size=plan.batch_size), start, dataset, exclude=exclude)


def _finite(values: Mapping[str, float]) -> dict[str, float | bool]:
    return {name: value for name, value in values.items() if math.isfinite(value)}
