"""Reports of finished work, each fenced by its attempt and each whole or not at all.

A report that raises StaleAttempt has changed nothing: somebody else owns the unit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from service.domain.grids import cut_tiles
from service.domain.plan import JobPlan, SamplingRound
from service.domain.questions.table import read_plan
from service.domain.units import UnitKind
from service.ledger import endings, events, failures, landscapes, models, objects, outbox
from service.ledger.fencing import hold
from service.ledger.ids import new_id
from service.ledger.records import JobRecord, LandscapeRecord, NewLandscape, UnitRecord
from service.ledger.sqltext import json, one, rows, run
from service.ledger.tables import units as units_table

#: Rows in one INSERT: enough to be fast, few enough to stay far from the parameter limit.
_ROWS = 1000


def report_ingested(
    session: Session,
    unit_id: str,
    attempt: int,
    *,
    signature: Mapping[str, Any],
    graph: str | None,
    constants: str | None,
    sizes: Mapping[str, int] | None = None,
) -> None:
    """The model is bound and probed: ready, and the jobs that waited for it may start.

    Args:
        signature: as shown with the model.
        graph: digest of the canonical graph; None for a named architecture.
        constants: digest of its constants (safetensors), if it has any.
        sizes: bytes of these objects by digest, where known.

    Raises:
        StaleAttempt: as every report.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.INGEST)
    for digest in sorted({graph, constants} - {None}, key=str):
        _publish(session, job, str(digest), job.model_id, "canonical", sizes)
    _done(session, job, unit)
    endings.succeed(session, job, None)
    models.accept(session, job.model_id, signature=signature, graph=graph, constants=constants)


def report_refused(
    session: Session, unit_id: str, attempt: int, problem: Mapping[str, Any]
) -> None:
    """The model is refused, with the problem's JSON; jobs that waited for it fail.

    Raises:
        StaleAttempt: as every report.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.INGEST)
    failures.give_up(session, job, unit, problem)


def report_prepared(
    session: Session,
    unit_id: str,
    attempt: int,
    *,
    plan: JobPlan,
    sizes: Mapping[str, int] | None = None,
) -> None:
    """Writes the plan, its tiles (ready, coarse ones first) and the finalise unit (blocked).

    Raises:
        StaleAttempt: as every report.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.PREPARE)
    for digest in sorted({planned.object for planned in plan.directions}):
        _publish(session, job, digest, job.id, "direction", sizes)
    for planned in plan.sampling.rounds if plan.sampling is not None else ():
        _publish(session, job, planned.object, job.id, "sampling", sizes)
    _done(session, job, unit)
    run(
        session,
        "UPDATE jobs SET plan = :plan, cells_total = :cells, cells_done = 0, phase = 'tile'"
        " WHERE id = :id",
        id=job.id,
        plan=json(plan.model_dump(mode="json")),
        cells=plan.steps,
    )
    slices = [*cut_tiles(plan.steps, plan.tile_cells, first_cells=plan.first_tile_cells)]
    tiles = _lay_out(session, job, slices, seq=0, finalise=0)
    events.add(session, job.id, events.PLANNED, tiles=len(tiles), cells=plan.steps)
    outbox.hint(session, job.id, tiles)


