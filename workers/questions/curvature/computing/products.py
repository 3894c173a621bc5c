"""A curvature job's question, and how its Hessian-vector products are formed.

Owns what `prepare` decides once for all tiles: the form of a product, the batch, what is kept
between products and how long a Krylov basis may grow, all within a budget of memory. One half of
it is for products, the other for Krylov bases. Computes no eigenvalue.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

from service.domain.problems import Problem
from service.domain.questions.curvature.part import CurvaturePart
from service.domain.questions.curvature.question import AXIS
from service.domain.questions.curvature.spec import CurvatureJob
from workers.computation.context import JobContext
from workers.engine.groups import layers
from workers.engine.hessian import (
    HessianForm,
    HessianOperator,
    choose_form,
    preferred_forms,
)
from workers.engine.layout import ParameterLayout
from workers.engine.normalisation import Kind
from workers.engine.objective import LocalObjective, Objective
from workers.engine.operators import rademacher_block
from workers.engine.product_memory import ProductPlan, plan_products
from workers.questions.curvature.messages import Chosen

#: Vectors in one block product: probes of a trace and of a density go together.
BLOCK: Final = 8
#: Of each layer's trace.
LAYER_TRACE_PRODUCTS: Final = 16
POINT_TOLERANCE: Final = 1e-5
MAP_TOLERANCE: Final = 1e-3
#: A cell's ratio is known to a residual of 1e-3 after so many products, mostly.
_PRODUCTS_OF_A_CELL: Final = 25


@dataclass(frozen=True)
class Question:
    """What is asked of the Hessian over the job's first data set.

    Attributes:
        mapped: λ_max and λ_min at every cell of a plane; else everything else, at the origin.
        trace: (method, products); None when not asked for.
        density: (steps, probes); None when not asked for.
        along: axes of the directions to give dᵀHd/dᵀd along, in order.
        tolerance: None is the usual one.
    """

    mapped: bool
    largest: int
    smallest: int
    trace: tuple[str, int] | None
    density: tuple[int, int] | None
    layers: bool
    along: tuple[str, ...]
    exclude: frozenset[Kind]
    tolerance: float | None
    max_products: int
    seed: int

    @classmethod
    def of(cls, spec: CurvatureJob) -> Question:
        """What a curvature job asks."""
        trace, density = spec.trace, spec.density
        return cls(
            mapped=spec.map is not None,
            largest=spec.largest,
            smallest=spec.smallest,
            trace=None if trace is None else (trace.method, trace.samples),
            density=None if density is None else (density.steps, density.probes),
            layers=spec.layers,
            along=tuple(f"{AXIS}{i}" for i in range(len(spec.along))),
            exclude=frozenset(Kind(word.value) for word in spec.exclude),
            tolerance=spec.tolerance,
            max_products=spec.max_products,
            seed=spec.seed,
        )

    @property
    def in_blocks(self) -> bool:
        """Whether several products can be formed at once."""
        return bool(self.trace or self.density or self.layers or len(self.along) > 1)


@dataclass(frozen=True)
class Way:
    """How products are formed: part of the plan, since all of it can move a value's bits.

    Attributes:
        form, retain: see `workers.engine.hessian`.
        tolerance: of residuals, relative to the largest |eigenvalue|.
        max_products: of one Lanczos run: what was asked for, or what the memory has room for.
        probes_at_once: Lanczos runs of a density that are in memory together.
    """

    form: HessianForm
    retain: bool
    batch_size: int
    tolerance: float
    max_products: int
    probes_at_once: int

    @classmethod
    def of(cls, plan: CurvaturePart, batch_size: int) -> Way:
        """The way that a plan has decided on."""
        return cls(
            form=HessianForm.named(plan.form),
            retain=plan.retain,
            batch_size=batch_size,
            tolerance=plan.tolerance,
            max_products=plan.max_products,
            probes_at_once=plan.probes_at_once,
        )


@dataclass(frozen=True)
class Choice:
    """A way, and what it will take.

    Attributes:
        steps: products at most, at a point; None for a map, whose work is counted in cells.
        step_seconds: of one product, or of one cell.
        peak_bytes: of products and of the longest basis.
        memory_bytes: the budget that the way follows from.
    """

    way: Way
    steps: int | None
    step_seconds: float
    peak_bytes: int
    memory_bytes: int

    def to_message(self) -> Chosen:
        """The plan's part, without what the plan says elsewhere."""
        return Chosen(
            form=self.way.form.value,
            retain=self.way.retain,
            tolerance=self.way.tolerance,
            max_products=self.way.max_products,
            probes_at_once=self.way.probes_at_once,
            steps=self.steps,
            memory_bytes=self.memory_bytes,
        )


