"""A caller of the API with a key of its own, and what it can hold against the service."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2


@dataclass(frozen=True)
class Caller:
    """HTTP with a key.

    Attributes:
        http: sends the key with every request.
        census: counts every row of the database and every object of the store.
    """

    http: httpx2.Client
    census: Callable[[], Mapping[str, int]]

    def get(self, path: str, **query: Any) -> httpx2.Response:
        return self.http.get(path, params=query)

    def post(
        self, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        return self.http.post(path, json=body, headers=dict(headers or {}))

    def put(self, data: bytes) -> str:
        """Uploads bytes; their digest."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        answer = self.http.put(f"/v1/objects/{digest}", content=data)
        assert answer.status_code in (200, 201), answer.text
        return digest

    def create(self, path: str, body: Any) -> dict[str, Any]:
        """Posts and expects success."""
        answer = self.post(path, body)
        assert answer.status_code in (200, 201, 202), f"{path}: {answer.text}"
        made: dict[str, Any] = answer.json()
        return made

    @contextmanager
    def nothing_changes(self) -> Iterator[None]:
        """Fails unless every table and the store are as long afterwards as before."""
        before = dict(self.census())
        yield
        assert dict(self.census()) == before


def problem(
    answer: httpx2.Response, status: int, code: str, pointer: str | None = None
) -> dict[str, Any]:
    """The answer's problem, which must have this status, this code and this pointer."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    told: dict[str, Any] = answer.json()
    assert told["code"] == code, told
    assert told["status"] == status
    assert told["detail"]
    assert "Traceback" not in answer.text
    if pointer is not None:
        assert pointer in {error["pointer"] for error in told["errors"]}, told
    return told
