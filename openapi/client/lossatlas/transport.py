"""The wire: one HTTP connection pool, problems as exceptions, retries.

Owns every request that this package makes. Knows no resource.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self

import httpx2

from lossatlas.discovery import Endpoint
from lossatlas.errors import ProblemError, ServiceUnreachable, from_problem
from lossatlas.retrying import Patience, retry_after_seconds

#: Answers are waited for so long beyond what the service was asked to hold them.
READ_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0
_SAFE: Final = frozenset({"GET", "HEAD", "PUT"})
#: Refused before anything was done, so that repeating is safe whatever the method.
_REFUSED: Final = frozenset({429, 503})

#: Makes the body anew for each try.
Body = Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Answer:
    """A successful answer, read completely."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    def json(self) -> Any:
        """The JSON body. Raises ServiceUnreachable when it is none: then it is not our service."""
        try:
            return json.loads(self.content)
        except ValueError:
            raise ServiceUnreachable(
                "the answer is not JSON: is this the address of a Lossatlas service?"
            ) from None


class Transport:
    """Calls one service with one key. Safe to use from several threads.

    Args:
        endpoint: the service.
        retry_seconds: how long a call is repeated while the service is away or busy.
        notice: told once per call, in words, when it has to be repeated.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        retry_seconds: float = 30.0,
        notice: Callable[[str], None] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.retry_seconds = retry_seconds
        self._notice = notice
        self._http = httpx2.Client(
            base_url=endpoint.url,
            headers={
                "Authorization": f"Bearer {endpoint.key}",
                "User-Agent": f"lossatlas/{version('lossatlas')}",
            },
            timeout=httpx2.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            # a redirect could carry the key to another host
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json_body: Any = None,
        content: Body | None = None,
        headers: Mapping[str, str] | None = None,
        hold_seconds: float = 0.0,
        retry_seconds: float | None = None,
    ) -> Answer:
        """Makes one request, repeated as far as that is safe and helps.

        Args:
            json_body: sent as JSON when not None.
            content: makes the stream to send, once for each try; needs a Content-Length header.
            hold_seconds: how long the service was asked to hold the answer.
            retry_seconds: patience for this call instead of the transport's; 0 never repeats.

        Raises:
            ProblemError: the service refused; subclasses by code.
            ServiceUnreachable: no answer.
        """
        patience = Patience(self.retry_seconds if retry_seconds is None else retry_seconds)
        headers = dict(headers or {})
        repeatable = method in _SAFE or "Idempotency-Key" in headers
        told = False
        while True:
            try:
                return self._once(method, path, query, json_body, content, headers, hold_seconds)
            except ProblemError as problem:
                may = problem.retryable and (repeatable or problem.status in _REFUSED)
                wait = patience.next_wait(_told(problem)) if may else None
                if wait is None:
                    raise
                reason = problem.title or problem.code
            except httpx2.RequestError as error:
                unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                may = unsent or repeatable
                wait = patience.next_wait() if may else None
                if wait is None:
                    raise self._unreachable(error) from None
                reason = f"{self.endpoint.url} does not answer"
            if not told and self._notice is not None:
                self._notice(f"{reason}; trying again for up to {patience.seconds:.0f} s")
                told = True
            time.sleep(wait)

    def exists(self, path: str) -> bool:
        """Whether HEAD answers with success."""
        try:
            self.call("HEAD", path)
        except ProblemError as problem:
            if problem.status == 404:
                return False
            raise
        return True

    def _once(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        json_body: Any,
        content: Body | None,
        headers: Mapping[str, str],
        hold_seconds: float,
    ) -> Answer:
        answer = self._http.request(
            method,
            path,
            params=None if query is None else {k: v for k, v in query.items() if v is not None},
            json=json_body,
            content=None if content is None else content(),
            headers=headers,
            timeout=httpx2.Timeout(READ_SECONDS + hold_seconds, connect=CONNECT_SECONDS),
        )
        if answer.is_success:
            return Answer(answer.status_code, answer.headers, answer.content)
        raise _problem_of(answer)

    def _unreachable(self, error: httpx2.RequestError) -> ServiceUnreachable:
        where = f"{self.endpoint.url} (from {self.endpoint.source})"
        if isinstance(error, httpx2.TimeoutException):
            return ServiceUnreachable(f"{where} did not answer in time")
        said = str(error) or type(error).__name__
        hint = (
            "; is `lossatlas-server up` still running?"
            if self.endpoint.source.endswith(".json")
            else ""
        )
        return ServiceUnreachable(f"{where} cannot be reached: {said}{hint}")


def _problem_of(answer: httpx2.Response) -> ProblemError:
    body: Any = None
    if "json" in answer.headers.get("content-type", ""):
        try:
            body = answer.json()
        except ValueError:
            body = None
    if not isinstance(body, dict) or "code" not in body:
        # a proxy's page, or the headers alone (HEAD)
        gateway = answer.status_code in (429, 502, 503, 504)
        body = {
            "detail": f"HTTP {answer.status_code} {answer.reason_phrase}".rstrip()
            + ("" if answer.request.method == "HEAD" else f" for {answer.request.url.path}"),
            "retryable": gateway,
            "request_id": answer.headers.get("x-request-id"),
        }
    problem = from_problem(body, answer.status_code)
    problem.body.setdefault("retry_after", retry_after_seconds(answer.headers.get("retry-after")))
    return problem


def _told(problem: ProblemError) -> float | None:
    seconds = problem.body.get("retry_after")
    return seconds if isinstance(seconds, float) else None
