"""Adaptive sampling on the supervisor's side: the rounds' objects, and what each round led to.

Owns the words between the plan and `workers.adaptive`'s numerics. Needs no child.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from service.domain.cells import CellStatus
from service.domain.digests import hex_of
from service.domain.grids import coarse_to_fine, tile_size
from service.domain.plan import JobPlan, SamplingPlan, SamplingRound
from service.domain.problems import Problem
from service.domain.questions.spec import AdaptiveSampling
from service.domain.questions.table import question_of
from service.domain.results import GridResult, decode_npz, encode_npz
from service.ledger import units
from workers.adaptive.design import Round, first_round
from workers.tools import InHand

if TYPE_CHECKING:
    from workers.adaptive.decision import Known
    from workers.adaptive.filling import Filled


@dataclass(frozen=True)
class Sampled:
    """A plane with a value in every cell, and the account of how few were evaluated."""

    result: GridResult
    account: dict[str, Any]


def begin_sampling(hand: InHand, plan: JobPlan) -> tuple[JobPlan, dict[str, int]]:
    """The plan with its first round, and the sizes of the objects stored for it by digest.

    Plans of exact jobs come back as they are.
    """
    spec = hand.assignment.spec
    asked = question_of(spec).sampling(spec)
    if not isinstance(asked, AdaptiveSampling):
        return plan, {}
    # from the question, so that the same question draws the same cells
    seed = int(hex_of(hand.assignment.job.input_digest)[:12], 16)
    first = first_round(_shape(plan), audit=asked.audit, seed=seed, always=_anchors_on(plan))
    planned, size = _stored(hand, plan, first)
    sampling = SamplingPlan(
        tolerance=asked.tolerance,
        audit=asked.audit,
        seed=seed,
        rounds=(planned,),
    )
    plan = plan.model_copy(update={"sampling": sampling})
    # the first tiles hold what lies beside the grid too
    return plan.model_copy(update={"tile_cells": planned.tile_cells}), {planned.object: size}


def order_of(hand: InHand, plan: JobPlan) -> NDArray[np.int64]:
    """Flat indices in the order of work, those of every round so far where there are rounds."""
    if plan.sampling is None:
        return plan.order()
    rounds = [_read(hand, planned) for planned in plan.sampling.rounds]
    return plan.order(np.concatenate([known.cells for known in rounds]))


def after_round(hand: InHand, plan: JobPlan, result: GridResult) -> Sampled | None:
    """The filled plane; None when another round was planned and reported instead.

    Args:
        result: the plane as far as it is evaluated.
    """
    # scipy: for the workers that need it
    from workers.adaptive.decision import decide
    from workers.adaptive.filling import fill

    sampling = plan.sampling
    if sampling is None:
        raise ValueError("the plan has no rounds")
    known = _known(result, _read(hand, sampling.rounds[-1]).audit)
    decided = decide(known, tolerance=sampling.tolerance, seed=sampling.seed)
    if isinstance(decided, Round):
        _report(hand, plan, decided)
        return None
    filled = fill(result, known.evaluated, decided, tolerance=sampling.tolerance)
    return Sampled(filled.result, _account(sampling, filled))


def _account(sampling: SamplingPlan, filled: Filled) -> dict[str, Any]:
    return {
        "mode": "adaptive",
        "tolerance": sampling.tolerance,
        "cells": filled.cells,
        "evaluations": filled.evaluations,
        "share": filled.evaluations / filled.cells,
        "saved": filled.cells / filled.evaluations,
        "rounds": len(sampling.rounds),
        "audit": {"share": sampling.audit, "seed": sampling.seed},
        "datasets": {name: account.to_json() for name, account in filled.accounts.items()},
    }


def _known(result: GridResult, audit: NDArray[np.int64]) -> Known:
    from workers.adaptive.decision import Known

    evaluated = (result.status != CellStatus.PENDING).ravel()
    held = np.zeros(evaluated.shape, dtype=np.bool_)
    held[audit] = True
    ny, nx = result.shape
    return Known(
        shape=(ny, nx),
        losses=np.stack([d.loss.ravel() for d in result.datasets]),
        usable=np.stack([(d.status == CellStatus.OK).ravel() for d in result.datasets]),
        evaluated=evaluated,
        audit=held,
    )


def _report(hand: InHand, plan: JobPlan, more: Round) -> None:
    planned, size = _stored(hand, plan, more)
    assignment, tools = hand.assignment, hand.tools

    def report() -> None:
        with tools.database.transaction() as session:
            units.report_refined(
                session, assignment.unit.id, assignment.unit.attempt, planned=planned, size=size
            )

    hand.persist(report, "reporting a round of cells")


def _stored(hand: InHand, plan: JobPlan, chosen: Round) -> tuple[SamplingRound, int]:
    """Stores a round's cells, coarse to fine; what the plan says of it, and the object's size."""
    place = np.empty(plan.cells, dtype=np.int64)
    place[coarse_to_fine(plan.shape)] = np.arange(plan.cells)
    cells = chosen.cells[np.argsort(place[chosen.cells])]
    data = encode_npz({"cells": cells, "audit": chosen.audit})
    digest = hand.store_bytes(data, "application/x-npz")
    tile_cells = tile_size(
        len(cells),
        cell_seconds=plan.cell_seconds,
        tile_seconds=hand.tools.options.tile_seconds,
    )
    return SamplingRound(object=digest, cells=len(cells), tile_cells=tile_cells), len(data)


def _read(hand: InHand, planned: SamplingRound) -> Round:
    with hand.tools.cache.holding() as held:
        data = hand.read(held, planned.object).read_bytes()
    try:
        arrays = decode_npz(data)
        return Round(arrays["cells"], arrays["audit"])
    except (ValueError, KeyError) as error:
        raise Problem("object_corrupt", "a round of cells cannot be read") from error


def _shape(plan: JobPlan) -> tuple[int, int]:
    ny, nx = plan.shape
    return ny, nx


def _anchors_on(plan: JobPlan) -> NDArray[np.int64]:
    """Flat indices of the anchors that are cells of the grid."""
    return np.array([k for k in plan.anchor_indices() if k < plan.cells], dtype=np.int64)
