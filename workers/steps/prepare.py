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
from service.domain.grids import Axis, first_tile_size, tile_size
from service.domain.questions.curvature.spec import CurvatureJob
from service.domain.questions.interpolation.spec import InterpolationJob
from service.domain.questions.line.spec import LineJob
from service.domain.questions.spec import QuestionSpec
from service.domain.questions.surface.spec import SurfaceJob
from service.domain.questions.trajectory.spec import TrajectoryJob
from service.domain.units import (
    LINE_ANCHORS,
    PLANE_ANCHORS,
    JobPlan,
    MemoryPlan,
    PlannedDirection,
    PrecisionErrorPlan,
    RecalibrationPlan,
    TrajectoryPlan,
)
from service.ledger import directions, units
from service.ledger.records import DirectionRecord
from workers.childprocess import ChildDied
from workers.protocol import Frame
from workers.steps.curvature import curvature_axes, curvature_plan, curvature_request
from workers.steps.networks import network_plan, network_request, with_places
from workers.steps.opening import fetched, open_job, target_of, threads_of
from workers.steps.path import axes_under, path_plan, path_request
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
    return {
        "directions": {axis: _direction(hand, axis) for axis in sorted(hand.assignment.directions)},
        "orthogonalise": _orthogonalise(spec),
        "target": target_of(hand),
        "trajectory": path_request(hand),
        "networks": network_request(hand),
        "curvature": curvature_request(hand),
        "cells": spec.grid.cells if isinstance(spec, SurfaceJob) else 0,
        "compared": _compared(spec),
        "memory_bytes": hand.tools.options.memory_bytes,
    }


def _compared(spec: QuestionSpec) -> list[tuple[float, float]]:
    """Where a reduced precision is compared with float32: the centre, corners, and half-way.

    A trajectory's axes are not known yet: the child takes points of its path.
    """
    match spec:
        case SurfaceJob():
            x, y = spec.grid.x, spec.grid.y
            return [
                (0.0, 0.0),
                (x.min, y.min),
                (x.max / 2, y.max / 2),
                (x.max, y.max),
                (x.min / 2, y.max / 2),
            ]
        case InterpolationJob():
            return [(a, 0.0) for a in (0.0, spec.alpha.max, 0.5, spec.alpha.min, 1.0)]
        case LineJob():
            return [(a, 0.0) for a in (0.0, spec.alpha.min, spec.alpha.max, spec.alpha.max / 2)]
        case _:
            return []


def _orthogonalise(spec: QuestionSpec) -> bool:
    match spec:
        case SurfaceJob():
            return spec.orthogonalise
        case CurvatureJob():
            return spec.map is not None and spec.map.orthogonalise
        case _:
            return False


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


def _axes(spec: QuestionSpec, body: Any) -> tuple[Axis, Axis | None]:
    """The axes that the spec asks for, or that the path needs; None for the second of a line."""
    match spec:
        case InterpolationJob():
            return spec.alpha, None
        case SurfaceJob():
            return spec.grid.x, spec.grid.y
        case TrajectoryJob():
            return axes_under(spec, body)
        case CurvatureJob():
            return curvature_axes(spec)
        case LineJob():
            # the second axis counts the directions
            return spec.alpha, Axis(min=0, max=spec.repeats - 1, num=spec.repeats)
        case _:
            raise ValueError(f"no axes of a {spec.kind}")


def _anchors(spec: QuestionSpec, path: TrajectoryPlan | None) -> tuple[tuple[float, float], ...]:
    """The centre or the ends; after a trajectory's centre the places of its checkpoints."""
    if isinstance(spec, InterpolationJob):
        return LINE_ANCHORS
    return PLANE_ANCHORS if path is None else PLANE_ANCHORS + path.coordinates


def _plan(hand: InHand, body: Any, objects: dict[str, str]) -> JobPlan:
    spec = hand.assignment.spec
    path = path_plan(hand, body)
    networks = network_plan(hand, body)
    x, y = _axes(spec, body)
    norms = {axis: float(norm) for axis, norm in body["norms"].items()}
    if not all(math.isfinite(norm) for norm in norms.values()):
        raise ChildDied("the child reports a norm that is no number")
    plan = JobPlan(
        x=tuple(x.points().tolist()),
        y=None if y is None else tuple(y.points().tolist()),
        anchors=with_places(_anchors(spec, path), networks),
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
        trajectory=path,
        curvature=curvature_plan(hand, body),
        recalibration=(
            RecalibrationPlan.model_validate(how) if (how := body["recalibration"]) else None
        ),
        lines=isinstance(spec, LineJob),
        definitions=DEFINITIONS,
        networks=networks,
        counted=tuple(Counted.model_validate(found) for found in body["counted"]),
    )
    if len(plan.counted) != len(hand.assignment.datasets):
        raise ChildDied("the child counted other data sets than it was given")
    if y is None and plan.curvature is not None:
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
