"""HTTP of the pages: addresses that people share, and forms that change something."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import RedirectResponse
from pydantic import ValidationError

from service.catalog import assets, people
from service.catalog.browsing import SORTS, Asked, browse
from service.catalog.comparing import compare
from service.catalog.landscape import Shown, landscape_page
from service.catalog.model import ModelsAsked, model_list, model_page
from service.catalog.rendering import PageRoute, page
from service.catalog.working import JobsAsked, job_list, job_page
from service.domain.ids import JobId, KeyId, LandscapeId, ModelId
from service.domain.problems import Problem
from service.http.dependencies import Administrator, Principal, ServicesOf, Transaction
from service.http.forms import FormOf
from service.http.redirects import WRONG, local
from service.inputs import lookup
from service.inputs.bodies import field_errors
from service.inputs.editing import EditIn
from service.keys import issuing as key_service
from service.ledger import edits, jobs
from service.ledger.records import Role

EditForm = Annotated[Mapping[str, str], Depends(FormOf(("tags", "note")))]
KeyForm = Annotated[
    Mapping[str, str],
    Depends(FormOf(("name", "role", "projects", "expires", "can_promote"))),
]

router = APIRouter(include_in_schema=False, route_class=PageRoute)
router.include_router(assets.router)

_ROLES: tuple[tuple[Role, str], ...] = (
    ("reader", "reads"),
    ("submitter", "adds networks and jobs too"),
    ("admin", "manages keys as well"),
)


@router.get("/sign-in")
def sign_in_page(
    services: ServicesOf,
    to: Annotated[str | None, Query(alias="next")] = None,
    wrong: Annotated[str | None, Query()] = None,
) -> Response:
    """Where a key, or the organisation's word, is given for a session."""
    return page(
        "sign_in.html",
        None,
        section="",
        target=local(to),
        wrong=None if wrong is None else WRONG.get(wrong),
        provider=services.settings.oidc_issuer is not None,
    )


@router.get("/")
def browse_page(
    asked: Annotated[Asked, Query()], session: Transaction, caller: Principal
) -> Response:
    """The landscapes there are, and ways to narrow them down."""
    found = browse(session, caller, asked)
    return page("browse.html", caller, section="landscapes", found=found, sorts=SORTS)


@router.get("/landscapes/{landscape_id}")
def landscape(
    landscape_id: LandscapeId,
    shown: Annotated[Shown, Query()],
    services: ServicesOf,
    session: Transaction,
    caller: Principal,
) -> Response:
    """One landscape."""
    found = landscape_page(services, session, caller, landscape_id, shown)
    return page("landscape.html", caller, section="landscapes", found=found)


@router.post("/landscapes/{landscape_id}/edit")
def edit_landscape(
    landscape_id: LandscapeId, form: EditForm, session: Transaction, caller: Principal
) -> Response:
    """Takes the fields `tags` and `note`."""
    found = lookup.landscape(session, caller, landscape_id)
    lookup.may_submit(caller, found.project)
    edits.apply(session, "landscape", landscape_id, _edit(form), by=caller.key.id)
    return _to(f"/landscapes/{landscape_id}#notes")


@router.get("/models")
def models_page(
    asked: Annotated[ModelsAsked, Query()], session: Transaction, caller: Principal
) -> Response:
    """The networks there are."""
    found = model_list(session, caller, asked)
    return page("models.html", caller, section="models", found=found)


@router.get("/models/{model_id}")
def model(model_id: ModelId, session: Transaction, caller: Principal) -> Response:
    """One network."""
    found = model_page(session, caller, model_id)
    return page("model.html", caller, section="models", found=found)


@router.post("/models/{model_id}/edit")
def edit_model(
    model_id: ModelId, form: EditForm, session: Transaction, caller: Principal
) -> Response:
    """Takes the fields `tags` and `note`."""
    found = lookup.model(session, caller, model_id)
    lookup.may_submit(caller, found.project)
    edits.apply(session, "model", model_id, _edit(form), by=caller.key.id)
    return _to(f"/models/{model_id}#notes")


@router.get("/compare")
def compare_page(
    services: ServicesOf,
    session: Transaction,
    caller: Principal,
    ids: Annotated[list[str] | None, Query(max_length=100)] = None,
    view: Annotated[str | None, Query(max_length=20)] = None,
) -> Response:
    """Landscapes side by side: `ids` parted by commas, or again and again."""
    found = compare(services, session, caller, ids or [], view)
    return page("compare.html", caller, section="compare", found=found)


@router.get("/jobs")
def jobs_page(
    asked: Annotated[JobsAsked, Query()], session: Transaction, caller: Principal
) -> Response:
    """The queue and what has been done."""
    return page("jobs.html", caller, section="jobs", found=job_list(session, caller, asked))


@router.get("/jobs/{job_id}")
def job(job_id: JobId, session: Transaction, caller: Principal) -> Response:
    """One job, as it goes."""
    return page("job.html", caller, section="jobs", found=job_page(session, caller, job_id))


@router.post("/jobs/{job_id}/cancel")
def cancel(job_id: JobId, session: Transaction, caller: Principal) -> Response:
    """Ends a job."""
    found = lookup.job(session, caller, job_id)
    lookup.may_submit(caller, found.project)
    jobs.cancel(session, job_id)
    return _to(f"/jobs/{job_id}")


@router.post("/jobs/{job_id}/retry")
def retry(job_id: JobId, session: Transaction, caller: Principal) -> Response:
    """Puts a failed or cancelled job back in the queue."""
    found = lookup.job(session, caller, job_id)
    lookup.may_submit(caller, found.project)
    jobs.retry(session, job_id)
    return _to(f"/jobs/{job_id}")


@router.get("/keys")
def keys_page(
    session: Transaction,
    caller: Principal,
    cursor: Annotated[str | None, Query(max_length=1000)] = None,
) -> Response:
    """Keys and projects."""
    found = people.keys_page(session, caller, cursor)
    return page("keys.html", caller, section="keys", found=found, roles=_ROLES)


@router.post("/keys")
def make_key(form: KeyForm, session: Transaction, caller: Administrator) -> Response:
    """Makes a key, and shows its secret this once."""
    found = people.keys_page(session, caller)
    try:
        with session.begin_nested():
            made = people.make(session, caller, form)
    except Problem as problem:
        shown = people.refused(found, problem.detail, form)
        return page("keys.html", caller, 422, section="keys", found=shown, roles=_ROLES)
    shown = people.with_made(people.keys_page(session, caller), made)
    return page("keys.html", caller, section="keys", found=shown, roles=_ROLES)


@router.post("/keys/{key_id}/revoke")
def revoke(key_id: KeyId, session: Transaction, caller: Administrator) -> Response:
    """Ends a key."""
    key_service.revoke(session, key_id, caller.key.id)
    return _to("/keys")


def _edit(form: Mapping[str, str]) -> edits.Edit:
    body = {
        "tags": form.get("tags", "").replace(",", " ").split(),
        "note": form.get("note", "").replace("\r\n", "\n"),
    }
    try:
        return EditIn.model_validate(body).edit()
    except ValidationError as error:
        faults = field_errors(error.errors(include_url=False), body)
        raise Problem(
            "invalid_request",
            f"{faults[0].pointer.removeprefix('/')}: {faults[0].detail}",
            errors=faults,
        ) from error


def _to(address: str) -> RedirectResponse:
    """After a change: the page, so that reloading repeats nothing."""
    return RedirectResponse(address, status_code=303)
