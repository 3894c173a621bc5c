"""Jobs: submitted once and only once, cancelled, retried, listed, and their progress."""

from __future__ import annotations

from dataclasses import replace

import pytest

from service.domain.problems import Problem
from service.ledger import jobs, units
from service.ledger.records import Idempotency, JobRecord, NewJob, Progress
from tests.ledger.test_claims import together
from tests.ledger.world import PROBLEM, World, digest


def cancel(world: World, identity: str) -> JobRecord:
    with world.database.transaction() as session:
        return jobs.cancel(session, identity)


def retry(world: World, identity: str) -> JobRecord:
    with world.database.transaction() as session:
        return jobs.retry(session, identity)


def submit(world: World, new: NewJob) -> JobRecord:
    with world.database.transaction() as session:
        return jobs.submit(session, new)


def test_a_job_is_written_with_unit_event_and_hint(world: World) -> None:
    model = world.model()
    world.sql("DELETE FROM outbox")
    job = world.submit(model, tags=("b", "a"), cells_total=9, priority=-2)
    assert (job.tags, job.cells_total, job.priority) == (("a", "b"), 9, -2)
    assert world.states(job.id) == {"prepare": ["ready"]}
    assert world.events(job.id) == ["queued"]
    (hint,) = world.sql("SELECT payload FROM outbox")
    assert hint["payload"]["job"] == job.id


def test_a_failed_submission_leaves_nothing(world: World) -> None:
    new = world.new_job(world.model())
    with pytest.raises(RuntimeError, match="late"), world.database.transaction() as session:  # noqa: PT012
        jobs.submit(session, new)
        raise RuntimeError("late")
    assert world.sql("SELECT id FROM jobs WHERE kind <> 'ingest'") == []
    with pytest.raises(LookupError, match="no model"):
        submit(world, replace(new, model_id="mdl_nowhere"))


def test_an_idempotency_key_answers_with_its_job(world: World) -> None:
    new = world.new_job(world.model(), idempotency=Idempotency("k", world.key.id, digest("body")))
    first = submit(world, new)
    again = submit(world, replace(new, input_digest=digest("any")))
    assert again.id == first.id
    with world.database.transaction() as session:
        assert jobs.find_idempotent(session, "k", world.key.id) == (digest("body"), first.id)
        assert jobs.find_idempotent(session, "other", world.key.id) is None


def test_an_idempotency_key_stands_for_one_request(world: World) -> None:
    model = world.model()
    request = Idempotency("k", world.key.id, digest("one"))
    world.submit(model, idempotency=request)
    with pytest.raises(Problem, match="another request") as caught:
        world.submit(model, idempotency=replace(request, request_digest=digest("two")))
    assert caught.value.code == "idempotency_key_reused"


def test_one_key_from_eight_requests_at_once_makes_one_job(world: World) -> None:
    new = world.new_job(
        world.model(), force=True, idempotency=Idempotency("k", world.key.id, digest("body"))
    )
    found: list[str] = []
    together(8, lambda _: found.append(submit(world, new).id))
    assert len(set(found)) == 1
    assert len(world.sql("SELECT id FROM jobs WHERE kind = 'surface'")) == 1


def test_one_question_from_eight_requests_at_once_is_one_job(world: World) -> None:
    new = world.new_job(world.model())
    found: list[str] = []
    together(8, lambda _: found.append(submit(world, new).id))
    assert len(set(found)) == 1
    assert world.states(found[0]) == {"prepare": ["ready"]}


def test_a_live_question_is_joined_unless_forced(world: World) -> None:
    new = world.new_job(world.model())
    first = submit(world, new)
    joined = submit(world, replace(new, idempotency=Idempotency("k", world.key.id, digest("body"))))
    forced = submit(world, replace(new, force=True))
    assert joined.id == first.id
    assert forced.id != first.id
    with world.database.transaction() as session:
        assert jobs.find_idempotent(session, "k", world.key.id) == (digest("body"), first.id)


