"""The connection to the S3 server, and what its failures mean to callers.

Owns time limits, retries and the translation of the SDK's errors. An outage becomes Problem
`unavailable` within seconds; a request that was refused for what it is stays an error of ours.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, Self
from urllib.parse import urlsplit

import urllib3
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError
from urllib3.exceptions import HTTPError, MaxRetryError, ReadTimeoutError, ResponseError
from urllib3.util import Retry, Timeout

from service.domain.problems import Problem
from service.settings import Settings

log = logging.getLogger(__name__)

#: Two attempts to connect stay below five seconds even when packets vanish.
_CONNECT_SECONDS: Final = 2.0
_READ_SECONDS: Final = 30.0
#: Codes that say who we are, not what we asked, is the fault.
_IDENTITY_CODES: Final = frozenset(
    {
        "AccessDenied",
        "AccountProblem",
        "AuthorizationHeaderMalformed",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "NotSignedUp",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
    }
)
_MISSING_CODES: Final = frozenset({"NoSuchKey", "NoSuchObject", "ResourceNotFound"})


class _Once(Retry):
    """One more attempt, unless the server took the request and kept silent: it would again."""

    def increment(
        self,
        method: str | None = None,
        url: str | None = None,
        response: Any = None,
        error: Exception | None = None,
        _pool: Any = None,
        _stacktrace: Any = None,
    ) -> Self:
        if isinstance(error, ReadTimeoutError):
            raise error
        return super().increment(method, url, response, error, _pool, _stacktrace)


def connect(
    settings: Settings, *, read_seconds: float = _READ_SECONDS, public: bool = False
) -> Minio:
    """A client with its own pool of connections; opens none yet.

    Safe to share between threads, not across a fork.

    Args:
        public: of the server as callers see it, to sign addresses with; the region is known, so
            that signing asks nobody.

    Raises:
        ValueError: the endpoint is no `http(s)://host[:port]`, or a key is missing.
    """
    seen = settings.s3_public_endpoint if public else None
    secure, host = _endpoint(seen or settings.s3_endpoint)
    if not settings.s3_access_key or not settings.s3_secret_key.get_secret_value():
        raise ValueError("S3_ACCESS_KEY and S3_SECRET_KEY must both be set")
    pool = urllib3.PoolManager(
        timeout=Timeout(connect=_CONNECT_SECONDS, read=read_seconds),
        maxsize=16,
        cert_reqs="CERT_REQUIRED",
        retries=_Once(
            total=1,
            backoff_factor=0.2,
            status_forcelist=[500, 502, 503, 504],
            # a server that asks for minutes of patience is away, and the caller must hear so
            respect_retry_after_header=False,
        ),
    )
    return Minio(
        host,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        secure=secure,
        region=settings.s3_region,
        http_client=pool,
    )


@contextmanager
def outages_told() -> Iterator[None]:
    """Turns an outage, in the widest sense, into Problem `unavailable`.

    That is: nobody answers, the answer breaks off, the server has a fault of its own, it does not
    accept our credentials, its bucket is not there, or what answers is no S3 server. The detail
    says which, since the operator reads it too. Other errors pass.
    """
    try:
        yield
    except S3Error as error:
        problem = _problem_of(error)
        if problem is None:
            raise
        raise problem from error
    except InvalidResponseError as error:
        raise unavailable(
            "what answers at S3_ENDPOINT does not speak S3; the operator must check it"
        ) from error
    except ServerError as error:
        raise unavailable(f"the object store failed (HTTP {error.status_code})") from error
    except HTTPError as error:
        failed = isinstance(error, MaxRetryError) and isinstance(error.reason, ResponseError)
        raise unavailable(
            "the object store failed" if failed else "the object store did not answer", error
        ) from error


def is_missing(error: S3Error) -> bool:
    """Whether the server says that there is nothing under the key."""
    return error.code in _MISSING_CODES


def unavailable(detail: str, cause: Exception | None = None) -> Problem:
    """The store cannot be used now; logged with its cause, for whoever runs it."""
    log.warning("%s%s", detail, "" if cause is None else f" ({cause})")
    return Problem("unavailable", f"{detail}; try again in a moment", headers={"Retry-After": "2"})


def _problem_of(error: S3Error) -> Problem | None:
    code = error.code or ""
    if code in _IDENTITY_CODES:
        return unavailable(
            f"the object store refuses this service ({code}); "
            "the operator must check S3_ACCESS_KEY, S3_SECRET_KEY and the clock"
        )
    if code == "NoSuchBucket":
        return unavailable("the object store has no such bucket; the operator must check S3_BUCKET")
    if code in {"SlowDown", "RequestTimeout", "OperationAborted"} or error.response.status >= 500:
        return unavailable(f"the object store failed ({code})")
    return None


def _endpoint(url: str) -> tuple[bool, str]:
    parts = urlsplit(url)
    extras = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in {"http", "https"} or not parts.hostname or extras:
        raise ValueError("S3_ENDPOINT must be http://host:port or https://host[:port]")
    return parts.scheme == "https", parts.netloc
