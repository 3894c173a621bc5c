"""What one caller may ask of one process: requests a minute, and bytes of JSON.

Owns counting and the reading of JSON bodies, which are small and read whole; uploads are neither.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from typing import Any, Final, NoReturn

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.problems import Problem
from service.http.shares import Asker, Lane, Width

#: Addresses of callers without a key are as many as somebody likes.
_MOST_BUCKETS: Final = 20_000

#: Of one object: metadata that people attach has the most.
MOST_MEMBERS: Final = 1_000
#: Of a whole body: a trajectory of the largest size names its checkpoints in half of them.
MOST_VALUES: Final = 20_000

#: Bytes of who has no key: what signs somebody in is short.
MOST_OF_NOBODY: Final = 128 << 10
#: Bytes of a page's form: a note of the longest sort, each of its characters escaped, fits twice.
MOST_OF_FORM: Final = 128 << 10
#: Bytes of the bodies of one caller's requests in hand, together.
MOST_IN_HAND: Final = 32 << 20
#: What is read between two other requests without anybody noticing.
_READ_AT_ONCE: Final = 32 << 10
_ONE_AFTER_ANOTHER: Final = Width(places=1, of_project=1, of_key=1, queue=100)

#: Takes each string once, an unfinished one to the end: no looking back.
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)', re.DOTALL)
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
        # those used last at the end
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key_id: str) -> None:
        """Counts one request.

        Raises:
            Problem: `rate_limited` when the bucket is empty, with `Retry-After`.
        """
        if not self._size:
            return
        now = self._clock()
        level, at = self._buckets.pop(key_id, (self._size, now))
        while len(self._buckets) >= _MOST_BUCKETS:
            # not used for longest: after a minute without use a bucket is full again anyway
            self._buckets.popitem(last=False)
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
        self._in_hand: Counter[str] = Counter()
        self._reading = Lane("large bodies", _ONE_AFTER_ANOTHER)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] != "http"
            or scope["method"] not in _BODIED
            or self._streams(scope["method"], scope["path"])
        ):
            await self._app(scope, receive, send)
            return
        headers, asker = Headers(scope=scope), Asker.of(scope)
        most = self._max_bytes
        if "caller" not in scope["state"]:
            most = min(most, MOST_OF_NOBODY)
        if self._forms(scope["path"]) and is_form(headers):
            most = min(most, MOST_OF_FORM)
        # what this request holds, so that it is given back whatever happens
        held = _InHand(self._in_hand, asker.key)
        try:
            body = await self._read(headers, receive, most, held)
            if body is None:
                return  # nobody is there to be answered
            if body and not (self._forms(scope["path"]) and is_form(headers)):
                await self._require_json(headers, body, asker)
            await self._app(scope, replayed(body, receive), send)
        finally:
            held.give_back()

    async def _read(
        self, headers: Headers, receive: Receive, most: int, held: _InHand
    ) -> bytes | None:
        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > most:
            raise _too_large(most)
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > most:
                raise _too_large(most)
            held.take(len(chunk))
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)

    async def _require_json(self, headers: Headers, body: bytes, asker: Asker) -> None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not (
            kind.startswith("application/") and kind.endswith("+json")
        ):
            raise Problem(
                "unsupported_media_type",
                "send JSON, with Content-Type: application/json "
                f"(this was {kind[:80] or 'none'!r})",
            )
        if len(body) <= _READ_AT_ONCE:
            read_json(body)
            return
        # a large one takes a while, and the interpreter meanwhile: one after another
        async with self._reading.place(asker):
            await run_in_threadpool(read_json, body)


class _InHand:
    """The bytes of bodies that one request holds, counted with those of the same caller."""

    def __init__(self, counted: Counter[str], key: str) -> None:
        self._counted = counted
        self._key = key
        self._size = 0

    def take(self, size: int) -> None:
        """Counts bytes. Raises Problem `too_many_at_once`."""
        if self._counted[self._key] + size > MOST_IN_HAND:
            raise Problem(
                "too_many_at_once",
                f"the bodies of this caller's requests in hand have {MOST_IN_HAND} bytes together; "
                "wait for their answers first",
                headers={"Retry-After": "2"},
            )
        self._counted[self._key] += size
        self._size += size

    def give_back(self) -> None:
        """The request is over."""
        self._counted[self._key] -= self._size
        if not self._counted[self._key]:
            del self._counted[self._key]


def _too_large(most: int) -> Problem:
    return Problem(
        "body_too_large",
        f"a JSON body may have {most} bytes; put large data into an object "
        "(PUT /v1/objects/…) and name its digest",
    )


def is_form(headers: Headers) -> bool:
    """Whether the body is a page's form, as browsers send it."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/x-www-form-urlencoded"


def read_json(body: bytes) -> Any:
    """The value that RFC 8259 text in UTF-8 stands for.

    Raises:
        Problem: `malformed_json`: no JSON, another encoding, NaN or infinities, nested too deeply,
            a number of thousands of digits, or half of a surrogate pair; `body_too_large` for more
            members or values than any schema asks for.
    """
    _require_parsable(body)
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


def _require_parsable(body: bytes) -> None:
    """Refuses what holds far too many values, before they are made: hundreds of thousands of empty
    lists take the interpreter half a second.

    Raises:
        Problem: `body_too_large`.
    """
    if _marks(body) > 2 * MOST_VALUES and _marks(_STRING.sub(b"", body)) > 2 * MOST_VALUES:
        raise _too_wide(f"it holds more than {MOST_VALUES} values", MOST_VALUES)


def _marks(body: bytes) -> int:
    """At least as many as there are values, but one."""
    return sum(map(body.count, (b",", b"[", b"{")))


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
