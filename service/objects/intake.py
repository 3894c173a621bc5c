"""Use cases of objects: take in, look up, give out."""

from __future__ import annotations

from service.domain.problems import Problem
from service.http.services import Services
from service.inputs.lookup import Caller
from service.ledger import objects
from service.ledger.records import ObjectRecord
from service.objects.incoming import IncomingBody


def take_in(
    services: Services, caller: Caller, digest: str, body: IncomingBody, size: int | None
) -> tuple[ObjectRecord, bool]:
    """Stores a body, verified, and records that this key brought it.

    The row is written after the store has verified the bytes, which is what makes them exist.

    Args:
        size: bytes announced, if they were.

    Returns:
        The object, and whether it is new to this key: of others' bytes nothing is told.

    Raises:
        Problem: `digest_mismatch`, `upload_incomplete`, `body_too_large`; nothing is recorded.
    """
    with services.database.transaction() as session:
        known = objects.seen(session, digest, caller.key) is not None
    stored = services.store.put_stream(digest, body, size=size)
    with services.database.transaction() as session:
        return objects.record(session, digest, stored, caller.key), not known


def find(services: Services, caller: Caller, digest: str) -> ObjectRecord:
    """An object that this key may see, and that the store still holds.

    Raises:
        Problem: `not_found`.
    """
    with services.database.transaction() as session:
        found = objects.seen(session, digest, caller.key)
    if found is None:
        raise _absent(digest)
    if not services.store.exists(digest):
        # lost: whoever has the bytes is told to send them again, which mends it
        raise _absent(digest)
    return found


def _absent(digest: str) -> Problem:
    return Problem(
        "not_found",
        f"there is no object {digest} that this key may read; PUT /v1/objects/{digest} brings it",
    )