def test_find_same_prefers_an_answer_to_a_promise(world: World) -> None:
    model = world.model()
    new = world.new_job(model)

    def same() -> str | None:
        with world.database.transaction() as session:
            found = jobs.find_same(session, new.project, new.input_digest)
        return None if found is None else found.id

    assert same() is None
    failed = submit(world, new)
    cancel(world, failed.id)
    assert same() is None
    answer = submit(world, new)
    assert same() == answer.id
    world.prepare(world.claim(), points=1)
    world.finish_tile(world.claim())
    world.finalise(world.claim())
    submit(world, replace(new, force=True))
    assert same() == answer.id
    with world.database.transaction() as session:
        assert jobs.find_same(session, "elsewhere", new.input_digest) is None


def test_cancelling_a_queued_job(world: World) -> None:
    job = world.submit(world.model())
    ended = cancel(world, job.id)
    assert ended.state == "cancelled"
    assert ended.cancel_requested_at is not None
    assert ended.finished_at is not None
    assert world.states(job.id) == {"prepare": ["cancelled"]}
    assert world.try_claim() is None
    assert cancel(world, job.id) == ended
    assert world.events(job.id) == ["queued", "finished"]


def test_cancelling_a_running_job_reaches_the_workers_at_their_next_beat(world: World) -> None:
    job = world.planned(points=3)
    world.finish_tile(world.claim())
    held = world.claim()
    cancel(world, job.id)
    assert world.states(job.id)["tile"] == ["done", "cancelled", "cancelled"]
    with world.database.transaction() as session:
        said = units.beat(session, held.unit.id, held.unit.attempt, cells_done=0, lease_seconds=60)
    assert said == "cancelled"
    with pytest.raises(units.StaleAttempt):
        world.finish_tile(held)


def test_what_cannot_be_cancelled_says_why(world: World) -> None:
    with pytest.raises(Problem) as caught:
        cancel(world, "job_nowhere")
    assert caught.value.code == "not_found"
    world.done()
    job = world.sql("SELECT id FROM jobs WHERE kind = 'surface'")[0]["id"]
    with pytest.raises(Problem) as caught:
        cancel(world, job)
    assert caught.value.code == "job_finished"


def test_a_cancelled_ingest_refuses_its_model_and_fails_who_waits_for_it(world: World) -> None:
    model = world.model(ready=False)
    waiting = world.submit(model)
    held = world.claim()
    assert held.unit.kind == "ingest"
    assert cancel(world, held.job.id).state == "cancelled"
    refused = world.model_now(model.id)
    assert refused.state == "refused"
    assert refused.problem is not None
    assert "register the model again" in refused.problem["detail"]
    failed = world.job(waiting.id)
    assert (failed.state, (failed.error or {})["code"]) == ("failed", "model_refused")
    with world.database.transaction() as session:
        said = units.beat(session, held.unit.id, held.unit.attempt, cells_done=0, lease_seconds=60)
    assert said == "cancelled"
    with pytest.raises(units.StaleAttempt):
        world.ingest(held)
    # once more changes nothing
    assert cancel(world, held.job.id).state == "cancelled"
    with pytest.raises(Problem) as caught, world.database.transaction() as session:
        jobs.retry(session, held.job.id)
    assert caught.value.code == "job_not_retryable"


def test_claims_and_a_cancel_at_once_end_in_a_cancelled_job(world: World) -> None:
    """Neither waits for the other in a circle, and no unit stays in anybody's hands."""
    for _ in range(5):
        job = world.planned(points=30)

        def work(number: int, job: JobRecord = job) -> None:
            if number == 0:
                cancel(world, job.id)
            else:
                while world.try_claim(f"w{number}", prefer_job=job.id) is not None:
                    pass

        together(4, work)
        assert world.job(job.id).state == "cancelled"
        assert set(world.states(job.id)["tile"]) == {"cancelled"}
        assert world.sql("SELECT id FROM units WHERE state IN ('leased', 'ready')") == []


