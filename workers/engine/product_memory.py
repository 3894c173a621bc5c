"""How many samples go through one Hessian-vector product, and what is kept between products.

Owns the plan that keeps curvature within a memory budget. Made once per job: another batch size
moves the last bits of a product.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from workers.engine.activations import ActivationMeter
from workers.engine.datasets import Dataset
from workers.engine.errors import MemoryExceeded
from workers.engine.evaluation import Setting
from workers.engine.hessian import HessianForm, HessianOperator
from workers.engine.network import Point
from workers.engine.normalisation import Kind
from workers.engine.objective import Objective
from workers.engine.operators import rademacher_block

# Operators' own scratch space beside what the meter sees.
_MARGIN = 1.2
# The meter cannot see into forward mode: its pairs of values took this much more than a recording.
_FORWARD = 1.25
_METERED_SAMPLES = (4, 12)
# Larger batches gain nothing on a CPU, whose caches they leave behind.
_LARGEST = {"cpu": 512, "cuda": 4096}


@dataclass(frozen=True)
class ProductPlan:
    """How products are to be formed within a budget.

    Attributes:
        batch_size: samples at a time.
        retain: whether the recorded passes of *all* samples fit, so that they can be kept.
        peak_bytes: what products are expected to hold at their peak, beside Lanczos's own basis
            (one vector per product).
        bytes_per_sample: of it, for each sample at a time.
    """

    batch_size: int
    retain: bool
    peak_bytes: int
    bytes_per_sample: float


def plan_products(
    setting: Setting,
    origin: Point,
    dataset: Dataset,
    *,
    memory_budget_bytes: int,
    block: int = 8,
    form: HessianForm = HessianForm.SWEPT,
    exclude: frozenset[Kind] = frozenset(),
) -> ProductPlan:
    """The largest sensible batch for blocks of `block` vectors; `setting.batch_size` is ignored.

    Measures two small products and takes memory to grow in a straight line with the samples.

    Raises:
        MemoryExceeded: not even one sample fits.
        PrecisionUnavailable, InputInvalid, TargetsInvalid, CurvatureUnsupported: see `Objective`.
    """
    few, more = (min(count, dataset.samples) for count in _METERED_SAMPLES)
    small = _metered(setting, origin, dataset.head(few), block, form, exclude)
    per_sample, fixed = small / few, 0.0
    if more > few:
        large = _metered(setting, origin, dataset.head(more), block, form, exclude)
        per_sample = max((large - small) / (more - few), 1.0)
        fixed = max(small - few * per_sample, 0.0)
    fits = int((memory_budget_bytes / _MARGIN - fixed) / per_sample)
    if fits < 1:
        raise MemoryExceeded(
            f"one sample needs about {int(_MARGIN * (fixed + per_sample))} bytes for a "
            f"Hessian-vector product, the budget is {memory_budget_bytes}",
            batch_size=1,
        )
    retain = fits >= dataset.samples and form is not HessianForm.FORWARD
    largest = _LARGEST.get(setting.device.type, _LARGEST["cpu"])
    batch_size = min(fits, largest, dataset.samples)
    held = dataset.samples if retain else batch_size
    return ProductPlan(batch_size, retain, int(_MARGIN * (fixed + held * per_sample)), per_sample)


def _metered(
    setting: Setting,
    origin: Point,
    dataset: Dataset,
    block: int,
    form: HessianForm,
    exclude: frozenset[Kind],
) -> int:
    setting = replace(setting, batch_size=dataset.samples)
    objective = Objective(setting, origin, dataset, exclude=exclude)
    forward = form is HessianForm.FORWARD
    seen = HessianForm.SWEPT if forward else form
    operator = HessianOperator(objective.at(origin), form=seen, block=block)
    vectors = rademacher_block(operator, block, 0, "meter")
    meter = ActivationMeter()
    with meter:
        operator.apply(vectors)
    return int(meter.peak_bytes * (_FORWARD if forward else 1))
