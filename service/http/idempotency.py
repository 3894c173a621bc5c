"""Requests that may be sent again: the `Idempotency-Key` header, for jobs and checks alike."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from service.domain.problems import Problem

#: Visible ASCII, so that it can be quoted anywhere.
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,255}$",
        description="The same key with the same body gives what the first such request made, "
        "however often it is sent.",
    ),
]


def reused(key: str, made: str) -> Problem:
    """The problem of a key that came with another body before, which `made` something else."""
    return Problem(
        "idempotency_key_reused",
        f"Idempotency-Key {key!r} already stands for another request ({made}); "
        "send a new key with a new request",
    )
