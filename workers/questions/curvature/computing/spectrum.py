"""The Hessian's spectrum at a checkpoint: the one tile of a curvature job without a map.

Owns the order of the estimates, in which each uses what the ones before left at hand, and the names
of their arrays. Every product is counted and told of as it is spent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from service.domain.problems import Problem
from service.domain.results import Tile
from workers import protocol
from workers.computation.context import JobContext
from workers.computation.tile import tile_of
from workers.engine.curvature_directions import curvature_along
from workers.engine.density import spectral_density
from workers.engine.direction import Direction
from workers.engine.groups import GroupCurvature, group_curvatures
from workers.engine.hessian import HessianOperator
from workers.engine.lanczos import KrylovBasis, RitzPair, spectrum_ends
from workers.engine.objective import Objective
from workers.engine.operators import CountingOperator, SymmetricOperator
from workers.engine.placement import BufferPolicy
from workers.engine.surface import segment_evaluator
from workers.engine.trace import estimate_trace
from workers.engine.trace_estimate import TraceEstimate, TraceMethod
from workers.questions.curvature.computing.products import (
    LAYER_TRACE_PRODUCTS,
    Question,
    Way,
    objective_of,
)

Arrays = dict[str, NDArray[Any]]


class PointCurvature:
    """Everything asked about the Hessian at the origin."""

    def __init__(
        self,
        context: JobContext,
        question: Question,
        way: Way,
        directions: Mapping[str, Direction],
    ) -> None:
        """`directions` by axis: those of `question.along`.

        Raises:
            EngineError: the data do not fit the network.
        """
        self._context = context
        self._question = question
        self._way = way
        self._directions = [directions[axis] for axis in question.along]
        origin, setting = context.origin, context.setting(way.batch_size)
        self._losses = segment_evaluator(
            setting, origin, origin, context.datasets, BufferPolicy.FROZEN
        )
        self._objective = objective_of(context, question, way.batch_size)

    def tile(self, request: protocol.Tile, on_progress: Callable[[int], None]) -> Tile:
        """The losses at the origin, and the arrays `curvature.…` beside them.

        Args:
            on_progress: told how many Hessian-vector products have been spent, after each block.
        Raises:
            Problem: `computation_failed` where the loss itself is not finite.
            CurvatureNotFinite: it is, and its curvature is not.
        """
        results = self._losses.evaluate([(0.0, None)])
        first = results[0].datasets[0]
        if first.status != "ok":
            name = self._context.datasets[0].name
            raise Problem(
                "computation_failed",
                f"the loss over {name!r} at the checkpoint is {first.status}, so it has no "
                "curvature there; look at its weights",
            )
        return tile_of(request, results, attachments=self._arrays(on_progress))

    def _arrays(self, on_progress: Callable[[int], None]) -> Arrays:
        question, way = self._question, self._way
        local = self._objective.at(self._context.origin)
        operator = _Told(HessianOperator(local, form=way.form, retain=way.retain), on_progress)
        arrays = described(self._objective, question, way)
        arrays["gradient_norm"] = np.array(_norm(local.gradient().vector))
        basis: KrylovBasis | None = None
        if question.largest + question.smallest > 0:
            spectrum = spectrum_ends(
                operator,
                largest=question.largest,
                smallest=question.smallest,
                tolerance=way.tolerance,
                max_products=way.max_products,
                seed=question.seed,
                vectors=False,
            )
            basis = spectrum.basis
            arrays |= _ends("largest", spectrum.largest) | _ends("smallest", spectrum.smallest)
            arrays["lanczos_products"] = np.array(spectrum.products)
        if question.trace is not None:
            method, products = question.trace
            trace = estimate_trace(
                operator,
                products,
                method=TraceMethod.named(method),
                basis=basis,
                seed=question.seed,
            )
            arrays |= _trace(trace)
        # a basis is as large as everything else together
        del basis
        if self._directions:
            arrays |= self._along(operator)
        if question.density is not None:
            arrays |= self._density(operator, *question.density)
        spent = operator.products
        if question.layers:
            operator.release()
            found = self._layers(lambda products: on_progress(spent + products))
            arrays |= _layers(found)
            spent += sum(group.products for group in found)
        arrays["products"] = np.array(spent)
        return {f"curvature.{name}": values for name, values in arrays.items()}

    def _along(self, operator: SymmetricOperator) -> Arrays:
        along = curvature_along(operator, self._directions)
        return {
            "along.axes": np.array(self._question.along, dtype=np.str_),
            "along.values": np.array([d.value for d in along]),
            "along.norms": np.array([d.norm for d in along]),
        }

    def _density(self, operator: SymmetricOperator, steps: int, probes: int) -> Arrays:
        density = spectral_density(
            operator,
            probes=probes,
            steps=steps,
            seed=self._question.seed,
            at_once=self._way.probes_at_once,
        )
        curve = density.curve()
        return {
            "density.nodes": density.nodes,
            "density.weights": density.weights,
            "density.probe": density.probe,
            "density.products": np.array(density.products),
            "density.curve_x": curve.x,
            "density.curve": curve.density,
            "density.width": np.array(curve.width),
        }

    def _layers(self, on_progress: Callable[[int], None]) -> tuple[GroupCurvature, ...]:
        question, way = self._question, self._way
        spent = 0

        def on_group(group: GroupCurvature) -> None:
            nonlocal spent
            spent += group.products
            on_progress(spent)

        return group_curvatures(
            self._objective,
            self._context.origin,
            tolerance=way.tolerance,
            max_products=way.max_products,
            trace_products=LAYER_TRACE_PRODUCTS,
            seed=question.seed,
            form=way.form,
            retain=way.retain,
            on_group=on_group,
        )


def described(objective: Objective, question: Question, way: Way) -> Arrays:
    """What every curvature result says of itself, at a point and on a map."""
    return {
        "parameters": np.array(objective.layout.count),
        "samples": np.array(objective.samples),
        "excluded": np.array(sorted(kind.value for kind in question.exclude), dtype=np.str_),
        "tolerance": np.array(way.tolerance),
        "form_difference": np.array(objective.forms.largest),
        "max_products": np.array(way.max_products),
    }


class _Told(CountingOperator):
    """Counts products and tells of each block."""

    def __init__(self, operator: HessianOperator, on_products: Callable[[int], None]) -> None:
        super().__init__(operator)
        self._hessian = operator
        self._on_products = on_products

    def apply(self, block: Tensor) -> Tensor:
        result = super().apply(block)
        self._on_products(self.products)
        return result

    def release(self) -> None:
        """Lets go of what is kept between products."""
        self._hessian.release()


def _norm(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector.double()))


def _ends(name: str, pairs: Sequence[RitzPair]) -> Arrays:
    return {
        name: np.array([p.value for p in pairs], dtype=np.float64),
        f"{name}_residual": np.array([p.residual for p in pairs], dtype=np.float64),
        f"{name}_converged": np.array([p.converged for p in pairs], dtype=np.bool_),
    }


def _trace(trace: TraceEstimate) -> Arrays:
    return {
        "trace.value": np.array(trace.trace),
        "trace.standard_error": np.array(trace.standard_error),
        "trace.interval": np.array(trace.interval),
        "trace.products": np.array(trace.products),
        "trace.samples": np.array(trace.samples),
        "trace.method": np.array(trace.method.value, dtype=np.str_),
    }


def _layers(groups: Sequence[GroupCurvature]) -> Arrays:
    names = [group.group for group in groups]
    traces = [group.trace for group in groups]
    return {
        "layers.names": np.array(names, dtype=np.str_),
        "layers.sizes": np.array([group.size for group in groups]),
        **{f"layers.{k}": a for k, a in _ends("largest", [g.largest for g in groups]).items()},
        **{f"layers.{k}": a for k, a in _ends("smallest", [g.smallest for g in groups]).items()},
        "layers.trace": np.array([t.trace for t in traces]),
        "layers.trace_error": np.array([t.standard_error for t in traces]),
        "layers.trace_interval": np.array([t.interval for t in traces]).reshape(-1, 2),
        "layers.products": np.array([group.products for group in groups]),
    }
