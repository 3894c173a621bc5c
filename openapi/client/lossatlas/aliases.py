"""Aliases as steps: names that a project gives to models, checkpoints and landscapes."""

from __future__ import annotations

import re
from typing import Any, Final

from lossatlas.errors import InputError, NotFoundError, PreconditionFailedError
from lossatlas.steps import Call, Steps, call, fetch
from lossatlas.values import Alias

#: For `expected`: there must be none yet.
ABSENT: Final = "absent"

_NAMED: Final = re.compile(r"([a-z0-9][a-z0-9._-]*)/([a-z0-9][a-z0-9._-]*)")


def place(alias: str) -> str:
    """Where `vision/prod` lies. Raises InputError for what is no alias."""
    found = _NAMED.fullmatch(alias)
    if found is None:
        raise InputError(f"{alias!r} is no alias: give its project and its name, as vision/prod")
    return f"/v1/aliases/{found[1]}/{found[2]}"


def finding(alias: str) -> Steps[Alias]:
    """What it names."""
    return Alias.model_validate((yield from fetch(place(alias))))


def moving(alias: str, target: str, note: str | None, expected: str | None) -> Steps[Alias]:
    """Makes or moves it; see `Client.set_alias`."""
    headers = {}
    if expected == ABSENT:
        headers["If-None-Match"] = "*"
    elif expected is not None:
        headers["If-Match"] = yield from _tag(alias, expected)
    body: dict[str, Any] = {"target": target}
    if note is not None:
        body["note"] = note
    answer = yield from call(Call("PUT", place(alias), json_body=body, headers=headers))
    return Alias.model_validate(answer.json())


def removing(alias: str, expected: str | None) -> Steps[Alias]:
    """Removes it; what it was."""
    headers = {} if expected is None else {"If-Match": (yield from _tag(alias, expected))}
    answer = yield from call(Call("DELETE", place(alias), headers=headers))
    return Alias.model_validate(answer.json())


def _tag(alias: str, expected: str) -> Steps[str]:
    """The ETag of an alias that is where it is expected."""
    now: str | None = None
    try:
        answer = yield from call(Call("GET", place(alias)))
        now = Alias.model_validate(answer.json()).target
        if now == expected:
            return answer.headers["etag"]
    except NotFoundError:
        pass
    raise PreconditionFailedError(
        "precondition_failed",
        f"{alias} {'is not there' if now is None else f'names {now}'}, not {expected}",
        status=412,
    )
