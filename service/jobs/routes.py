"""HTTP of jobs: submit, follow, cancel, retry."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Header, Query, Request, Response, status
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from service.domain.ids import JobId, ModelId, ProjectName
from service.domain.questions.table import examples, job_spec
from service.domain.states import FINISHED_JOB, JobState
from service.http.dependencies import PlaceOf, Principal, ServicesOf, Transaction
from service.http.documentation import problems
from service.http.idempotency import IdempotencyKey
from service.http.paging import Cursor, Limit, link_next
from service.http.services import Services
from service.inputs import lookup
from service.inputs.bodies import Exact
from service.inputs.lookup import Caller
from service.jobs import following, submission
from service.jobs.notes import notes_of
from service.jobs.schemas import EventList, JobKind, JobOut, JobPage
from service.jobs.shown import shown, shown_event
from service.ledger import jobs
from service.ledger.records import JobRecord

router = APIRouter(tags=["jobs"])

Seconds = Annotated[
    float,
    Query(ge=0, le=following.LONGEST_SECONDS, description="Hold the answer for up to so long."),
]
Prefer = Annotated[
    str | None, Header(description="`wait=30` holds the answer until the job has finished.")
]


@router.post(
    "/v1/jobs",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Ask for a landscape",
    responses={
        200: {
            "model": JobOut,
            "description": "A job that already answers this question, or one that finished while "
            "the answer was held.",
        },
        **problems(
            "invalid_request",
            "forbidden",
            "grid_too_large",
            "incompatible_inputs",
            "targets_invalid",
            "direction_invalid",
            "object_missing",
            "object_invalid",
            "model_refused",
            "idempotency_key_reused",
        ),
    },
)
async def submit(
    body: Annotated[Any, Exact(job_spec()), Body(openapi_examples=dict(examples()))],
    response: Response,
    services: ServicesOf,
    caller: Principal,
    place: PlaceOf,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> JobOut:
    """Answers `202` with the job once it is safely recorded, or `200` with the job, live or
    succeeded, that answers the same question over the same bytes already (`force` computes again).

    A replayed `Idempotency-Key` is answered with the job that it made and
    `Idempotent-Replayed: true`.
    """
    seconds = following.preferred_wait(prefer)
    submitted = await run_in_threadpool(submission.submit, services, caller, body, idempotency_key)
    job = submitted.job
    if seconds:
        place.hold()
        response.headers["Preference-Applied"] = f"wait={seconds:g}"
        job = await following.until_finished(services, job.id, seconds)
    if submitted.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    if not submitted.new or job.state in FINISHED_JOB:
        response.status_code = status.HTTP_200_OK
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return await run_in_threadpool(_present, services, job.id)


@router.get("/v1/jobs", summary="List jobs", responses=problems("invalid_request"))
def list_jobs(
    request: Request,
    response: Response,
    session: Transaction,
    caller: Principal,
    project: Annotated[ProjectName | None, Query()] = None,
    model: Annotated[ModelId | None, Query()] = None,
    kind: Annotated[JobKind | None, Query()] = None,
    state: Annotated[JobState | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> JobPage:
    """Jobs of the projects that the key may read, newest first. `ingest` jobs are the service's
    own, the binding and probing of a model, and listed only by kind. Progress is that of finished
    parts, without an estimate of the time left.
    """
    page = jobs.list(
        session,
        projects=caller.projects,
        project=project,
        model_id=model,
        kind=kind,
        state=state,
        cursor=cursor,
        limit=limit,
    )
    link_next(request, response, page.next_cursor)
    notes = notes_of(session, page.items)
    return JobPage(
        items=[shown(job, jobs.at_a_glance(job), notes) for job in page.items],
        next_cursor=page.next_cursor,
    )


@router.get(
    "/v1/jobs/{job_id}",
    summary="One job",
    responses=problems("invalid_request", "not_found"),
)
async def get(
    job_id: JobId, services: ServicesOf, caller: Principal, place: PlaceOf, wait: Seconds = 0
) -> JobOut:
    """Its state, progress, and the landscape or the error once there is one. With `wait`, an
    unfinished job's answer is held until its state changes or the seconds are over.
    """
    job = await run_in_threadpool(_visible, services, caller, job_id)
    if wait and job.state not in FINISHED_JOB:
        place.hold()
        await following.until_changed(services, job, wait)
    return await run_in_threadpool(_present, services, job_id)


@router.get(
    "/v1/jobs/{job_id}/events",
    summary="What happened to a job",
    response_model=EventList,
    responses={
        200: {
            "description": "JSON, or a stream of server-sent events on "
            "`Accept: text/event-stream`; the stream ends with the job.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems("invalid_request", "not_found"),
    },
)
async def events(
    job_id: JobId,
    request: Request,
    services: ServicesOf,
    caller: Principal,
    place: PlaceOf,
    last_event_id: Annotated[int | None, Header(ge=0, lt=2**63)] = None,
    after: Annotated[int | None, Query(ge=0, lt=2**63)] = None,
) -> Response:
    """In order, after the event of `Last-Event-ID` (or `after`) when it is given."""
    await run_in_threadpool(_visible, services, caller, job_id)
    start = last_event_id if last_event_id is not None else after or 0
    if "text/event-stream" in request.headers.get("accept", ""):
        place.hold()
        return StreamingResponse(
            following.stream(services, job_id, start),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
        )
    found = await run_in_threadpool(following.events_after, services, job_id, start)
    body = EventList(items=[shown_event(event) for event in found])
    return Response(body.model_dump_json(), media_type="application/json")


@router.post(
    "/v1/jobs/{job_id}/cancel",
    summary="Cancel a job",
    responses=problems("invalid_request", "not_found", "forbidden", "job_finished"),
)
def cancel(job_id: JobId, session: Transaction, caller: Principal) -> JobOut:
    """Takes effect within seconds, inside a computation too. A retry finds what was finished.

    Cancelling an `ingest` refuses its model, and the jobs that wait for it fail.
    """
    job = lookup.job(session, caller, job_id)
    lookup.may_submit(caller, job.project)
    cancelled = jobs.cancel(session, job_id)
    return shown(cancelled, jobs.progress(session, job_id), notes_of(session, [cancelled]))


@router.post(
    "/v1/jobs/{job_id}/retry",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Try a failed or cancelled job again",
    responses=problems("invalid_request", "not_found", "forbidden", "job_not_retryable"),
)
def retry(job_id: JobId, session: Transaction, caller: Principal) -> JobOut:
    """Puts it back in the queue. Finished parts are not computed again."""
    job = lookup.job(session, caller, job_id)
    lookup.may_submit(caller, job.project)
    queued = jobs.retry(session, job_id)
    return shown(queued, jobs.progress(session, job_id), notes_of(session, [queued]))


def _visible(services: Services, caller: Caller, job_id: str) -> JobRecord:
    with services.database.transaction() as session:
        return lookup.job(session, caller, job_id)


def _present(services: Services, job_id: str) -> JobOut:
    with services.database.transaction() as session:
        job = jobs.get(session, job_id)
        if job is None:
            raise lookup.absent(job_id, None)
        return shown(job, jobs.progress(session, job_id), notes_of(session, [job]))