def objective_of(context: JobContext, question: Question, batch_size: int) -> Objective:
    """The loss over the first data set, in the parameters asked about.

    Raises:
        EngineError: the data do not fit, or no parameter is left.
    """
    return Objective(
        context.setting(batch_size),
        context.origin,
        context.datasets[0],
        exclude=question.exclude,
    )


def choose(context: JobContext, question: Question, memory_bytes: int) -> Choice:
    """Decides how products are formed: by rules, so that the same question has the same bits.

    What enters is the program with its weights and data, the device's kind and `memory_bytes`;
    clocks tell how long the work will take, and nothing else.

    Args:
        memory_bytes: budget of products and Krylov bases together.
    Raises:
        EngineError: not one sample fits, or the program cannot be differentiated twice.
        Problem: `out_of_memory` when a basis of the least length does not fit.
    """
    form, plan, objective = _formed(context, question, memory_bytes // 2)
    local = objective.at(context.origin)
    layout = objective.layout
    vector_bytes = layout.size * local.dtype.itemsize
    room = max(memory_bytes // 2, 1) // vector_bytes
    way = Way(
        form=form,
        retain=plan.retain,
        batch_size=plan.batch_size,
        tolerance=question.tolerance or (MAP_TOLERANCE if question.mapped else POINT_TOLERANCE),
        max_products=_longest_run(question, layout.size, room),
        probes_at_once=_probes_at_once(question, layout.size, room),
    )
    seconds = _product_seconds(local, way)
    longest = max(way.max_products, (question.density or (0, 0))[0] * way.probes_at_once)
    return Choice(
        way=way,
        steps=None if question.mapped else _most_products(question, way, layout),
        step_seconds=seconds * (_PRODUCTS_OF_A_CELL if question.mapped else 1),
        peak_bytes=plan.peak_bytes + min(longest, room) * vector_bytes,
        memory_bytes=memory_bytes,
    )


def _formed(
    context: JobContext, question: Question, memory_bytes: int
) -> tuple[HessianForm, ProductPlan, Objective]:
    """The first form that works in the batch that the memory has room for in that form.

    Whatever keeps another form than the plain one from it, its plan included, passes it over.
    """
    block = BLOCK if question.in_blocks else 1
    for form in preferred_forms(context.device, block):
        try:
            plan = _plan(context, question, memory_bytes, form, block)
        except Exception:
            if form is HessianForm.SWEPT:
                raise
            continue
        objective = objective_of(context, question, plan.batch_size)
        local = objective.at(context.origin)
        if choose_form(local, block=block, forms=(form,)) is form:
            return form, plan, objective
    raise AssertionError("the plain form is the last")


def _plan(
    context: JobContext, question: Question, memory_bytes: int, form: HessianForm, block: int
) -> ProductPlan:
    return plan_products(
        context.setting(1),
        context.origin,
        context.datasets[0],
        memory_budget_bytes=memory_bytes,
        block=block,
        form=form,
        exclude=question.exclude,
    )


def _longest_run(question: Question, size: int, room: int) -> int:
    longest = min(question.max_products, room, size)
    wanted = 2 if question.mapped else question.largest + question.smallest
    if longest < min(wanted, size):
        raise Problem(
            "out_of_memory",
            f"{wanted} eigenvalues need a basis of at least as many vectors of {size} numbers; "
            f"the memory for curvature has room for {room}. Ask for fewer, or give the workers "
            "more (LOSSATLAS_CURVATURE_MEMORY_BYTES)",
            pointer="/largest",
        )
    return longest


def _probes_at_once(question: Question, size: int, room: int) -> int:
    if question.density is None:
        return 1
    steps, probes = question.density
    steps = min(steps, size)
    if steps > room:
        raise Problem(
            "out_of_memory",
            f"a density of {steps} steps needs as many vectors of {size} numbers; the memory for "
            f"curvature has room for {room}. Ask for fewer steps, or give the workers more "
            "(LOSSATLAS_CURVATURE_MEMORY_BYTES)",
            pointer="/density/steps",
        )
    return min(probes, room // steps)


def _most_products(question: Question, way: Way, layout: ParameterLayout) -> int:
    """What a point can take in all."""
    total = len(question.along)
    if question.largest + question.smallest > 0:
        total += way.max_products
    if question.trace is not None:
        total += question.trace[1]
    if question.density is not None:
        total += min(question.density[0], layout.size) * question.density[1]
    if question.layers:
        sizes = {entry.name: entry.count for entry in layout.entries}
        for names in layers(layout).values():
            size = sum(sizes[name] for name in names)
            total += min(way.max_products, size) + LAYER_TRACE_PRODUCTS
    return max(total, 1)


def _product_seconds(local: LocalObjective, way: Way) -> float:
    operator = HessianOperator(local, form=way.form, block=1, retain=way.retain)
    vector = rademacher_block(operator, 1, 0, "trial")
    operator.apply(vector).cpu()
    begun = time.perf_counter()
    operator.apply(vector).cpu()
    return time.perf_counter() - begun
