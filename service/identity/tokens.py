"""Identity tokens (RFC 7519): read without belief, and then verified.

RS256 and ES256 alone, with the key that the issuer publishes under the token's `kid`. Whatever
else a token says of keys (`jku`, `jwk`, `x5u`) is ignored; what it says is critical is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import jwt

from service.domain.problems import Problem
from service.identity.provider import Provider

#: GitHub's and GitLab's have two thousand characters or so.
LONGEST: Final = 16 << 10
#: Clocks differ.
LEEWAY_SECONDS: Final = 30.0
_LONGEST_KID: Final = 512

Claims = Mapping[str, Any]


def issuer_of(token: str) -> str:
    """Who the token says has made it; nothing is verified yet. Raises Problem `token_refused`."""
    if len(token) > LONGEST or not token.isascii() or token.count(".") != 2:
        raise refused("it is no signed JSON Web Token")
    payload = token.split(".")[1]
    try:
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        raise refused("its claims cannot be read") from None
    issuer = claims.get("iss") if isinstance(claims, dict) else None
    if not isinstance(issuer, str) or not issuer.isascii() or not issuer.isprintable():
        raise refused("it does not say who made it (iss)")
    return issuer


def verified(
    token: str, provider: Provider, *, audiences: Sequence[str], require: Sequence[str] = ()
) -> Claims:
    """The token's claims, if it is the provider's, for one of these audiences and of this time.

    Args:
        require: claims that must be there, besides `iss`, `aud`, `sub`, `exp` and `iat`.

    Raises:
        Problem: `token_refused` with the reason; `identity_provider_unavailable` when its key
            cannot be had.
    """
    if len(token) > LONGEST:
        raise refused("it is too long")
    try:
        header = jwt.get_unverified_header(token)
        algorithm, identity = header.get("alg"), header.get("kid")
        if algorithm not in ("RS256", "ES256"):
            raise refused(f"it is signed by {str(algorithm)[:20]!r}; RS256 and ES256 are accepted")
        if "crit" in header or "b64" in header:
            raise refused("its header asks for what is not supported")
        if not isinstance(identity, str) or not 0 < len(identity) <= _LONGEST_KID:
            raise refused("its header names no key (kid)")
        key = provider.key(identity)
        if key is None:
            raise refused("its issuer has no such key (kid)")
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            # that of the key: a token cannot choose another
            algorithms=[key.algorithm_name],
            issuer=provider.issuer,
            audience=list(audiences),
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "aud", "sub", "exp", "iat", *require]},
        )
    except jwt.ExpiredSignatureError:
        raise refused("it has expired") from None
    except jwt.ImmatureSignatureError:
        raise refused("it is not valid yet (iat, nbf); is a clock wrong?") from None
    except jwt.InvalidAudienceError:
        raise refused("it is for another audience (aud)") from None
    except jwt.InvalidIssuerError:
        raise refused("it is another issuer's (iss)") from None
    except jwt.MissingRequiredClaimError as error:
        raise refused(f"it lacks {error.claim}") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
        raise refused("its signature does not hold, or it cannot be read") from None
    return claims


def refused(why: str) -> Problem:
    """The token opens nothing, and why."""
    return Problem(
        "token_refused",
        f"this identity token is refused: {why}",
        headers={"WWW-Authenticate": 'Bearer realm="lossatlas", error="invalid_token"'},
    )
