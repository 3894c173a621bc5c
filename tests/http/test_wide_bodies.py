"""Bodies of the worst shapes, to every route that reads one: refused in a few words, at once.

What a caller chooses the size of is looked at in a number of steps that grows with it, never with
its square, and an answer is never larger than a screen or two.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from service.domain.problems import MOST_TOLD, FieldError
from service.http.limits import MOST_MEMBERS, MOST_VALUES
from service.inputs.bodies import field_errors
from tests.features.caller import Caller
from tests.http.test_every_route import routes
from tests.support.serving import Serving

MIB = 1 << 20
LONGEST_ANSWER = 130_000
DIGITS = "0" * 26
#: Bytes, forms of pages, and what reads no body.
UNREAD = ("/v1/objects", "/keys", "/sign-out")


def shapes() -> dict[str, Any]:
    """By name; each within the limit of bytes."""
    return {
        "wide": {f"field{i}": i for i in range(40_000)},
        "as wide as may be": {f"field{i}": i for i in range(MOST_MEMBERS)},
        "wide within": {"metadata": {f"field{i}": i for i in range(40_000)}},
        "long": {"datasets": [1] * 120_000, "tags": ["!"] * 120_000},
        "as long as may be": {"tags": ["!"] * (MOST_VALUES - 10)},
        "long names": {("x" * 20_000) + str(i): 1 for i in range(40)},
        "slashes": {("/" * 20_000) + str(i): 1 for i in range(40)},
        "long text": {"name": "x" * (MIB - 100), "kind": "surface"},
        "deep": json.loads('{"a":' * 400 + "1" + "}" * 400),
        "many objects": {"items": [{"a": 1}] * 60_000},
    }


def address(path: str) -> str:
    kinds = {"model_id": "mdl", "job_id": "job", "landscape_id": "lsc", "key_id": "key"}
    for name, kind in kinds.items():
        path = path.replace(f"{{{name}}}", f"{kind}_{DIGITS}")
    return path.replace("{", "").replace("}", "")


@pytest.mark.parametrize("shape", shapes())
def test_every_route_refuses_it_in_a_few_words(running: Serving, admin: Caller, shape: str) -> None:
    body = json.dumps(shapes()[shape]).encode()
    assert len(body) <= MIB
    asked = 0
    for method, path in routes(running):
        if method not in ("POST", "PATCH", "PUT") or path.startswith(UNREAD):
            continue
        answer = admin.http.request(
            method, address(path), content=body, headers={"Content-Type": "application/json"}
        )
        asked += 1
        assert 400 <= answer.status_code < 500, (method, path, answer.text[:200])
        assert len(answer.content) <= LONGEST_ANSWER, (method, path, len(answer.content))
        if answer.headers["Content-Type"].startswith("application/problem+json"):
            told = answer.json()
            assert len(told["errors"]) <= MOST_TOLD
            if shape == "wide":
                assert told["code"] == "body_too_large", (method, path, told)
    assert asked > 15


def test_those_left_out_are_counted(admin: Caller) -> None:
    body = {f"field{i}": i for i in range(200)}
    told = admin.http.post("/v1/identity/token", json=body).json()
    assert len(told["errors"]) == MOST_TOLD
    # each unknown field, and the one that is missing
    assert told["errors_left_out"] >= 200 - MOST_TOLD
    assert "more faults" in told["detail"]


def test_faults_are_not_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = 0
    plain = FieldError.__eq__

    def counted(self: FieldError, other: object) -> bool:
        nonlocal compared
        compared += 1
        return plain(self, other)

    monkeypatch.setattr(FieldError, "__eq__", counted)
    many = 4_000
    body = {f"field{i}": i for i in range(many)}
    errors: Any = [
        {"type": "extra_forbidden", "loc": (name,), "msg": "no", "input": 1} for name in body
    ]
    assert len(field_errors(errors * 2, body)) == many
    # equal ones meet in a dictionary; others hardly ever
    assert compared <= 2 * many
