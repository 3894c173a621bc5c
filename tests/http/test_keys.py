"""API keys over HTTP: shown once, held to their role and projects, ended at once, on record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.features.caller import Caller, problem
from tests.support.ledger import audit_of
from tests.support.serving import Serving


def made(admin: Caller, **body: Any) -> dict[str, Any]:
    return admin.create("/v1/keys", {"name": "ci", "role": "submitter", **body})


def test_a_key_from_first_to_last(running: Serving, admin: Caller) -> None:
    key = made(admin, projects=["b", "a"])
    assert key["secret"].startswith("la_")
    assert key["projects"] == ["a", "b"]
    with running.client(key["secret"]) as http:
        me = http.get("/v1/keys/me").json()
        assert (me["id"], me["role"], me["projects"]) == (key["id"], "submitter", ["a", "b"])
        assert "secret" not in me
        problem(http.get("/v1/keys"), 403, "forbidden")
        problem(http.post("/v1/keys", json={"name": "x", "role": "admin"}), 403, "forbidden")
        shown = admin.get(f"/v1/keys/{key['id']}")
        assert key["secret"] not in shown.text
        assert key["id"] in {k["id"] for k in admin.get("/v1/keys", limit=200).json()["items"]}
        ended = admin.http.delete(f"/v1/keys/{key['id']}")
        assert ended.status_code == 200, ended.text
        assert ended.json()["revoked_at"]
        problem(http.get("/v1/keys/me"), 401, "unauthenticated")
    assert admin.http.delete(f"/v1/keys/{key['id']}").json() == ended.json()
    with running.services.database.transaction() as session:
        actions = [entry.action for entry in audit_of(session, key["id"])]
    assert actions[:2] == ["key.created", "key.revoked"]


def test_projects_bound_a_key(running: Serving, admin: Caller) -> None:
    key = made(admin, role="submitter", projects=["one"])
    with running.client(key["secret"]) as http:
        other = {"project": "two", "name": "n", "object": "sha256:" + "0" * 64}
        problem(http.post("/v1/datasets", json=other), 403, "forbidden")
        own = {**other, "project": "one"}
        problem(http.post("/v1/datasets", json=own), 422, "object_missing")


def test_an_expired_key_is_none(running: Serving, admin: Caller) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    key = made(admin, expires_at=soon.isoformat())
    with running.client(key["secret"]) as http:
        assert http.get("/v1/keys/me").status_code == 200
        with running.services.database.transaction() as session:
            session.connection().exec_driver_sql(
                "UPDATE api_keys SET expires_at = now() WHERE id = %s", (key["id"],)
            )
        problem(http.get("/v1/keys/me"), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"role": "god"}, "/role"),
        ({"name": ""}, "/name"),
        ({"projects": []}, "/projects"),
        ({"projects": ["Not One"]}, "/projects"),
        ({"role": "admin", "projects": ["a"]}, "/projects"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2101-01-01T00:00:00"}, "/expires_at"),
        ({"secret": "mine"}, "/secret"),
    ],
)
def test_fields_that_are_wrong(admin: Caller, change: dict[str, Any], pointer: str) -> None:
    with admin.nothing_changes():
        told = problem(
            admin.post("/v1/keys", {"name": "n", "role": "reader", **change}),
            422,
            "invalid_request",
        )
    assert any(e["pointer"].startswith(pointer) for e in told["errors"]), told


def test_nobody_locks_themselves_out(admin: Caller) -> None:
    me = admin.get("/v1/keys/me").json()["id"]
    problem(admin.http.delete(f"/v1/keys/{me}"), 409, "conflict")
    problem(admin.get("/v1/keys/key_" + "0" * 26), 404, "not_found")
    problem(admin.http.delete("/v1/keys/key_" + "0" * 26), 404, "not_found")
