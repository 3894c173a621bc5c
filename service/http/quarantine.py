"""Objects that a request found damaged: put in quarantine, so that others are asked to send them.

Owns the note; never the answer, which tells the caller what was found.
"""

from __future__ import annotations

import logging

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from service.domain.problems import Problem
from service.http.services import Services
from service.ledger import objects

log = logging.getLogger(__name__)


async def note(request: Request, problem: Problem) -> None:
    """Notes which object a problem is about, if it is about one. Never raises a problem itself."""
    digest = problem.extra.get("object")
    if problem.code != "object_corrupt" or not isinstance(digest, str):
        return
    services: Services = request.app.state.services
    try:
        await run_in_threadpool(_note, services, digest, problem.detail)
    except Problem as away:
        # found again by whoever reads it next
        log.warning("%s is damaged, which could not be noted: %s", digest, away.detail)


def _note(services: Services, digest: str, damage: str) -> None:
    with services.database.transaction() as session:
        if objects.mark_damaged(session, digest, damage):
            log.error("%s is damaged, and in quarantine from now on: %s", digest, damage)
