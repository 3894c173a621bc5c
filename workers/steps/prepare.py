"""`prepare`: lets the child decide a job's plan, stores the directions, writes the plan.

Owns the plan's making on the supervisor's side: axes and tiles come from the spec, what depends
on the network from the child.
"""

from __future__ import annotations

import math
from typing import Any

from service.domain.counted import Counted
from service.domain.definitions import DEFINITIONS, is_of_today
from service.domain.digests import digest_bytes
from service.domain.grids import first_tile_size, tile_size
from service.domain.plan import (
    JobPlan,
    MemoryPlan,
    PlannedDirection,
    PrecisionErrorPlan,
    RecalibrationPlan,
)
from service.domain.questions.table import question_of
from service.ledger import directions, units
from service.ledger.records import DirectionRecord
from workers.childprocess import ChildDied
from workers.protocol import Frame
from workers.steps.curvature import curvature_plan, curvature_request
from workers.steps.networks import network_plan, network_request, with_places
from workers.steps.opening import fetched, open_job, target_of, threads_of
from workers.steps.path import extent_of, path_plan, path_request
from workers.steps.sampling import begin_sampling
from workers.tools import InHand


def carry_out(hand: InHand) -> None:
    """Raises what `opening.open_job` raises, and ChildDied for an answer that makes no sense."""
    open_job(hand)
    assignment, tools = hand.assignment, hand.tools
    answer = tools.runner.request(
        assignment.job.id, Frame("prepare", _request(hand)), hand.asking()
    )
    objects = dict(zip(answer.body.get("axes", ()), answer.blobs, strict=True))
    if set(objects) != set(assignment.directions):
        raise ChildDied("the child prepared other directions than it was asked for")
    plan = _plan(hand, answer.body, {axis: digest_bytes(data) for axis, data in objects.items()})
    plan, sizes = begin_sampling(hand, plan)
    sizes |= {
        hand.store_bytes(data, "application/vnd.safetensors"): len(data)
        for data in objects.values()
    }
    own = set(answer.body["own"])

    def report() -> None:
        with tools.database.transaction() as session:
            for planned in plan.directions:
                # an orthogonalised direction is this job's own, not what the spec says
                if planned.axis not in own and not assignment.directions[planned.axis].object:
                    directions.materialise(
                        session,
                        planned.id,
                        planned.object,
                        planned.norm,
                        size=sizes[planned.object],
                    )
            units.report_prepared(
                session, assignment.unit.id, assignment.unit.attempt, plan=plan, sizes=sizes
            )

    hand.persist(report, "reporting the plan")


def _request(hand: InHand) -> dict[str, Any]:
    spec = hand.assignment.spec
    question = question_of(spec)
    return {
        "directions": {axis: _direction(hand, axis) for axis in sorted(hand.assignment.directions)},
        "orthogonalise": question.orthogonalise(spec),
        "target": target_of(hand),
        "trajectory": path_request(hand),
        "networks": network_request(hand),
        "curvature": curvature_request(hand),
        "cells": question.surface_cells(spec),
        "compared": question.compared(spec),
        "memory_bytes": hand.tools.options.memory_bytes,
    }


def _direction(hand: InHand, axis: str) -> dict[str, Any]:
    direction = hand.assignment.directions[axis]
    if direction.object is not None and not _made_anew(direction):
        return {"materialised": str(fetched(hand, direction.object))}
    uploaded = direction.spec.get("object")
    return {
        "spec": direction.spec,
        # a saved direction is normalised against the checkpoint it was made for
        "origin": direction.checkpoint_id,
        "object": None if uploaded is None else str(fetched(hand, uploaded)),
    }


def _made_anew(direction: DirectionRecord) -> bool:
    """Whether tensors at hand are of an earlier release's definitions, and can be made again.

    Only a job of that release refers to them so; a newer one takes them as they are, as uploaded.
    A component of a path is the same under all definitions so far.
    """
    return direction.spec.get("kind") != "pca" and not is_of_today(
        direction.spec, direction.spec_digest
    )


def _plan(hand: InHand, body: Any, objects: dict[str, str]) -> JobPlan:
    spec = hand.assignment.spec
    question = question_of(spec)
    part = path_plan(hand, body) or curvature_plan(hand, body)
    networks = network_plan(hand, body)
    x, y = question.axes(spec, part, extent_of(body))
    norms = {axis: float(norm) for axis, norm in body["norms"].items()}
    if not all(math.isfinite(norm) for norm in norms.values()):
        raise ChildDied("the child reports a norm that is no number")
    plan = JobPlan(
        x=tuple(x.points().tolist()),
        y=None if y is None else tuple(y.points().tolist()),
        anchors=with_places(question.anchors(part), networks),
        directions=tuple(
            PlannedDirection(
                axis=axis,
                id=hand.assignment.directions[axis].id,
                object=objects[axis],
                norm=norms[axis],
                about=body["about"].get(axis, {}),
            )
            for axis in sorted(objects)
        ),
        cosine=body["cosine"],
        orthogonalised=body["orthogonalised"],
        precision=spec.precision,
        buffers=spec.buffers,
        batch_size=body["batch_size"],
        channels_last=body["channels_last"],
        combine_first=body["combine_first"],
        threads=threads_of(hand),
        cell_seconds=body["cell_seconds"],
        tile_cells=1,
        memory=MemoryPlan.model_validate(body["memory"]),
        precision_error=(
            PrecisionErrorPlan.model_validate(error) if (error := body["precision_error"]) else None
        ),
        device=body["device"],
        part=part,
        recalibration=(
            RecalibrationPlan.model_validate(how) if (how := body["recalibration"]) else None
        ),
        definitions=DEFINITIONS,
        networks=networks,
        counted=tuple(Counted.model_validate(found) for found in body["counted"]),
    )
    if len(plan.counted) != len(hand.assignment.datasets):
        raise ChildDied("the child counted other data sets than it was given")
    if part is not None and part.work is not None:
        # all of a single point at once
        return plan.model_copy(update={"tile_cells": plan.steps})
    cells = tile_size(
        plan.evaluations,
        cell_seconds=plan.cell_seconds,
        tile_seconds=hand.tools.options.tile_seconds,
    )
    if cells == plan.evaluations:
        return plan.model_copy(update={"tile_cells": cells})
    first = first_tile_size(cells, cell_seconds=plan.cell_seconds)
    return plan.model_copy(update={"tile_cells": cells, "first_tile_cells": first})
