"""The convexity map: the Hessian's extreme eigenvalues at every cell of a surface or line.

Owns a cell's eigenvalues and what becomes of cells that have none. Li et al. (2018), section 6, map
|λ_min / λ_max|: near 0 where the loss is close to convex, towards 1 where negative curvature is as
strong as positive. Every cell starts from the same random vector, so a cell's value depends on the
cell alone, and cells can be computed anywhere in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.engine.errors import CurvatureNotFinite
from workers.engine.hessian import HessianForm, HessianOperator
from workers.engine.lanczos import spectrum_ends
from workers.engine.network import Point
from workers.engine.objective import LocalObjective, Objective
from workers.engine.placement import Placement
from workers.engine.surface import Cell


@dataclass(frozen=True)
class CellCurvature:
    """The ends of the Hessian's spectrum at one cell.

    Attributes:
        alpha, beta: where; β is None on a line.
        smallest, largest: λ_min and λ_max; NaN where the status is not `ok`.
        smallest_residual, largest_residual: ‖Hu − λu‖ of each.
        ratio: |λ_min / λ_max|; NaN where λ_max is 0.
        converged: both residuals are within the tolerance.
        products: Hessian-vector products spent.
        status: `ok`, `nan`, `posinf`, `neginf` (the loss's; `nan` too where the loss is finite
            and its curvature is not) or `invalid_buffer`.
    """

    alpha: float
    beta: float | None
    smallest: float
    largest: float
    smallest_residual: float
    largest_residual: float
    ratio: float
    converged: bool
    products: int
    status: str


class ConvexityEvaluator:
    """Evaluates cells of one plane or line. Not for use by several threads at once."""

    def __init__(
        self,
        objective: Objective,
        placement: Placement,
        *,
        tolerance: float = 1e-3,
        max_products: int = 100,
        seed: int = 0,
        form: HessianForm = HessianForm.SWEPT,
        retain: bool = False,
    ) -> None:
        """`placement` moves the parameters (`PlanePlacement`, `SegmentPlacement`) in the
        objective's type on its device; `tolerance` is for residuals, relative to the largest
        |eigenvalue|. The one eigenvalue of a single parameter is both ends.
        """
        self._objective = objective
        self._placement = placement
        self._tolerance = tolerance
        self._max_products = max_products
        self._seed = seed
        self._form = form
        self._retain = retain
        setting = objective.setting
        dtype, device = setting.precision.place_dtype, setting.device
        self._theta = placement.parameter_layout.zeros(dtype, device)
        self._state = placement.buffer_layout.zeros(dtype, device)

    def evaluate(
        self,
        cells: Sequence[Cell],
        on_cell: Callable[[int, CellCurvature], None] | None = None,
    ) -> list[CellCurvature]:
        """Every cell's ends, in the order given; `on_cell` hears of each as soon as it is known.

        Raises:
            MemoryExceeded: naming the batch size that did not fit.
            CurvatureUnsupported: the program cannot be differentiated twice.
        """
        results: list[CellCurvature] = []
        for index, cell in enumerate(cells):
            results.append(self._evaluate_one(cell))
            if on_cell is not None:
                on_cell(index, results[-1])
        return results

    def _evaluate_one(self, cell: Cell) -> CellCurvature:
        alpha, beta = cell
        across = 0.0 if beta is None else beta
        if not self._placement.is_valid(alpha, across):
            return _without(cell, "invalid_buffer", 0)
        self._placement.write(alpha, across, self._theta, self._state)
        moving = self._placement.buffer_layout.views(self._state)
        buffers = {**self._placement.fixed_buffers, **moving}
        parameters = self._placement.parameter_layout.views(self._theta)
        local = self._objective.at(Point(parameters, buffers))
        operator = HessianOperator(local, form=self._form, retain=self._retain)
        try:
            spectrum = spectrum_ends(
                operator,
                tolerance=self._tolerance,
                max_products=self._max_products,
                seed=self._seed,
                vectors=False,
            )
        except CurvatureNotFinite:
            return _without(cell, _why(local), 1)
        largest, smallest = spectrum.largest[0], spectrum.smallest[0]
        return CellCurvature(
            alpha,
            beta,
            smallest.value,
            largest.value,
            smallest.residual,
            largest.residual,
            abs(smallest.value / largest.value) if largest.value != 0 else math.nan,
            spectrum.converged,
            spectrum.products,
            "ok",
        )


def _why(local: LocalObjective) -> str:
    """The status of a point whose curvature is not finite: its loss's, where that says more."""
    loss = local.loss()
    if math.isinf(loss):
        return "posinf" if loss > 0 else "neginf"
    return "nan"


def _without(cell: Cell, status: str, products: int) -> CellCurvature:
    nan = math.nan
    return CellCurvature(cell[0], cell[1], nan, nan, nan, nan, nan, False, products, status)