def test_retry_of_a_failed_job_keeps_the_finished_tiles(world: World) -> None:
    job = world.planned(points=3)
    done = world.claim()
    world.finish_tile(done)
    lost = world.claim()
    with world.database.transaction() as session:
        units.report_failed(session, lost.unit.id, lost.unit.attempt, PROBLEM, retry=False)

    again = retry(world, job.id)
    assert (again.state, again.attempt, again.phase) == ("queued", 2, "tile")
    assert (again.error, again.finished_at, again.cells_done) == (None, None, 1)
    assert world.states(job.id) == {
        "finalise": ["blocked"],
        "prepare": ["done"],
        "tile": ["done", "ready", "ready"],
    }
    retaken = [world.claim() for _ in range(2)]
    assert lost.unit.id in {c.unit.id for c in retaken}
    # the fence holds across retries
    assert all(c.unit.attempt > 0 for c in retaken)
    assert next(c for c in retaken if c.unit.id == lost.unit.id).unit.attempt == 2
    assert next(c for c in retaken if c.unit.id == lost.unit.id).unit.deaths == 0
    for claimed in retaken:
        world.finish_tile(claimed)
    world.finalise(world.claim())
    assert world.job(job.id).state == "succeeded"


def test_retry_before_the_plan_begins_with_prepare(world: World) -> None:
    job = world.submit(world.model())
    cancel(world, job.id)
    again = retry(world, job.id)
    assert (again.state, again.phase, again.cancel_requested_at) == ("queued", "prepare", None)
    assert world.states(job.id) == {"prepare": ["ready"]}
    assert world.claim().job.id == job.id


def test_retry_while_the_model_is_unready_waits_for_it(world: World) -> None:
    model = world.model(ready=False)
    job = world.submit(model)
    cancel(world, job.id)
    assert retry(world, job.id).phase == "ingest"
    assert world.states(job.id) == {"prepare": ["blocked"]}
    world.ingest(world.claim())
    assert world.states(job.id) == {"prepare": ["ready"]}


def test_retry_when_only_finalise_is_left(world: World) -> None:
    job = world.planned(points=1)
    world.finish_tile(world.claim())
    claimed = world.claim()
    with world.database.transaction() as session:
        units.report_failed(session, claimed.unit.id, 1, PROBLEM, retry=False)
    assert retry(world, job.id).phase == "finalise"
    assert world.states(job.id)["finalise"] == ["ready"]
    world.finalise(world.claim())


def test_a_worker_of_before_the_retry_is_fenced_out(world: World) -> None:
    job = world.planned(points=1)
    before = world.claim()
    cancel(world, job.id)
    retry(world, job.id)
    with pytest.raises(units.StaleAttempt):
        world.finish_tile(before)
    world.finish_tile(world.claim())


def test_what_cannot_be_retried_says_why(world: World) -> None:
    model = world.model()
    new = world.new_job(model)
    job = submit(world, new)
    with pytest.raises(Problem) as caught:
        retry(world, job.id)
    assert caught.value.code == "job_not_retryable"
    with pytest.raises(Problem) as caught:
        retry(world, "job_nowhere")
    assert caught.value.code == "not_found"
    cancel(world, job.id)
    submit(world, new)
    with pytest.raises(Problem) as caught:
        retry(world, job.id)
    assert caught.value.code == "conflict"
    assert world.job(job.id).state == "cancelled"
    assert world.states(job.id) == {"prepare": ["cancelled"]}


def progress(world: World, identity: str) -> Progress:
    with world.database.transaction() as session:
        return jobs.progress(session, identity)


