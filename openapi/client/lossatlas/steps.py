"""What is done with the service, as steps that do no I/O of their own.

An operation is a generator: it yields calls to make and local work to do, is sent their results
(or has their errors raised inside it) and returns a value. `Transport` runs it at once,
`AsyncTransport` between other tasks; so everything is written once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lossatlas.errors import ProblemError, ServiceUnreachable

T = TypeVar("T")

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


@dataclass(frozen=True)
class Call:
    """One request.

    Attributes:
        path: below the service's address; or a whole address elsewhere, which is sent no key.
        json_body: sent as JSON when not None.
        content: makes the stream to send, once for each try; needs a Content-Length header.
        hold_seconds: how long the service was asked to hold the answer.
        retry_seconds: patience for this call instead of the transport's; 0 never repeats.
    """

    method: str
    path: str
    query: Mapping[str, Any] | None = None
    json_body: Any = None
    content: Body | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    hold_seconds: float = 0.0
    retry_seconds: float | None = None


@dataclass(frozen=True)
class Local:
    """Work on this machine that takes a while: reading, hashing, writing files."""

    work: Callable[[], Any]


#: An operation that ends in a T.
Steps = Generator[Call | Local, Any, T]


def call(request: Call) -> Steps[Answer]:
    """One call."""
    answer: Answer = yield request
    return answer


def fetch(path: str, query: Mapping[str, Any] | None = None) -> Steps[Any]:
    """The JSON at a path."""
    return (yield from call(Call("GET", path, query=query))).json()


def post(path: str, body: Mapping[str, Any] | None = None) -> Steps[Any]:
    """The JSON that a POST is answered with."""
    body = None if body is None else dict(body)
    return (yield from call(Call("POST", path, json_body=body))).json()


def exists(path: str) -> Steps[bool]:
    """Whether HEAD answers with success."""
    try:
        yield Call("HEAD", path)
    except ProblemError as problem:
        if problem.status == 404:
            return False
        raise
    return True


def local(work: Callable[[], T]) -> Steps[T]:
    """The result of local work."""
    result: T = yield Local(work)
    return result
