"""Every pair of states, tried against the database: what the domain forbids, no SQL can do."""

from __future__ import annotations

from itertools import product
from typing import Any

import psycopg
import pytest
from sqlalchemy import exc
from sqlalchemy.orm import Session

from service.domain.states import (
    JOB_TRANSITIONS,
    MODEL_TRANSITIONS,
    UNIT_TRANSITIONS,
    JobState,
    ModelState,
    UnitState,
)
from tests.ledger.world import World, digest

#: For each state, the columns that the other invariants demand along with it.
MODEL_COLUMNS = {
    ModelState.CHECKED: "problem = NULL, graph = NULL",
    ModelState.READY: "problem = NULL, graph = :digest",
    ModelState.REFUSED: "problem = '{}', graph = NULL",
}
JOB_COLUMNS = {
    JobState.QUEUED: "started_at = NULL, finished_at = NULL",
    JobState.RUNNING: "started_at = now(), finished_at = NULL",
    JobState.SUCCEEDED: "started_at = now(), finished_at = now()",
    JobState.FAILED: "finished_at = now()",
    JobState.CANCELLED: "finished_at = now()",
}
UNIT_COLUMNS = {
    UnitState.BLOCKED: "finished_at = NULL, lease_until = NULL",
    UnitState.READY: "finished_at = NULL, lease_until = NULL, ready_at = now()",
    UnitState.LEASED: "finished_at = NULL, lease_until = now(), worker = 'w', attempt = 1",
    UnitState.DONE: "finished_at = now(), lease_until = NULL",
    UnitState.FAILED: "finished_at = now(), lease_until = NULL, problem = '{}'",
    UnitState.CANCELLED: "finished_at = now(), lease_until = NULL",
}

NO_LANDSCAPE = ", landscape_id = NULL"


def columns_of_job(state: JobState, landscape: str | None) -> str:
    return (
        JOB_COLUMNS[state]
        + (", error = '{}'" if state is JobState.FAILED else ", error = NULL")
        + f", cancel_requested_at = {'now()' if state is JobState.CANCELLED else 'NULL'}"
        + (f", landscape_id = '{landscape}'" if state is JobState.SUCCEEDED else NO_LANDSCAPE)
    )


def move(session: Session, table: str, identity: str, state: str, columns: str) -> None:
    columns = columns.replace(":digest", f"'{digest('graph')}'")
    session.connection().exec_driver_sql(
        f"UPDATE {table} SET state = '{state}', {columns} WHERE id = '{identity}'"  # noqa: S608
    )


def place(world: World, table: str, identity: str, state: str, columns: str) -> None:
    """Puts a row into a state without asking the triggers, the CHECKs still holding."""
    with world.database.transaction() as session:
        trigger = f"TRIGGER {table}_transition"
        session.connection().exec_driver_sql(f"ALTER TABLE {table} DISABLE {trigger}")
        move(session, table, identity, state, columns)
        session.connection().exec_driver_sql(f"ALTER TABLE {table} ENABLE {trigger}")


def attempt(world: World, table: str, identity: str, state: str, columns: str) -> bool:
    """Whether the database lets the row go there; any refusal but the trigger's is raised."""
    try:
        with world.database.transaction() as session:
            move(session, table, identity, state, columns)
    except exc.IntegrityError as error:
        if broken(error) != f"{table}_transition":
            raise
        return False
    return True


def broken(error: exc.IntegrityError) -> str:
    """The name of the constraint."""
    assert isinstance(error.orig, psycopg.Error)
    return str(error.orig.diag.constraint_name)


def allowed(transitions: Any, before: Any, after: Any) -> bool:
    # staying is no transition
    return before is after or after in transitions[before]


@pytest.fixture
def finished(world: World) -> tuple[str, str, str]:
    """(model, job, landscape) of a job that went through."""
    landscape = world.done()
    row = world.sql("SELECT job_id, model_id FROM landscapes")[0]
    return row["model_id"], row["job_id"], landscape


