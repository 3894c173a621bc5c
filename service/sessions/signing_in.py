"""Use cases of sessions. A session acts with the rights of one key, which ends it when it ends."""

from __future__ import annotations

from service.ledger import audit, keys, sessions
from service.ledger.records import KeyRecord, SessionRecord
from service.ledger.session import Session
from service.settings import Settings


def sign_in(
    session: Session, secret: str, *, before: str | None, settings: Settings
) -> tuple[SessionRecord, str] | None:
    """A session for whoever has this key, and its secret; None where it is no valid key.

    Args:
        secret: of the key.
        before: of the session that the browser had until now, which ends: nobody else's session
            ever becomes somebody's.
    """
    key = keys.authenticate(session, secret.strip())
    return None if key is None else opened(session, key, before=before, settings=settings)


def opened(
    session: Session, key: KeyRecord, *, before: str | None, settings: Settings
) -> tuple[SessionRecord, str]:
    """A new session of this key, and its secret."""
    if before is not None:
        sign_out(session, before)
    sessions.forget_ended(session)
    made, secret = sessions.create(
        session,
        key.id,
        idle_seconds=settings.session_idle_seconds,
        longest_seconds=settings.session_seconds,
    )
    audit.record(session, key_id=key.id, action="session.opened", entity_id=made.id)
    return made, secret


def sign_out(session: Session, secret: str) -> None:
    """Ends the session that this is the secret of, for every copy of its cookie."""
    ended = sessions.end(session, secret)
    if ended is not None:
        audit.record(session, key_id=ended.key_id, action="session.ended", entity_id=ended.id)
