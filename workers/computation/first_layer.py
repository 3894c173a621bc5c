"""Whether a job combines its first linear map's products instead of computing them at every cell.

Owns the decision, which is by rule and by values, never by a stopwatch: the network must begin with
a linear map that holds most of its work, the job must have enough cells, the products must fit, and
losses must agree with those of the direct form.
"""

from __future__ import annotations

import math
from typing import Final

from workers.computation.context import JobContext
from workers.computation.evaluators import Space, cell
from workers.engine.first_layer import leading_map, response_bytes
from workers.engine.precision import Precision
from workers.engine.surface import CellEvaluator

#: Every worker computes the products anew: three cells' work.
_LEAST_CELLS: Final = 64
_MOST_BYTES: Final = 512 << 20
_CELLS: Final = ((0.0, 0.0), (-1.0, 1.0))
#: Relative differences of losses that are rounding: in float32, and of bfloat16's direct form.
_ROUNDING: Final = {Precision.FLOAT32: 2e-6, Precision.TF32: 1e-3, Precision.BF16: 1e-2}


def worth_combining(context: JobContext, space: Space, cells: int) -> bool:
    """Whether it pays and fits; for planes and lines along one direction alone."""
    leading = leading_map(context.network)
    if leading is None or context.precision not in _ROUNDING or cells < _LEAST_CELLS:
        return False
    if space.target is not None or space.apart or not space.directions:
        return False
    outputs, width = context.origin.parameters[leading.weight].shape
    if any(math.prod(dataset.inputs[0].shape[1:]) != width for dataset in context.datasets):
        return False  # one product for each of many positions: as many results as there are inputs
    samples = sum(dataset.samples for dataset in context.datasets)
    return response_bytes(samples, outputs, len(space.directions)) <= _MOST_BYTES


def as_exact(
    precision: Precision, direct: CellEvaluator, combined: CellEvaluator, space: Space
) -> bool:
    """Whether losses of a few cells differ by no more than rounding."""
    cells = [cell(space, *point) for point in _CELLS]
    pairs = zip(direct.evaluate(cells), combined.evaluate(cells), strict=True)
    return all(
        p.status == q.status
        and (p.status != "ok" or abs(p.loss - q.loss) <= _ROUNDING[precision] * abs(p.loss))
        for a, b in pairs
        for p, q in zip(a.datasets, b.datasets, strict=True)
    )
