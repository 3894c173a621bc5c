"""The wire: one HTTP connection pool, problems as exceptions, retries.

Owns every request that this package makes (`aio_transport` makes the same ones, by the same rules,
between other tasks). Knows no resource.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import httpx2

from lossatlas.discovery import Endpoint
from lossatlas.errors import ProblemError, ServiceUnreachable, from_problem
from lossatlas.retrying import Patience, retry_after_seconds
from lossatlas.steps import Answer, Call, Local, Steps, exists

T = TypeVar("T")

#: Answers are waited for so long beyond what the service was asked to hold them.
READ_SECONDS: Final = 60.0
CONNECT_SECONDS: Final = 10.0
_SAFE: Final = frozenset({"GET", "HEAD", "PUT"})
#: Refused before anything was done, so that repeating is safe whatever the method.
_REFUSED: Final = frozenset({429, 503})


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
        self._http = httpx2.Client(**settings_of(endpoint))
        # for addresses elsewhere: it knows no key
        self._plain = httpx2.Client(follow_redirects=False)

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
        self._plain.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json_body: Any = None,
        headers: Mapping[str, str] | None = None,
        retry_seconds: float | None = None,
    ) -> Answer:
        """Makes one request, repeated as far as that is safe and helps; see `Call`.

        Raises:
            ProblemError: the service refused; subclasses by code.
            ServiceUnreachable: no answer.
        """
        return self.send(
            Call(
                method,
                path,
                query=query,
                json_body=json_body,
                headers=dict(headers or {}),
                retry_seconds=retry_seconds,
            )
        )

    def send(self, call: Call) -> Answer:
        """Makes one call. Raises as `call` does."""
        tries = Tries(self.endpoint, call, self.retry_seconds, self._notice)
        http = self._plain if elsewhere(call) else self._http
        content = call.content
        while True:
            try:
                body = None if content is None else content()
                return read(http.request(**arguments(call), content=body))
            except (ProblemError, httpx2.RequestError) as error:
                wait = tries.after(error)
            time.sleep(wait)

    def exists(self, path: str) -> bool:
        """Whether HEAD answers with success."""
        return self.run(exists(path))

    def run(self, steps: Steps[T]) -> T:
        """Runs an operation to its end. Raises what its calls raise."""
        try:
            step = next(steps)
            while True:
                try:
                    result = step.work() if isinstance(step, Local) else self.send(step)
                except BaseException as error:  # noqa: BLE001 - it is raised inside the steps
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as end:
            value: T = end.value
            return value


class Tries:
    """What follows each try of one call that failed: another after a while, or the error."""

    def __init__(
        self,
        endpoint: Endpoint,
        call: Call,
        retry_seconds: float,
        notice: Callable[[str], None] | None,
    ) -> None:
        self._endpoint = endpoint
        self._call = call
        self._notice = notice
        seconds = retry_seconds if call.retry_seconds is None else call.retry_seconds
        self._patience = Patience(seconds)
        self._repeatable = call.method in _SAFE or "Idempotency-Key" in call.headers

    def after(self, error: ProblemError | httpx2.RequestError) -> float:
        """Seconds to wait before the next try.

        Raises:
            ProblemError, ServiceUnreachable: there is none, because it would not be safe, would
                not help, or patience is over.
        """
        if isinstance(error, ProblemError):
            may = error.retryable and (self._repeatable or error.status in _REFUSED)
            wait = self._patience.next_wait(_told(error)) if may else None
            if wait is None:
                raise error
            reason = error.title or error.code
        else:
            unsent = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
            wait = self._patience.next_wait() if unsent or self._repeatable else None
            if wait is None:
                raise unreachable(self._endpoint, self._call, error) from None
            reason = f"{self._endpoint.url} does not answer"
        if self._notice is not None:
            self._notice(f"{reason}; trying again for up to {self._patience.seconds:.0f} s")
            self._notice = None
        return wait


def settings_of(endpoint: Endpoint) -> dict[str, Any]:
    """What every connection to a service is made with."""
    return {
        "base_url": endpoint.url,
        "headers": {
            "Authorization": f"Bearer {endpoint.key}",
            "User-Agent": f"lossatlas/{version('lossatlas')}",
        },
        # a redirect could carry the key to another host
        "follow_redirects": False,
    }


def elsewhere(call: Call) -> bool:
    """Whether a call goes to another address than the service's."""
    return call.path.startswith(("http://", "https://"))


def arguments(call: Call) -> dict[str, Any]:
    """A call in the HTTP library's words, without its body."""
    query = call.query
    return {
        "method": call.method,
        "url": call.path,
        "params": None if query is None else {k: v for k, v in query.items() if v is not None},
        "json": call.json_body,
        "headers": call.headers,
        "timeout": httpx2.Timeout(READ_SECONDS + call.hold_seconds, connect=CONNECT_SECONDS),
    }


def read(answer: httpx2.Response) -> Answer:
    """A successful answer. Raises ProblemError for any other."""
    if answer.is_success:
        return Answer(answer.status_code, answer.headers, answer.content)
    raise _problem_of(answer)


def unreachable(endpoint: Endpoint, call: Call, error: httpx2.RequestError) -> ServiceUnreachable:
    """The error in words."""
    if elsewhere(call):
        parts = urlsplit(call.path)
        where, local = f"the object store at {parts.scheme}://{parts.netloc}", False
    else:
        where = f"{endpoint.url} (from {endpoint.source})"
        local = endpoint.source.endswith(".json")
    if isinstance(error, httpx2.TimeoutException):
        return ServiceUnreachable(f"{where} did not answer in time")
    said = str(error) or type(error).__name__
    hint = "; is `lossatlas-server up` still running?" if local else ""
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
