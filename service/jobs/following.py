"""Following a job: held answers and the stream of its events.

Owns when an answer is let go. The waking is `service.http.waiting`'s; a subscription is taken
before the state is read, so that no change falls between the two.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final

from starlette.concurrency import run_in_threadpool

from service.domain.problems import Problem
from service.domain.states import FINISHED_JOB
from service.http.services import Services
from service.jobs.shown import shown_event
from service.ledger import jobs
from service.ledger.records import EventRecord, JobRecord

#: Longest that an answer is held: below the usual timeouts of proxies.
LONGEST_SECONDS: Final = 60.0
#: A silent stream says that it is alive, so that proxies keep it.
KEEPALIVE_SECONDS: Final = 15.0
#: Without any notification the state is read this often all the same.
_POLL_SECONDS: Final = 5.0

_WAIT = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})\"?(?=$|[,;\s])", re.IGNORECASE)


def preferred_wait(prefer: str | None) -> float:
    """The seconds of `Prefer: wait=…` (RFC 7240), at most a minute; 0 without one.

    A preference that cannot be read is no preference.
    """
    found = _WAIT.search(prefer or "")
    return 0.0 if found is None else min(float(found.group(1)), LONGEST_SECONDS)


async def until_finished(services: Services, job_id: str, seconds: float) -> JobRecord:
    """The job once it has finished, or as it is when the seconds are over."""
    return await _until(services, job_id, seconds, lambda job: job.state in FINISHED_JOB)


async def until_changed(services: Services, job: JobRecord, seconds: float) -> JobRecord:
    """The job once its state is another than it was, or as it is when the seconds are over."""
    before = (job.state, job.attempt)
    return await _until(services, job.id, seconds, lambda now: (now.state, now.attempt) != before)


async def stream(services: Services, job_id: str, after: int) -> AsyncIterator[bytes]:
    """Server-sent events from the one after `after` until the job has finished.

    Each carries its id, so that a broken stream is resumed by `Last-Event-ID`: after a restart of
    this process, which ends every stream. An outage of the database is waited for.
    """
    with services.changes.subscribe(job_id) as subscription:
        while not services.changes.closing:
            try:
                job = await run_in_threadpool(_read, services, job_id)
                found = await run_in_threadpool(events_after, services, job_id, after)
            except Problem as problem:
                if problem.code != "unavailable":
                    raise
                yield b": waiting for the database\n\n"
                await subscription.wait(_POLL_SECONDS)
                continue
            for event in found:
                after = event.id
                yield _frame(event)
            if found:
                continue
            if job.state in FINISHED_JOB:
                return
            if not await subscription.wait(KEEPALIVE_SECONDS):
                yield b": still here\n\n"


def events_after(services: Services, job_id: str, after: int) -> Sequence[EventRecord]:
    """A job's events with ids above `after`, in order."""
    with services.database.transaction() as session:
        return jobs.events(session, job_id, after)


async def _until(
    services: Services, job_id: str, seconds: float, enough: Callable[[JobRecord], bool]
) -> JobRecord:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    with services.changes.subscribe(job_id) as subscription:
        while True:
            job = await run_in_threadpool(_read, services, job_id)
            left = deadline - loop.time()
            if enough(job) or left <= 0 or services.changes.closing:
                return job
            await subscription.wait(min(left, _POLL_SECONDS))


def _read(services: Services, job_id: str) -> JobRecord:
    with services.database.transaction() as session:
        job = jobs.get(session, job_id)
    if job is None:
        raise Problem("not_found", f"there is no job {job_id}")
    return job


def _frame(event: EventRecord) -> bytes:
    body = shown_event(event).model_dump_json()
    return f"id: {event.id}\nevent: {event.type}\ndata: {body}\n\n".encode()
