"""Signing in as a CI job: its system's identity token for a key that soon expires.

GitHub hands tokens out at an address of the runner (`permissions: id-token: write`); GitLab puts
one into a variable (`id_tokens:`). Neither is stored or printed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpx2

from lossatlas.errors import ConfigurationError, ServiceUnreachable, from_problem

#: A token of the CI system's that is there already.
TOKEN: Final = "LOSSATLAS_ID_TOKEN"  # noqa: S105 - a variable's name
_GITHUB_URL: Final = "ACTIONS_ID_TOKEN_REQUEST_URL"
_GITHUB_TOKEN: Final = "ACTIONS_ID_TOKEN_REQUEST_TOKEN"  # noqa: S105 - a variable's name
_SECONDS: Final = 30.0


def possible(environ: Mapping[str, str] | None = None) -> bool:
    """Whether this is a CI job that can say who it is."""
    environ = os.environ if environ is None else environ
    return bool(environ.get(TOKEN) or environ.get(_GITHUB_URL))


def ci_key(url: str, environ: Mapping[str, str] | None = None) -> str:
    """A key of the service at `url` for this CI job.

    Args:
        environ: the environment; the process's by default. `LOSSATLAS_AUDIENCE` is whom the token
            is for; the service's address when it is not set.

    Raises:
        ConfigurationError: there is no token to be had here.
        ServiceUnreachable: the CI system or the service does not answer.
        ProblemError: the service does not trust the token.
    """
    environ = os.environ if environ is None else environ
    token = environ.get(TOKEN) or _of_github(environ, url)
    body = {"token": token}
    if environ.get("LOSSATLAS_PROJECT"):
        body["project"] = environ["LOSSATLAS_PROJECT"]
    answer = _sent("POST", f"{url}/v1/identity/token", json=body)
    key = _json(answer).get("key")
    if not isinstance(key, str) or not key:
        raise ServiceUnreachable(f"{url} gave no key: is this the address of a Lossatlas service?")
    return key


def _of_github(environ: Mapping[str, str], url: str) -> str:
    address, bearer = environ.get(_GITHUB_URL), environ.get(_GITHUB_TOKEN)
    if not address or not bearer:
        raise ConfigurationError(
            "there is no key and no identity token: set LOSSATLAS_KEY; or on GitHub give the job "
            f"`permissions: id-token: write`; or on GitLab declare {TOKEN} under `id_tokens:`"
        )
    audience = urlencode({"audience": environ.get("LOSSATLAS_AUDIENCE") or url})
    joined = f"{address}{'&' if '?' in address else '?'}{audience}"
    answer = _sent("GET", joined, headers={"Authorization": f"Bearer {bearer}"})
    token = _json(answer).get("value")
    if not isinstance(token, str) or not token:
        raise ServiceUnreachable("the CI system gave no identity token")
    return token


def _sent(method: str, address: str, **options: Any) -> httpx2.Response:
    try:
        # a redirect could carry the token to another host
        with httpx2.Client(follow_redirects=False, timeout=_SECONDS) as http:
            answer = http.request(method, address, **options)
    except httpx2.RequestError as error:
        host = httpx2.URL(address).host
        raise ServiceUnreachable(f"{host} cannot be reached: {error}") from None
    if not answer.is_success:
        raise from_problem(_json(answer), answer.status_code)
    return answer


def _json(answer: httpx2.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        body = None
    if isinstance(body, dict):
        return body
    return {"detail": f"HTTP {answer.status_code} from {answer.request.url.host}"}