def test_progress_counts_finished_cells_and_those_in_hand(world: World) -> None:
    job = world.submit(world.model())
    before = progress(world, job.id)
    assert (before.phase, before.done, before.total, before.eta_seconds) == (
        "prepare",
        0,
        None,
        None,
    )
    world.prepare(world.claim(), points=8, tile_cells=2)
    # nothing measured yet: the plan's guess of 0.5 s for a cell
    assert progress(world, job.id).eta_seconds == pytest.approx(8 * 0.5)

    world.finish_tile(world.claim(), seconds=6.0)
    one, two = world.claim("w1"), world.claim("w2")
    with world.database.transaction() as session:
        units.beat(session, one.unit.id, one.unit.attempt, cells_done=1, lease_seconds=60)
    now = progress(world, job.id)
    assert (now.phase, now.done, now.total, now.unit) == ("tile", 3, 8, "cells")
    # 5 cells left at 3 s a cell, two hands
    assert now.eta_seconds == pytest.approx(5 * 3.0 / 2)

    world.finish_tile(one, seconds=2.0)
    world.finish_tile(two, seconds=2.0)
    assert progress(world, job.id).done == 6
    assert progress(world, job.id).eta_seconds == pytest.approx(2 * (10.0 / 6))

    world.finish_tile(world.claim())
    assert progress(world, job.id).phase == "finalise"
    world.finalise(world.claim())
    end = progress(world, job.id)
    assert (end.done, end.total, end.eta_seconds) == (8, 8, None)
    with pytest.raises(Problem, match="no job"):
        progress(world, "job_nowhere")


def test_cells_in_hand_of_a_dead_worker_do_not_count(world: World) -> None:
    job = world.planned(points=4, tile_cells=4)
    claimed = world.claim()
    with world.database.transaction() as session:
        units.beat(session, claimed.unit.id, 1, cells_done=3, lease_seconds=60)
    assert progress(world, job.id).done == 3
    with world.database.transaction() as session:
        units.release(session, claimed.unit.id, 1)
    assert progress(world, job.id).done == 0


def test_pages_are_stable_while_jobs_arrive(world: World) -> None:
    model = world.model()
    made = [world.submit(model).id for _ in range(5)]

    def page(cursor: str | None) -> tuple[list[str], str | None]:
        with world.database.transaction() as session:
            found = jobs.list(session, cursor=cursor, limit=2)
        return [job.id for job in found.items], found.next_cursor

    first, cursor = page(None)
    world.submit(model)
    second, cursor = page(cursor)
    world.submit(model)
    third, end = page(cursor)
    assert [*first, *second, *third] == made[::-1]
    assert end is None


def test_jobs_are_filtered(world: World) -> None:
    alpha, beta = world.model("alpha"), world.model("beta")
    one = world.submit(alpha)
    two = world.submit(beta, kind="interpolation")
    cancel(world, two.id)

    def ids(**filters: object) -> set[str]:
        with world.database.transaction() as session:
            return {job.id for job in jobs.list(session, **filters).items}  # type: ignore[arg-type]

    assert ids() == {one.id, two.id}
    assert ids(projects=["alpha"]) == {one.id}
    assert ids(projects=[]) == set()
    assert ids(project="beta") == {two.id}
    assert ids(projects=["alpha"], project="beta") == set()
    assert ids(state="cancelled") == {two.id}
    assert ids(kind="interpolation") == {two.id}
    assert ids(model_id=alpha.id) == {one.id}
    assert len(ids(kind="ingest")) == 2


@pytest.mark.parametrize(
    "cursor", ["x", "bm90IGpzb24", "WzFd", "W10", "ÄÖÜ", "e30", "WyJhIiwiYiJd"]
)
def test_a_foreign_cursor_is_the_callers_fault(world: World, cursor: str) -> None:
    with pytest.raises(Problem) as caught, world.database.transaction() as session:
        jobs.list(session, cursor=cursor)
    assert caught.value.code == "invalid_request"
    assert caught.value.errors[0].pointer == "/cursor"


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_limit_out_of_bounds_is_the_callers_fault(world: World, limit: int) -> None:
    with pytest.raises(Problem, match="limit"), world.database.transaction() as session:
        jobs.list(session, limit=limit)


def test_events_resume_after_the_last_one_seen(world: World) -> None:
    job = world.planned(points=1)
    with world.database.transaction() as session:
        everything = jobs.events(session, job.id)
        rest = jobs.events(session, job.id, everything[1].id)
        some = jobs.events(session, job.id, 0, 2)
    assert [e.id for e in everything] == sorted(e.id for e in everything)
    assert rest == everything[2:]
    assert some == everything[:2]
    assert everything[2].data["kind"] == "prepare"
