"""How far a reduced precision lies from float32 in this very job.

Owns the sample of cells and of data that the comparison is made on, and its report. Both sides are
evaluated with the plan's batch size and memory format; the job's own cells are not touched.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from service.domain.plan import PrecisionErrorPlan
from service.domain.questions import spec as domain
from workers.computation.context import JobContext
from workers.computation.evaluators import Space, cell, recalibrator_of
from workers.engine.precision import Precision
from workers.engine.surface import CellEvaluator, CellResult, compare_precision

#: Of each data set: enough for a mean, and little memory beside the job's own.
SAMPLES: Final = 2048
#: Cells are compared as long as their passes' activations are no more than this: some seconds of
#: work, counted and not timed, so that the report is the same every time. Two are compared always.
_WORK_BYTES: Final = 16 << 30
_LEAST_CELLS: Final = 2
_REDUCED: Final = frozenset({Precision.TF32, Precision.BF16})


def compare(
    context: JobContext,
    space: Space,
    evaluator: CellEvaluator,
    points: Sequence[tuple[float, float]],
    activation_bytes: float,
) -> PrecisionErrorPlan | None:
    """The errors of losses and accuracies at some cells; None in full precision.

    Args:
        activation_bytes: of one sample's pass.
    """
    if context.precision not in _REDUCED:
        return None
    datasets = tuple(dataset.head(SAMPLES) for dataset in context.datasets)
    small = context.setting(space.batch_size, channels_last=space.channels_last)
    evaluators = [
        evaluator.over(
            setting,
            context.origin,
            datasets,
            recalibrator_of(context, space, setting),
        )
        for setting in (small, replace(small, precision=Precision.FLOAT32))
    ]
    tested: list[CellResult] = []
    truth: list[CellResult] = []
    work = activation_bytes * sum(dataset.samples for dataset in datasets)
    count = max(_LEAST_CELLS, int(_WORK_BYTES / max(work, 1.0)))
    for alpha, beta in list(points or [(0.0, 0.0)])[:count]:
        here = [cell(space, alpha, beta)]
        tested += evaluators[0].evaluate(here)
        truth += evaluators[1].evaluate(here)
    error = compare_precision(tested, truth)
    return PrecisionErrorPlan(
        against=domain.Precision.FLOAT32,
        cells=error.cells,
        samples=tuple(dataset.samples for dataset in datasets),
        largest_relative_loss=_finite(error.largest_relative_loss),
        mean_relative_loss=_finite(error.mean_relative_loss),
        largest_accuracy=error.largest_accuracy,
        changed_status=error.changed_status,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
