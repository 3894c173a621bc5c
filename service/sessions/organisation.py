"""Signing in with an organisation's identity provider: OpenID Connect's authorisation code flow.

With PKCE (RFC 7636), a state that ties the answer to the browser that asked, and a nonce that ties
the token to the question. What has to be remembered in between is in a cookie of that browser.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import quote, urlencode

from service.domain.problems import Problem
from service.domain.rights import rights_of
from service.http.services import Services
from service.identity import Claims, Provider, verified
from service.identity.fetching import unavailable
from service.identity.tokens import refused
from service.ledger import audit, people, sessions
from service.ledger.records import KeyRecord, SessionRecord
from service.sessions import signing_in
from service.settings import Settings

log = logging.getLogger(__name__)

CALLBACK: Final = "/sign-in/oidc/callback"
#: How long somebody may take at the provider.
ATTEMPT_SECONDS: Final = 600
_LONGEST_NAME: Final = 200
_LONGEST_CODE: Final = 4096


@dataclass(frozen=True)
class Attempt:
    """A sign-in that was begun: all of it random but where it leads.

    Attributes:
        target: the address within the service to go to afterwards.
    """

    state: str
    nonce: str
    verifier: str
    target: str

    @classmethod
    def new(cls, target: str) -> Attempt:
        """One that nobody can foretell."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, target)

    def packed(self) -> str:
        """As a cookie's value."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode()).decode().rstrip("=")

    @classmethod
    def unpacked(cls, value: str | None) -> Attempt | None:
        """The attempt in a cookie's value; None for what is none."""
        if value is None:
            return None
        try:
            found = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
            attempt = cls(**found)
        except (ValueError, TypeError, RecursionError):
            return None
        fine = all(isinstance(v, str) and v and v.isascii() for v in found.values())
        return attempt if fine else None


def begun(services: Services, attempt: Attempt) -> str:
    """The provider's address that asks who it is.

    Raises:
        Problem: `not_found` where no provider is set; `identity_provider_unavailable`.
    """
    settings = services.settings
    endpoint = _endpoint(_provider(services), "authorization_endpoint")
    if not endpoint.startswith("https://") and not settings.oidc_loopback:
        raise unavailable("people would be sent to it without encryption")
    digest = hashlib.sha256(attempt.verifier.encode()).digest()
    query = urlencode(
        {
            "response_type": "code",
            "client_id": settings.oidc_client_id,
            "redirect_uri": f"{settings.public_url}{CALLBACK}",
            "scope": settings.oidc_scopes,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
        }
    )
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{query}"


def is_answer_to(attempt: Attempt | None, answer: Mapping[str, str]) -> bool:
    """Whether the provider's answer belongs to what this browser began."""
    return attempt is not None and hmac.compare_digest(
        attempt.state.encode(), answer.get("state", "").encode()
    )


def finished(
    services: Services, attempt: Attempt, answer: Mapping[str, str], *, before: str | None
) -> tuple[SessionRecord, str]:
    """A session for whoever the provider says it is, and its secret.

    Args:
        answer: the query that the provider sent the browser back with.
        before: the secret of the session that the browser had until now.

    Raises:
        Problem: `token_refused`; `forbidden` for somebody whom no rule gives access;
            `identity_provider_unavailable`; `not_found` where no provider is set.
    """
    provider = _provider(services)
    claims = _claims(services.settings, provider, attempt, answer)
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255 or not subject.isprintable():
        raise refused("it does not say who it is about (sub)")
    key = _known(services, provider.issuer, subject, claims)
    if key is None:
        raise Problem("forbidden", "no rule gives this person access")
    with services.database.transaction() as session:
        return signing_in.opened(session, key, before=before, settings=services.settings)


def _known(services: Services, issuer: str, subject: str, claims: Claims) -> KeyRecord | None:
    """The person's key, with the rights that they have now; None for none."""
    rights = rights_of(services.settings.oidc_rights, claims)
    with services.database.transaction() as session:
        person = people.find(session, issuer, subject)
        if rights is None:
            if person is not None:
                sessions.end_of_key(session, person.key_id)
                audit.record(
                    session, key_id=person.key_id, action="person.refused", entity_id=person.id
                )
            return None
        name, email = _name(claims), _short(claims.get("email"))
        if person is None:
            person, key = people.create(
                session, issuer=issuer, subject=subject, name=name, email=email, rights=rights
            )
            audit.record(session, key_id=key.id, action="person.created", entity_id=person.id)
        else:
            person, key = people.update(session, person, name=name, email=email, rights=rights)
        audit.record(
            session,
            key_id=key.id,
            action="person.signed_in",
            entity_id=person.id,
            data={"role": key.role, "projects": key.projects, "email": email},
        )
        return key


def _claims(
    settings: Settings, provider: Provider, attempt: Attempt, answer: Mapping[str, str]
) -> Claims:
    """What the provider says of the person, verified."""
    if answer.get("iss", provider.issuer) != provider.issuer:
        raise refused("the answer is another provider's")  # RFC 9207
    code = answer.get("code", "")
    if not 0 < len(code) <= _LONGEST_CODE:
        raise refused(f"the provider answered {answer.get('error', 'nothing')[:100]!r}")
    token = _token(settings, provider, code, attempt.verifier)
    claims = verified(
        token, provider, audiences=[settings.oidc_client_id or ""], require=("nonce",)
    )
    nonce, party = claims["nonce"], claims.get("azp", settings.oidc_client_id)
    if not isinstance(nonce, str) or not hmac.compare_digest(
        nonce.encode(), attempt.nonce.encode()
    ):
        raise refused("it answers another question (nonce)")
    if party != settings.oidc_client_id or (
        isinstance(claims["aud"], list) and "azp" not in claims
    ):
        raise refused("it was made for another client (azp)")
    return claims


def _token(settings: Settings, provider: Provider, code: str, verifier: str) -> str:
    """The identity token that a code is exchanged for."""
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": f"{settings.public_url}{CALLBACK}",
        "code_verifier": verifier,
    }
    client = settings.oidc_client_id or ""
    secret = settings.oidc_client_secret.get_secret_value()
    headers: dict[str, str] = {}
    ways = provider.document().get("token_endpoint_auth_methods_supported")
    if not secret:
        form["client_id"] = client
    elif isinstance(ways, list) and "client_secret_basic" not in ways:
        form |= {"client_id": client, "client_secret": secret}
    else:
        pair = f"{quote(client, safe='')}:{quote(secret, safe='')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    answer = provider.post(_endpoint(provider, "token_endpoint"), form, headers)
    token = answer.get("id_token")
    if not isinstance(token, str):
        raise refused("the provider gave no identity token")
    return token


def _provider(services: Services) -> Provider:
    if services.settings.oidc_issuer is None:
        raise Problem("not_found", "signing in with an identity provider is not set up here")
    return services.providers.of(services.settings.oidc_issuer)


def _endpoint(provider: Provider, name: str) -> str:
    found: Any = provider.document().get(name)
    if not isinstance(found, str) or not found.startswith(("https://", "http://")):
        raise unavailable(f"it does not name its {name}")
    return found


def _name(claims: Claims) -> str:
    """For people: who this is."""
    for claim in ("name", "preferred_username", "email", "sub"):
        text = _short(claims.get(claim))
        if text is not None:
            return text
    return "unnamed"


def _short(value: Any) -> str | None:
    if not isinstance(value, str):
        return None
    plain = "".join(c for c in value if c.isprintable()).strip()[:_LONGEST_NAME]
    return plain or None
