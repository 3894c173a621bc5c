"""Use cases of trusts: who may exchange which tokens, and the exchange itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from service.domain.ci import OWNERSHIP, differing, owned
from service.domain.problems import Problem
from service.http.services import Services
from service.identity.tokens import Claims, issuer_of, refused, verified
from service.ledger import audit, keys, projects, trusts
from service.ledger.records import KeyRecord, TrustRecord
from service.ledger.session import Session
from service.trusts.schemas import NewTrust

#: How long a key lives that a token was exchanged for.
KEY_SECONDS: Final = 3600
#: What was exchanged is remembered until it has expired, so this is for how long.
_LONGEST_TOKEN_SECONDS: Final = 24 * 3600
_LONGEST_JTI: Final = 300
_LONGEST_NAME: Final = 200


def trust(session: Session, wanted: NewTrust, *, by: str, loopback: bool) -> TrustRecord:
    """Keeps a trust.

    Raises:
        Problem: `invalid_request` for an issuer that is no https address, or claims that leave
            open whose repository it is.
    """
    if not _is_address(wanted.issuer, loopback=loopback):
        raise Problem(
            "invalid_request",
            "must be an https address without query, as the token's `iss` spells it",
            pointer="/issuer",
        )
    if not owned(wanted.claims):
        pairs = " or ".join(f"`{one}` and `{other}`" for one, other in OWNERSHIP)
        raise Problem(
            "invalid_request",
            f"must have the ids, as numbers, of the repository and of its owner: {pairs}; names "
            "can be taken over by somebody else",
            pointer="/claims",
        )
    projects.ensure(session, wanted.project)
    made = trusts.create(
        session,
        issuer=wanted.issuer,
        audience=wanted.audience,
        project=wanted.project,
        role=wanted.role,
        claims=wanted.claims,
        created_by=by,
    )
    audit.record(
        session,
        key_id=by,
        action="trust.created",
        entity_id=made.id,
        data=wanted.model_dump(mode="json"),
    )
    return made


def get(session: Session, identity: str) -> TrustRecord:
    """The trust of this id. Raises Problem `not_found`."""
    found = trusts.get(session, identity)
    if found is None:
        raise Problem("not_found", f"there is no trust {identity}")
    return found


def revoke(session: Session, identity: str, by: str) -> TrustRecord:
    """Ends a trust and the keys that came of it. Raises Problem `not_found`."""
    ended = trusts.revoke(session, identity)
    audit.record(session, key_id=by, action="trust.revoked", entity_id=ended.id)
    return ended


def exchange(
    services: Services, token: str, project: str | None
) -> tuple[KeyRecord, str, TrustRecord]:
    """A key for whoever holds this token, its secret, and the trust that it follows from.

    The provider is asked outside of any transaction.

    Raises:
        Problem: `token_refused` with the reason; `invalid_request` where several projects trust
            the repository and none is named; `identity_provider_unavailable`.
    """
    issuer = issuer_of(token)
    with services.database.transaction() as session:
        candidates = trusts.live(session, issuer)
    if not candidates:
        # nobody is asked for keys unless an administrator trusts them
        raise refused(f"its issuer {issuer[:200]!r} is not trusted")
    claims = verified(
        token,
        services.providers.of(issuer),
        audiences=sorted({candidate.audience for candidate in candidates}),
        require=("jti",),
    )
    jti, expires_at = _once(claims)
    chosen = _fitting(candidates, claims, project)
    with services.database.transaction() as session:
        if not trusts.still_live(session, chosen.id):
            raise refused("the trust has just been revoked")
        if not trusts.spend(session, issuer, jti, expires_at):
            raise refused("it has been exchanged already; ask your CI system for another")
        key, secret = keys.create(
            session,
            name=_name(claims),
            role=chosen.role,
            projects=[chosen.project],
            expires_at=datetime.now(UTC) + timedelta(seconds=KEY_SECONDS),
            created_by=None,
        )
        trusts.bind_key(session, key.id, chosen.id)
        audit.record(
            session,
            key_id=key.id,
            action="key.exchanged",
            entity_id=key.id,
            data={
                "trust": chosen.id,
                "issuer": issuer,
                "subject": _subject(claims),
                "jti": jti,
                **{name: claims[name] for name in chosen.claims},
            },
        )
    return key, secret, chosen


def _fitting(candidates: Sequence[TrustRecord], claims: Claims, project: str | None) -> TrustRecord:
    """The one trust that this token fits."""
    audience = claims["aud"]
    heard = [audience] if isinstance(audience, str) else list(audience)
    of_audience = [one for one in candidates if one.audience in heard]
    fitting = [
        one
        for one in of_audience
        if not differing(one.claims, claims) and project in (None, one.project)
    ]
    if not fitting:
        closest = min((differing(one.claims, claims) for one in of_audience), key=len)
        raise refused(
            f"no trust fits it; of the closest one, these claims differ: {', '.join(closest)}"
            if closest
            else f"the project {project!r} does not trust this repository"
        )
    if len({one.project for one in fitting}) > 1:
        raise Problem(
            "invalid_request",
            "several projects trust this repository; name one: "
            + ", ".join(sorted({one.project for one in fitting})),
            pointer="/project",
        )
    # the same repository may be trusted by branch and again by environment
    return max(fitting, key=lambda one: (one.role == "submitter", one.id))


def _once(claims: Claims) -> tuple[str, datetime]:
    """What a token is remembered by, and until when."""
    jti, expires = claims["jti"], int(claims["exp"])
    if not isinstance(jti, str) or not 0 < len(jti) <= _LONGEST_JTI or not _plain(jti):
        raise refused("its id (jti) is no short text")
    now = datetime.now(UTC)
    if expires > now.timestamp() + _LONGEST_TOKEN_SECONDS:
        raise refused("it is valid for more than a day")
    return jti, max(now, datetime.fromtimestamp(expires, UTC)) + timedelta(minutes=5)


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _name(claims: Claims) -> str:
    """For people: whose key this is."""
    return f"CI: {_subject(claims)}"[:_LONGEST_NAME]


def _subject(claims: Claims) -> str:
    return "".join(c for c in str(claims["sub"]) if c.isprintable())[:500]


def _is_address(issuer: str, *, loopback: bool) -> bool:
    try:
        parts = urlsplit(issuer)
        host = parts.hostname
    except ValueError:
        return False
    plain = _plain(issuer) and not {" ", "?", "#", "@", "\\"} & set(issuer)
    encrypted = parts.scheme == "https" or (loopback and parts.scheme == "http")
    return plain and encrypted and bool(host)
