"""`prepare`: lets the child decide a job's plan, stores the directions, writes the plan.

Owns the plan's making on the supervisor's side: axes and tiles come from the spec, what depends
on the network from the child.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from service.domain.definitions import DEFINITIONS, is_of_today
from service.domain.digests import digest_bytes
from service.domain.grids import first_tile_size, tile_size
from service.domain.plan import JobPlan, PlannedDirection
from service.domain.problems import Problem
from service.domain.questions.table import question_of
from service.ledger import directions, units
from service.ledger.records import DirectionRecord
from workers.childprocess import ChildDied
from workers.protocol import AskedDirection, Prepare, Prepared, ReadyDirection
from workers.questions import table
from workers.questions.supervising import Found, Supervising
from workers.steps.networks import network_plan, network_request, with_places
from workers.steps.opening import open_job, threads_of
from workers.steps.rounds import begin_sampling
from workers.tools import InHand

log = logging.getLogger(__name__)


def carry_out(hand: InHand) -> None:
    """Raises what `opening.open_job` raises, and ChildDied for an answer that makes no sense."""
    open_job(hand)
    assignment, tools = hand.assignment, hand.tools
    half = table.supervising(assignment.spec.kind)
    answer, blobs = tools.runner.request(
        assignment.job.id,
        _request(hand, half),
        partial(Prepared.read, part=half.finds),
        hand.asking(),
    )
    if len(answer.axes) != len(blobs) or set(answer.axes) != set(assignment.directions):
        raise ChildDied("the child prepared other directions than it was asked for")
    objects = dict(zip(answer.axes, blobs, strict=True))
    found = half.found(assignment.spec, answer)
    plan = _plan(hand, answer, found, {axis: digest_bytes(data) for axis, data in objects.items()})
    plan, sizes = begin_sampling(hand, plan)
    sizes |= {
        hand.store_bytes(data, "application/vnd.safetensors"): len(data)
        for data in objects.values()
    }

    def report() -> None:
        with tools.database.transaction() as session:
            for planned in plan.directions:
                # an orthogonalised direction is this job's own, not what the spec says
                if (
                    planned.axis not in answer.own
                    and not assignment.directions[planned.axis].object
                ):
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


def _request(hand: InHand, half: Supervising[Any]) -> Prepare:
    spec = hand.assignment.spec
    question = question_of(spec)
    return Prepare(
        directions={axis: _direction(hand, axis) for axis in sorted(hand.assignment.directions)},
        orthogonalise=question.orthogonalise(spec),
        cells=question.surface_cells(spec),
        compared=tuple(question.compared(spec)),
        memory_bytes=hand.tools.options.memory_bytes,
        networks=network_request(hand),
        part=half.prepare_part(spec, hand),
    )


def _direction(hand: InHand, axis: str) -> ReadyDirection | AskedDirection:
    direction = hand.assignment.directions[axis]
    if direction.object is not None and not _made_anew(direction):
        try:
            return ReadyDirection(materialised=str(hand.fetched(direction.object)))
        except Problem as problem:
            # a component of a path is its trajectory's; any other is drawn again, to the bit
            if problem.code != "object_corrupt" or direction.spec.get("kind") == "pca":
                raise
            log.warning("%s is drawn again: %s", direction.id, problem.detail)
    uploaded = direction.spec.get("object")
    return AskedDirection(
        spec=dict(direction.spec),
        # a saved direction is normalised against the checkpoint it was made for
        origin=direction.checkpoint_id,
        object=None if uploaded is None else str(hand.fetched(uploaded)),
    )


def _made_anew(direction: DirectionRecord) -> bool:
    """Whether tensors at hand are of an earlier release's definitions, and can be made again.

    Only a job of that release refers to them so; a newer one takes them as they are, as uploaded.
    A component of a path is the same under all definitions so far.
    """
    return direction.spec.get("kind") != "pca" and not is_of_today(
        direction.spec, direction.spec_digest
    )


def _plan(hand: InHand, answer: Prepared, found: Found, objects: dict[str, str]) -> JobPlan:
    spec, part = hand.assignment.spec, found.part
    question = question_of(spec)
    networks = network_plan(hand, answer)
    x, y = question.axes(spec, part, found.extent)
    if answer.norms.keys() != objects.keys():
        raise ChildDied("the child measured other directions than it was asked for")
    if len(answer.counted) != len(hand.assignment.datasets):
        raise ChildDied("the child counted other data sets than it was given")
    plan = JobPlan(
        x=tuple(x.points().tolist()),
        y=None if y is None else tuple(y.points().tolist()),
        anchors=with_places(question.anchors(part), networks),
        directions=tuple(
            PlannedDirection(
                axis=axis,
                id=hand.assignment.directions[axis].id,
                object=objects[axis],
                norm=answer.norms[axis],
                about=answer.about.get(axis, {}),
            )
            for axis in sorted(objects)
        ),
        cosine=answer.cosine,
        orthogonalised=answer.orthogonalised,
        precision=spec.precision,
        buffers=spec.buffers,
        batch_size=answer.batch_size,
        channels_last=answer.channels_last,
        combine_first=answer.combine_first,
        threads=threads_of(hand),
        cell_seconds=answer.cell_seconds,
        tile_cells=1,
        memory=answer.memory,
        precision_error=answer.precision_error,
        device=answer.device,
        part=part,
        recalibration=answer.recalibration,
        definitions=DEFINITIONS,
        networks=networks,
        counted=answer.counted,
    )
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
