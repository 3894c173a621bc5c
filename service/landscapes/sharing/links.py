"""Use cases of shares. What a link shows is fixed when it is made."""

from __future__ import annotations

from service.domain.problems import Problem
from service.http.authentication import SHARED, KeyHolder
from service.http.services import Services
from service.inputs import lookup
from service.landscapes import figures, results
from service.landscapes.captions import caption_of
from service.landscapes.figures import FigureQuery
from service.ledger import audit, landscapes, projects, shares
from service.ledger.records import LandscapeRecord, ShareRecord
from service.ledger.session import Session


def share(
    services: Services, caller: KeyHolder, landscape_id: str, query: FigureQuery, seconds: int
) -> tuple[ShareRecord, str]:
    """A link to a landscape's figure, and its address.

    Draws the figure, so that a link shows what it was made for or is not made.

    Raises:
        Problem: `not_found`; `forbidden` for a key that may only read; `sharing_off`;
            `not_supported` and `invalid_request` for a figure that cannot be.
    """
    with services.database.transaction() as session:
        landscape = lookup.landscape(session, caller, landscape_id)
        _require_sharing(session, caller, landscape)
    if query.beside:
        raise Problem(
            "not_supported", "a link shows one landscape; leave it out", pointer="/figure/beside"
        )
    _drawn(services, landscape, query)
    with services.database.transaction() as session:
        _require_sharing(session, caller, landscape)
        made, secret = shares.create(
            session,
            landscape_id=landscape.id,
            project=landscape.project,
            options=query.model_dump(mode="json", exclude_defaults=True),
            seconds=seconds,
            created_by=caller.key.id,
        )
        audit.record(
            session,
            key_id=caller.key.id,
            action="share.created",
            entity_id=made.id,
            data={"landscape": landscape.id, "expires_at": made.expires_at.isoformat()},
        )
    return made, f"{services.settings.public_url or ''}{SHARED}{secret}"


def image(services: Services, secret: str) -> bytes:
    """The PNG behind a link. Raises Problem `not_found`, whatever the reason."""
    with services.database.transaction() as session:
        found = shares.open(session, secret)
        landscape = None if found is None else landscapes.get(session, found.landscape_id)
    if found is None or landscape is None:
        raise Problem("not_found", "this link leads nowhere: it has expired, or was revoked")
    return _drawn(services, landscape, FigureQuery.model_validate(found.options))


def get(session: Session, caller: KeyHolder, identity: str) -> ShareRecord:
    """The link of this id. Raises Problem `not_found`."""
    found = shares.get(session, identity)
    if found is None or not caller.can_read(found.project):
        raise lookup.absent(identity, None)
    return found


def revoke(session: Session, caller: KeyHolder, identity: str) -> ShareRecord:
    """Ends a link. Raises Problem `not_found`, or `forbidden` for a key that may only read."""
    found = get(session, caller, identity)
    if not caller.can_submit(found.project):
        raise Problem("forbidden", "this key may only read")
    ended = shares.revoke(session, identity)
    audit.record(session, key_id=caller.key.id, action="share.revoked", entity_id=identity)
    return ended


def _require_sharing(session: Session, caller: KeyHolder, landscape: LandscapeRecord) -> None:
    if not caller.can_submit(landscape.project):
        raise Problem("forbidden", "this key may only read; use a key of role submitter or admin")
    project = projects.get(session, landscape.project)
    if project is None or not project.sharing:
        raise Problem(
            "sharing_off",
            f"links are off in project {landscape.project}; an administrator turns them on: "
            f'PATCH /v1/projects/{landscape.project} {{"sharing": true}}',
        )


def _drawn(services: Services, landscape: LandscapeRecord, query: FigureQuery) -> bytes:
    with services.database.transaction() as session:
        caption = caption_of(session, landscape)
    name = figures.name_of(landscape.data, query, caption)
    return results.figure_of(services, landscape, query, caption, "png", name)
