"""An identity provider on loopback: real keys, discovery, and the authorisation code flow.

Stands for GitHub, GitLab and an organisation's provider, which are other people's services. Signs
whatever a test tells it to; its token endpoint holds callers to PKCE and to their secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

RsaKey = rsa.RSAPrivateKey
EcKey = ec.EllipticCurvePrivateKey

CLIENT = "lossatlas"
SECRET = "a client's secret/with: signs"


@dataclass
class IdentityProvider:
    """What it says and signs. Its members may be changed while it runs.

    Attributes:
        keys: private keys by `kid`.
        published: entries of the JWKS beside those of `keys`.
        document: members of the discovery document that replace the usual ones.
        asked: how often each path was asked for.
        person: claims of whoever signs in.
        broken: answers to paths that are not the usual ones: a status, headers and bytes.
    """

    issuer: str = ""
    keys: dict[str, RsaKey | EcKey] = field(default_factory=dict)
    published: list[dict[str, Any]] = field(default_factory=list)
    document: dict[str, Any] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    person: dict[str, Any] = field(default_factory=dict)
    broken: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def signed(
        self,
        claims: Mapping[str, Any],
        *,
        kid: str = "rsa",
        headers: Mapping[str, Any] | None = None,
    ) -> str:
        """A token with exactly these claims, signed by this key."""
        key = self.keys[kid]
        algorithm = "RS256" if isinstance(key, RsaKey) else "ES256"
        return jwt.encode(
            dict(claims), key, algorithm=algorithm, headers={"kid": kid, **(headers or {})}
        )

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "jwks_uri": f"{self.issuer}/jwks",
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            **self.document,
        }

    def jwks(self) -> dict[str, Any]:
        return {"keys": [*(public(kid, key) for kid, key in self.keys.items()), *self.published]}

    def authorize(self, query: Mapping[str, str]) -> str:
        """Where the browser is sent: whoever is there agrees."""
        code = secrets.token_urlsafe(16)
        self.codes[code] = dict(query)
        answer = {"code": code, "state": query.get("state", ""), "iss": self.issuer}
        return f"{query['redirect_uri']}?{urlencode(answer)}"

    def token(self, form: Mapping[str, str], authorization: str | None) -> dict[str, Any] | None:
        """The identity token of a code, once; None for a caller that is not the right one."""
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked.get("code_challenge") != challenge:
            return None
        if asked.get("redirect_uri") != form.get("redirect_uri"):
            return None
        if authorization != basic(CLIENT, SECRET):
            return None
        claims = {
            "iss": self.issuer,
            "aud": CLIENT,
            "sub": "person-1",
            "iat": int(time.time()),
            "exp": int(time.time()) + 300,
            "nonce": asked.get("nonce"),
            **self.person,
        }
        return {"access_token": "x", "token_type": "Bearer", "id_token": self.signed(claims)}


def basic(client: str, secret: str) -> str:
    """The header of a client and its secret, as RFC 6749 spells it."""
    pair = urlencode({client: secret}).replace("=", ":", 1).replace("+", "%20")
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def public(kid: str, key: RsaKey | EcKey) -> dict[str, Any]:
    """A key as it is published."""
    if isinstance(key, RsaKey):
        found = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
    else:
        found = jwt.algorithms.ECAlgorithm.to_jwk(key.public_key(), as_dict=True)
    # as some providers do, with what only invites mistakes
    return {**found, "kid": kid, "use": "sig"}


def rsa_key(bits: int = 2048) -> RsaKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def ec_key() -> EcKey:
    return ec.generate_private_key(ec.SECP256R1())


@contextmanager
def identity_provider() -> Iterator[IdentityProvider]:
    """One with an RSA key `rsa` and an elliptic one `ec`, served until the block ends."""
    provider = IdentityProvider(keys={"rsa": rsa_key(), "ec": ec_key()})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.asked[parts.path] += 1
            if parts.path in provider.broken:
                self._send(*provider.broken[parts.path])
            elif parts.path == "/.well-known/openid-configuration":
                self._json(200, provider.discovery())
            elif parts.path == "/jwks":
                self._json(200, provider.jwks())
            elif parts.path == "/authorize":
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                self._send(303, {"Location": provider.authorize(query)}, b"")
            else:
                self._json(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"])).decode()
            provider.asked[self.path] += 1
            if self.path in provider.broken:
                self._send(*provider.broken[self.path])
                return
            form = {name: values[0] for name, values in parse_qs(body).items()}
            given = provider.token(form, self.headers.get("authorization"))
            self._json(400 if given is None else 200, given or {"error": "invalid_grant"})

        def _json(self, status: int, value: Any) -> None:
            self._send(status, {"Content-Type": "application/json"}, json.dumps(value).encode())

        def _send(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider.issuer = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
