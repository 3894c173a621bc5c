"""`finalise`: tiles laid into a grid, measured, stored, and published as a landscape.

Owns the provenance: everything needed to compute the same bits again. Needs no child.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from service.domain.adaptive import Sampling
from service.domain.counted import counted_provenance
from service.domain.derived.measures import measure
from service.domain.plan import JobPlan
from service.domain.problems import Problem
from service.domain.questions.question import Question
from service.domain.questions.table import question_of
from service.domain.results import GridResult, Tile, assemble, encode_npz
from service.ledger import units
from service.ledger.records import NewLandscape, UnitRecord
from workers.cache import Held
from workers.steps.networks import network_provenance
from workers.steps.rounds import after_round
from workers.tools import InHand

log = logging.getLogger(__name__)


def carry_out(hand: InHand) -> None:
    """Publishes the landscape, or plans another round of adaptive sampling.

    Tiles whose bytes are lost are computed again first.
    """
    assignment, tools = hand.assignment, hand.tools
    plan, question = assignment.plan, question_of(assignment.spec)

    def read() -> list[UnitRecord]:
        with tools.database.transaction() as session:
            return units.tiles(session, assignment.job.id)

    done = hand.persist(read, "reading the tiles' list")
    with tools.cache.holding() as held:
        tiles, damage = _tiles(hand, held, done)
    if damage is not None:
        _compute_again(hand, damage)
        return
    result = assemble(
        plan, assignment.dataset_names, [d.samples for d in assignment.datasets], tiles
    )
    sampled = None
    if plan.sampling is not None:
        sampled = after_round(hand, plan, result)
        if sampled is None:
            return
        result = sampled.result
    result = question.finished(plan, result)
    known = question.attachments(plan, assignment.spec, assignment.checkpoints)
    result = replace(result, attachments={**known, **result.attachments})
    arrays = encode_npz(result.to_arrays())
    data = hand.store_bytes(arrays, "application/x-npz")
    landscape = NewLandscape(
        data=data,
        provenance={
            **_provenance(hand, plan, done),
            **({} if sampled is None else {"sampling": sampled.account}),
        },
        derived=_derived(question, result),
        title=_title(hand, result),
        size=len(arrays),
    )

    def report() -> None:
        with tools.database.transaction() as session:
            units.report_finalised(
                session, assignment.unit.id, assignment.unit.attempt, landscape=landscape
            )

    hand.persist(report, "publishing the landscape")


@dataclass(frozen=True)
class _Damage:
    """Finished tiles that cannot be read, and what was found of the last of them."""

    tiles: list[str]
    problem: Problem


def _tiles(hand: InHand, held: Held, done: list[UnitRecord]) -> tuple[list[Tile], _Damage | None]:
    tiles: list[Tile] = []
    damage: _Damage | None = None
    for unit in done:
        if unit.result is None:
            continue
        try:
            tiles.append(Tile.from_npz(hand.read(held, unit.result).read_bytes()))
        except Problem as problem:
            if problem.code != "object_corrupt":
                raise
            damage = _Damage([*(damage.tiles if damage else ()), unit.id], problem)
    return tiles, damage


def _compute_again(hand: InHand, damage: _Damage) -> None:
    assignment = hand.assignment
    log.warning("%s: tiles %s are damaged", assignment.job.id, damage.tiles)

    def report() -> None:
        with hand.tools.database.transaction() as session:
            units.report_damaged(
                session,
                assignment.unit.id,
                assignment.unit.attempt,
                damage.tiles,
                damage.problem.to_json(),
            )

    hand.persist(report, "giving damaged tiles back")


def _provenance(hand: InHand, plan: JobPlan, tiles: list[UnitRecord]) -> dict[str, Any]:
    assignment = hand.assignment
    specs = {axis: record.spec for axis, record in assignment.directions.items()}
    return {
        "engine": _engine_version(),
        "definitions": plan.definitions,
        "dtype": plan.precision.value,
        "device": plan.device,
        "threads": plan.threads,
        "batch_size": plan.batch_size,
        "channels_last": plan.channels_last,
        "combine_first": plan.combine_first,
        "buffers": plan.buffers.value,
        "recalibration": plan.recalibration and plan.recalibration.model_dump(),
        **_counted(hand, plan),
        "seeds": {
            axis: spec["seed"] for axis, spec in specs.items() if spec.get("kind") == "random"
        },
        "directions": {
            planned.axis: {
                "id": planned.id,
                "norm": planned.norm,
                "object": planned.object,
                "spec": specs[planned.axis],
                **({"about": planned.about} if planned.about else {}),
            }
            for planned in plan.directions
        },
        "cosine": plan.cosine,
        "orthogonalised": plan.orthogonalised,
        "inputs": {
            "program": assignment.model.program,
            "architecture": assignment.model.architecture,
            "loss": assignment.model.loss,
            "loss_options": dict(assignment.model.loss_options),
            "weights": {i: c.weights for i, c in assignment.checkpoints.items()},
            "datasets": {d.id: d.object for d in assignment.datasets},
        },
        "units": len(tiles),
        "redone": sum(tile.attempt - 1 for tile in tiles),
        "timings": {
            "cell_seconds": plan.cell_seconds,
            "tiles_seconds": sum(tile.seconds or 0.0 for tile in tiles),
        },
        "peak_memory_bytes": plan.memory and plan.memory.measured_bytes,
        "memory": plan.memory and plan.memory.model_dump(),
        "precision_error": plan.precision_error and plan.precision_error.model_dump(mode="json"),
        **question_of(assignment.spec).provenance(plan, assignment.spec),
        **network_provenance(hand, plan),
    }


def _counted(hand: InHand, plan: JobPlan) -> dict[str, Any]:
    """By data set, how many samples the means are over, and of what else."""
    names, held = hand.assignment.dataset_names, hand.assignment.datasets
    if not plan.counted:
        return {"samples": {n: d.samples for n, d in zip(names, held, strict=True)}}
    return counted_provenance(names, plan.counted)


def _derived(question: Question[Any], result: GridResult) -> dict[str, Any]:
    sampling = Sampling.of(result)
    beside = {} if sampling is None else {"sampling": sampling.derived(result)}
    return {**measure(question, result), **beside}


def _title(hand: InHand, result: GridResult) -> str:
    spec = hand.assignment.spec
    what = question_of(spec).title(spec)
    if Sampling.of(result) is not None:
        what = f"adaptive {what}"
    return f"{hand.assignment.model.name}: {what}"


def _engine_version() -> str:
    try:
        return f"lossatlas {version('lossatlas-server')}, torch {version('torch')}"
    except PackageNotFoundError:
        return "unknown"