def report_refined(
    session: Session,
    unit_id: str,
    attempt: int,
    *,
    planned: SamplingRound,
    size: int | None = None,
) -> None:
    """Adaptive sampling wants more cells: their round joins the plan, its tiles are ready, and a
    new finalise unit waits for them. The one that decided so is done.

    Args:
        planned: the round; its object is stored.
        size: of that object, in bytes, where known.

    Raises:
        StaleAttempt: as every report.
        ValueError: the job's sampling is not adaptive.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.FINALISE)
    plan = read_plan(job.kind, job.plan or {})
    if plan.sampling is None:
        raise ValueError(f"{job.id} has no adaptive sampling to refine")
    sizes = None if size is None else {planned.object: size}
    _publish(session, job, planned.object, job.id, "sampling", sizes)
    _done(session, job, unit)
    known = plan.steps
    rounds = (*plan.sampling.rounds, planned)
    refined = plan.model_copy(
        update={"sampling": plan.sampling.model_copy(update={"rounds": rounds})}
    )
    run(
        session,
        "UPDATE jobs SET plan = :plan, cells_total = :cells, phase = 'tile' WHERE id = :id",
        id=job.id,
        plan=json(refined.model_dump(mode="json")),
        cells=refined.steps,
    )
    last = rows(
        session,
        "SELECT max(seq) AS seq FROM units WHERE job_id = :id AND kind = 'tile'",
        id=job.id,
    )[0]["seq"]
    slices = [(known + a, known + b) for a, b in cut_tiles(planned.cells, planned.tile_cells)]
    tiles = _lay_out(session, job, slices, seq=last + 1, finalise=unit.seq + 1)
    events.add(
        session,
        job.id,
        events.REFINED,
        round=len(rounds) - 1,
        tiles=len(tiles),
        cells=planned.cells,
    )
    outbox.hint(session, job.id, tiles)


def report_replanned(
    session: Session,
    unit_id: str,
    attempt: int,
    *,
    definitions: str,
    damaged: str | None = None,
) -> None:
    """The job was planned under other definitions, or what its plan refers to is damaged: its plan
    and its tiles are dropped, also those that other workers hold, and it is planned anew.

    Args:
        definitions: under which it will be.
        damaged: the object of the plan that cannot be read.

    Raises:
        StaleAttempt: as every report.
    """
    job, _ = hold(session, unit_id, attempt, UnitKind.TILE, UnitKind.FINALISE)
    run(session, "DELETE FROM outbox WHERE job_id = :id AND topic = 'hint'", id=job.id)
    run(session, "DELETE FROM units WHERE job_id = :id AND kind <> 'ingest'", id=job.id)
    run(
        session,
        "UPDATE jobs SET plan = NULL, cells_done = 0, phase = 'prepare' WHERE id = :id",
        id=job.id,
    )
    prepare = new_id("unt")
    run(
        session,
        "INSERT INTO units (id, job_id, project, kind, seq, state, ready_at)"
        " VALUES (:id, :job_id, :project, 'prepare', 0, 'ready', now())",
        id=prepare,
        job_id=job.id,
        project=job.project,
    )
    why = {} if damaged is None else {"damaged": damaged}
    events.add(session, job.id, events.REPLANNED, definitions=definitions, **why)
    outbox.hint(session, job.id, [prepare])


def _lay_out(
    session: Session,
    job: JobRecord,
    slices: Sequence[tuple[int, int]],
    *,
    seq: int,
    finalise: int,
) -> list[str]:
    """Tiles of these slices, ready, and the finalise unit that waits for them; the tiles' ids.

    Args:
        seq: of the first tile.
        finalise: seq of the finalise unit.
    """
    now = rows(session, "SELECT now() AS now")[0]["now"]
    common = {"job_id": job.id, "project": job.project}
    tiles = [
        {
            **common,
            "id": new_id("unt"),
            "kind": UnitKind.TILE.value,
            "seq": seq + k,
            "state": "ready",
            "start": start,
            "stop": stop,
            "ready_at": now,
        }
        for k, (start, stop) in enumerate(slices)
    ]
    for first in range(0, len(tiles), _ROWS):
        session.execute(units_table.insert(), tiles[first : first + _ROWS])
    session.execute(
        units_table.insert(),
        [
            {
                **common,
                "id": new_id("unt"),
                "kind": UnitKind.FINALISE.value,
                "seq": finalise,
                "state": "blocked",
            }
        ],
    )
    return [str(tile["id"]) for tile in tiles]


def report_tile(
    session: Session,
    unit_id: str,
    attempt: int,
    *,
    result: str,
    seconds: float,
    size: int | None = None,
) -> None:
    """A tile's values are stored as the object `result`; the last tile makes finalise ready.

    Two last tiles cannot miss each other: both count under the job's lock.

    Raises:
        StaleAttempt: as every report.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.TILE)
    objects.note(session, result, size)
    cells = (unit.stop or 0) - (unit.start or 0)
    _done(session, job, unit, cells=cells, result=result, seconds=seconds)
    complete = rows(
        session,
        "UPDATE jobs SET cells_done = cells_done + :cells WHERE id = :id"
        " RETURNING cells_done = cells_total AS complete",
        id=job.id,
        cells=cells,
    )[0]["complete"]
    if complete:
        run(session, "UPDATE jobs SET phase = 'finalise' WHERE id = :id", id=job.id)
        ready = rows(
            session,
            "UPDATE units SET state = 'ready', ready_at = now()"
            " WHERE job_id = :id AND kind = 'finalise' AND state = 'blocked' RETURNING id",
            id=job.id,
        )
        outbox.hint(session, job.id, [row["id"] for row in ready])


def report_finalised(
    session: Session, unit_id: str, attempt: int, *, landscape: NewLandscape
) -> LandscapeRecord:
    """Publishes the result: landscape, links, unit and job in one transaction.

    Raises:
        StaleAttempt: as every report.
    """
    job, unit = hold(session, unit_id, attempt, UnitKind.FINALISE)
    objects.note(session, landscape.data, landscape.size)
    made = landscapes.create(session, job, landscape)
    objects.link(session, landscape.data, job.project, made.id, "data")
    _done(session, job, unit)
    endings.succeed(session, job, made.id)
    return made


def report_failed(
    session: Session, unit_id: str, attempt: int, problem: Mapping[str, Any], *, retry: bool
) -> None:
    """The attempt ended badly, with the problem's JSON.

    Args:
        retry: another attempt may do better; it counts as a death, and the third fails the job.
            Otherwise the job fails now and its other units are cancelled.

    Raises:
        StaleAttempt: as every report.
    """
    job, unit = hold(session, unit_id, attempt)
    if retry:
        failures.set_back(session, job, unit, problem)
    else:
        failures.give_up(session, job, unit, problem)


def _done(
    session: Session,
    job: JobRecord,
    unit: UnitRecord,
    *,
    cells: int = 0,
    result: str | None = None,
    seconds: float | None = None,
) -> None:
    ended = one(
        session,
        UnitRecord,
        "UPDATE units SET state = 'done', finished_at = now(), lease_until = NULL,"
        " cells_done = :cells, result = :result, problem = NULL,"
        " seconds = coalesce(CAST(:seconds AS float8), extract(epoch FROM now() - started_at))"
        " WHERE id = :id AND state = 'leased' RETURNING *",
        id=unit.id,
        cells=cells,
        result=result,
        seconds=seconds,
    )
    events.add(
        session,
        job.id,
        events.UNIT_DONE,
        unit=unit.id,
        kind=unit.kind.value,
        seq=unit.seq,
        attempt=unit.attempt,
        cells=cells,
        seconds=ended.seconds,
    )


def _publish(
    session: Session,
    job: JobRecord,
    digest: str,
    entity_id: str,
    role: str,
    sizes: Mapping[str, int] | None,
) -> None:
    objects.note(session, digest, (sizes or {}).get(digest))
    objects.link(session, digest, job.project, entity_id, role)
