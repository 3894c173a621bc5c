"""What one caller may ask of one process: requests a minute, and bytes of JSON.

Owns counting and the reading of JSON bodies, which are small and read whole; uploads are neither.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from typing import Any, Final, NoReturn

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.problems import Problem

#: Addresses of callers without a key are as many as somebody likes.
_MOST_BUCKETS: Final = 20_000

#: Of one object: metadata that people attach has the most.
MOST_MEMBERS: Final = 1_000
#: Of a whole body: a trajectory of the largest size names its checkpoints in half of them.
MOST_VALUES: Final = 20_000

_BODIED: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class RateLimit:
    """A bucket for each key: full at first, filled evenly. For one event loop.

    Args:
        per_minute: requests; 0 is no limit.
        who: may send them, in words.
    """

    def __init__(
        self,
        per_minute: int,
        clock: Callable[[], float] = time.monotonic,
        *,
        who: str = "this key",
    ) -> None:
        self._size = float(per_minute)
        self._clock = clock
        self._who = who
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key_id: str) -> None:
        """Counts one request.

        Raises:
            Problem: `rate_limited` when the bucket is empty, with `Retry-After`.
        """
        if not self._size:
            return
        now = self._clock()
        if len(self._buckets) > _MOST_BUCKETS:
            # after a minute every bucket is full again, and none need be known
            self._buckets = {k: v for k, v in self._buckets.items() if now - v[1] < 60.0}
        level, at = self._buckets.get(key_id, (self._size, now))
        level = min(self._size, level + (now - at) * self._size / 60.0)
        if level < 1.0:
            self._buckets[key_id] = (level, now)
            seconds = math.ceil((1.0 - level) * 60.0 / self._size)
            raise Problem(
                "rate_limited",
                f"{self._who} may send {self._size:.0f} requests a minute; "
                f"try again in {seconds} s",
                headers={"Retry-After": str(seconds)},
            )
        self._buckets[key_id] = (level - 1.0, now)


class JsonBodies:
    """Middleware: a body is JSON of bounded size, read whole before the application sees it.

    Args:
        streams: says of a request (method, path) that its body is bytes to be streamed.
        forms: says of a path that a page's form may be sent there too.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int,
        streams: Callable[[str, str], bool],
        forms: Callable[[str], bool] = lambda _path: False,
    ) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._streams = streams
        self._forms = forms

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] not in _BODIED
            or self._streams(scope["method"], scope["path"])
        ):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        body = await self._read(headers, receive)
        if body is None:
            return  # nobody is there to be answered
        if body and not (self._forms(scope["path"]) and is_form(headers)):
            _require_json(headers, body)
        await self._app(scope, replayed(body, receive), send)

    async def _read(self, headers: Headers, receive: Receive) -> bytes | None:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large()
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > self._max_bytes:
                raise self._too_large()
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    def _too_large(self) -> Problem:
        return Problem(
            "body_too_large",
            f"a JSON body may have {self._max_bytes} bytes; put large data into an object "
            "(PUT /v1/objects/…) and name its digest",
        )


def is_form(headers: Headers) -> bool:
    """Whether the body is a page's form, as browsers send it."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


def _require_json(headers: Headers, body: bytes) -> None:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind.endswith("+json")
    ):
        raise Problem(
            "unsupported_media_type",
            f"send JSON, with Content-Type: application/json (this was {kind[:80] or 'none'!r})",
        )
    read_json(body)


def read_json(body: bytes) -> Any:
    """The value that RFC 8259 text in UTF-8 stands for.

    Raises:
        Problem: `malformed_json`: no JSON, another encoding, NaN or infinities, nested too deeply,
            a number of thousands of digits, or half of a surrogate pair; `body_too_large` for more
            members or values than any schema asks for.
    """
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_refuse_constant)
        # half a surrogate pair can be written in JSON and in no other text
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise _malformed(f"byte {error.start} is no UTF-8") from None
    except UnicodeEncodeError:
        raise _malformed("a string holds half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise _malformed(f"line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise _malformed("it is nested too deeply") from None
    except ValueError as error:
        raise _malformed(str(error)) from None
    _require_modest(value)
    return value


def _require_modest(value: Any) -> None:
    """Holds a body's shape to what a schema could ask for, before anything looks at its members.

    Raises:
        Problem: `body_too_large`.
    """
    waiting, seen = [value], 0
    while waiting:
        one = waiting.pop()
        seen += 1
        if isinstance(one, dict):
            if len(one) > MOST_MEMBERS:
                raise _too_wide(f"an object in it has {len(one)} members", MOST_MEMBERS)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
        if seen + len(waiting) > MOST_VALUES:
            raise _too_wide(f"it holds more than {MOST_VALUES} values", MOST_VALUES)


def _too_wide(what: str, most: int) -> Problem:
    return Problem(
        "body_too_large",
        f"the body is too wide: {what}; at most {most} are read. Put large data into an object "
        "(PUT /v1/objects/…) and name its digest",
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON; there is no such number")


def _malformed(detail: str) -> Problem:
    return Problem("malformed_json", f"the body is not JSON: {detail}")


def replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, and after it whatever still comes: a disconnect."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
