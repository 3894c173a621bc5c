"""Curvature by groups of parameters: the diagonal blocks of the Hessian.

Owns the grouping and what is reported of each block. The blocks' traces add up to the trace of H;
the largest eigenvalue of H is at least every block's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workers.engine.errors import InputInvalid
from workers.engine.hessian import HessianForm, HessianOperator
from workers.engine.lanczos import RitzPair, spectrum_ends
from workers.engine.layout import ParameterLayout
from workers.engine.network import Point
from workers.engine.objective import Objective
from workers.engine.trace import estimate_trace
from workers.engine.trace_estimate import TraceEstimate


@dataclass(frozen=True)
class GroupCurvature:
    """One diagonal block.

    Attributes:
        group: its name.
        parameters: the names in it.
        size: how many numbers they hold.
        largest, smallest: its extreme eigenvalues; both are the one of a block of one number.
        trace: of the block, deflated by the run that found the eigenvalues.
        products: matrix-vector products spent in all.
    """

    group: str
    parameters: tuple[str, ...]
    size: int
    largest: RitzPair
    smallest: RitzPair
    trace: TraceEstimate
    products: int


def layers(layout: ParameterLayout) -> dict[str, tuple[str, ...]]:
    """Parameters by the module that holds them: the name without its last part, in order.

    A parameter of the outermost module is a group by itself.
    """
    found: dict[str, list[str]] = {}
    for name in layout.names:
        found.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return {group: tuple(names) for group, names in found.items()}


def group_curvatures(
    objective: Objective,
    point: Point,
    groups: Mapping[str, Sequence[str]] | None = None,
    *,
    tolerance: float = 1e-3,
    max_products: int = 100,
    trace_products: int = 16,
    seed: int = 0,
    form: HessianForm = HessianForm.SWEPT,
    retain: bool = False,
    on_group: Callable[[GroupCurvature], None] | None = None,
) -> tuple[GroupCurvature, ...]:
    """Every group's block at `point`, one after the other.

    Args:
        groups: names by group; layers by default. They may overlap.
        on_group: told of each as soon as it is known.

    Raises:
        InputInvalid: a group is empty or names what is no parameter of the objective.
        CurvatureNotFinite: a product held NaN or infinities.
    """
    results: list[GroupCurvature] = []
    for group, names in (layers(objective.layout) if groups is None else groups).items():
        if not names:
            raise InputInvalid(f"group {group!r} is empty")
        local = objective.at(point, names=names)
        operator = HessianOperator(local, form=form, retain=retain)
        spectrum = spectrum_ends(
            operator,
            tolerance=tolerance,
            max_products=max_products,
            seed=seed,
            vectors=False,
        )
        trace = estimate_trace(operator, trace_products, basis=spectrum.basis, seed=seed)
        result = GroupCurvature(
            group,
            operator.layout.names,
            operator.layout.size,
            spectrum.largest[0],
            spectrum.smallest[0],
            trace,
            spectrum.products + trace.products,
        )
        results.append(result)
        if on_group is not None:
            on_group(result)
    return tuple(results)