def test_models(world: World, finished: tuple[str, str, str]) -> None:
    model = finished[0]
    for before, after in product(ModelState, ModelState):
        place(world, "models", model, before, MODEL_COLUMNS[before])
        moved = attempt(world, "models", model, after, MODEL_COLUMNS[after])
        assert moved == allowed(MODEL_TRANSITIONS, before, after), (before, after)


def test_jobs(world: World, finished: tuple[str, str, str]) -> None:
    _, job, landscape = finished
    for before, after in product(JobState, JobState):
        place(world, "jobs", job, before, columns_of_job(before, landscape))
        moved = attempt(world, "jobs", job, after, columns_of_job(after, landscape))
        assert moved == allowed(JOB_TRANSITIONS, before, after), (before, after)


def test_units(world: World, finished: tuple[str, str, str]) -> None:
    unit = world.sql("SELECT id FROM units WHERE kind = 'prepare'")[0]["id"]
    for before, after in product(UnitState, UnitState):
        place(world, "units", unit, before, UNIT_COLUMNS[before])
        moved = attempt(world, "units", unit, after, UNIT_COLUMNS[after])
        assert moved == allowed(UNIT_TRANSITIONS, before, after), (before, after)


def test_a_landscape_never_changes(world: World, finished: tuple[str, str, str]) -> None:
    for statement in (
        "UPDATE landscapes SET title = 'better' WHERE id = :id",
        "DELETE FROM landscapes WHERE id = :id",
    ):
        with pytest.raises(exc.IntegrityError, match="immutable"):
            world.sql(statement, id=finished[2])


@pytest.mark.parametrize(
    ("constraint", "statement"),
    [
        ("jobs_finished_has_time", "UPDATE jobs SET finished_at = NULL"),
        ("jobs_failed_has_error", "UPDATE jobs SET error = '{}'"),
        ("jobs_succeeded_has_landscape", "UPDATE jobs SET landscape_id = NULL"),
        ("jobs_cells", "UPDATE jobs SET cells_done = cells_total + 1 WHERE kind <> 'ingest'"),
        ("jobs_cancelled_was_asked", "UPDATE jobs SET cancel_requested_at = now()"),
        ("units_leased_has_lease", "UPDATE units SET lease_until = now()"),
        ("units_finished_has_time", "UPDATE units SET finished_at = NULL"),
        ("units_done_tile_has_result", "UPDATE units SET result = NULL WHERE kind = 'tile'"),
        (
            "units_tile_has_slice",
            "UPDATE units SET start = NULL, cells_done = 0 WHERE kind = 'tile'",
        ),
        ("units_slice", "UPDATE units SET stop = start, cells_done = 0 WHERE kind = 'tile'"),
        ("units_cells", "UPDATE units SET cells_done = stop - start + 1 WHERE kind = 'tile'"),
        ("models_one_origin", "UPDATE models SET architecture = '{}'"),
        ("models_ready_program_has_graph", "UPDATE models SET graph = NULL"),
        ("models_ready_has_signature", "UPDATE models SET signature = NULL"),
        ("models_refused_has_problem", "UPDATE models SET problem = '{}'"),
        ("directions_materialised_whole", "UPDATE directions SET norm = 1"),
        ("objects_digest", "UPDATE objects SET digest = 'sha256:ABC' WHERE size = 10"),
        ("models_project_fkey", "DELETE FROM projects"),
        ("units_job_id_project_fkey", "UPDATE units SET project = 'other'"),
    ],
)
def test_rows_that_contradict_themselves_are_refused(
    world: World, finished: tuple[str, str, str], constraint: str, statement: str
) -> None:
    with pytest.raises(exc.IntegrityError) as caught:
        world.sql(statement)
    name = broken(caught.value)
    if constraint == "models_project_fkey":
        # whichever of the references the server meets first
        assert name.endswith("_fkey")
    else:
        assert name == constraint
