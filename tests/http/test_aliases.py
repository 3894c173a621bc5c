"""Aliases over HTTP: who may move them, that no move is lost, and that every one is on record."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.features.caller import Caller, problem
from tests.features.pushed import Pushed
from tests.support.ledger import audit_of
from tests.support.serving import Serving

AT = "/v1/aliases/http"


@pytest.fixture(scope="module")
def promoter(running: Serving, admin: Caller) -> Iterator[Caller]:
    """May submit to the project, and move its aliases."""
    key = admin.create(
        "/v1/keys",
        {"name": "release", "role": "submitter", "projects": ["http"], "can_promote": True},
    )
    assert key["can_promote"] is True
    with running.client(key["secret"]) as http:
        yield Caller(http, running.census)


def put(caller: Caller, name: str, target: str, headers: Any = None, **body: Any) -> Any:
    return caller.http.put(f"{AT}/{name}", json={"target": target, **body}, headers=headers)


def test_an_alias_from_first_to_last(running: Serving, promoter: Caller, pushed: Pushed) -> None:
    made = put(promoter, "first", pushed.model, note="to begin with")
    assert made.status_code == 201, made.text
    alias = made.json()
    assert (alias["alias"], alias["target"]) == ("http/first", pushed.model)
    assert (alias["revision"], made.headers["etag"]) == (1, '"1"')
    for link in alias["links"].values():
        assert promoter.http.get(link).status_code == 200, link

    moved = put(promoter, "first", pushed.final)
    assert (moved.status_code, moved.json()["target"]) == (200, pushed.final)
    with promoter.nothing_changes():
        again = put(promoter, "first", pushed.final)
    assert (again.status_code, again.json()) == (200, moved.json())
    assert promoter.get(f"{AT}/first").json() == moved.json()

    removed = promoter.http.delete(f"{AT}/first")
    assert (removed.status_code, removed.json()["target"]) == (200, pushed.final)
    problem(promoter.get(f"{AT}/first"), 404, "not_found")
    problem(promoter.http.delete(f"{AT}/first"), 404, "not_found")

    back = put(promoter, "first", pushed.model)
    assert back.status_code == 201
    # an ETag of before the removal names nothing any more
    assert back.json()["revision"] == 4

    me = promoter.get("/v1/keys/me").json()["id"]
    moves = promoter.get(f"{AT}/first/history").json()["items"]
    assert [(m["revision"], m["from_target"], m["to_target"]) for m in moves] == [
        (4, None, pushed.model),
        (3, pushed.final, None),
        (2, pushed.model, pushed.final),
        (1, None, pushed.model),
    ]
    assert {m["by"] for m in moves} == {me}
    assert moves[-1]["note"] == "to begin with"
    page = promoter.get(f"{AT}/first/history", limit=3)
    rest = promoter.get(f"{AT}/first/history", cursor=page.json()["next_cursor"]).json()
    assert [m["revision"] for m in page.json()["items"] + rest["items"]] == [4, 3, 2, 1]
    with running.services.database.transaction() as session:
        entries = audit_of(session, "http/first")
    assert [entry.action for entry in entries] == ["alias.moved"] * 2 + [
        "alias.removed",
        "alias.moved",
    ]
    assert entries[1].data == {"from": pushed.model, "to": pushed.final, "note": None}


def test_only_keys_with_the_right_move_them(
    api: Caller, admin: Caller, reader: Caller, stranger: Caller, promoter: Caller, pushed: Pushed
) -> None:
    put(admin, "guarded", pushed.model)
    for caller in (api, reader, stranger):
        with caller.nothing_changes():
            problem(put(caller, "guarded", pushed.final), 403, "forbidden")
            problem(put(caller, "new", pushed.final), 403, "forbidden")
            told = caller.http.delete(f"{AT}/guarded")
            assert told.status_code == (404 if caller is stranger else 403), told.text
    # the right is one of the key's own projects
    told = promoter.http.put("/v1/aliases/strangers/prod", json={"target": pushed.model})
    problem(told, 403, "forbidden")
    assert reader.get(f"{AT}/guarded").json()["target"] == pushed.model
    assert stranger.get(f"{AT}/guarded").status_code == 404
    assert stranger.get(f"{AT}/guarded/history").status_code == 404
    assert stranger.get("/v1/aliases").json()["items"] == []
    assert "can_promote" in problem(put(api, "new", pushed.final), 403, "forbidden")["detail"]


def test_a_reader_has_no_such_right(admin: Caller) -> None:
    body = {"name": "r", "role": "reader", "can_promote": True}
    problem(admin.post("/v1/keys", body), 422, "invalid_request", "/can_promote")


def test_a_move_that_was_decided_on_something_older_is_refused(
    promoter: Caller, pushed: Pushed
) -> None:
    tag = put(promoter, "watched", pushed.model).headers["etag"]
    problem(
        put(promoter, "watched", pushed.first, {"If-None-Match": "*"}), 412, "precondition_failed"
    )
    moved = put(promoter, "watched", pushed.final, {"If-Match": tag})
    assert moved.status_code == 200
    for stale in (tag, f"W/{moved.headers['etag']}", '"', "nonsense"):
        with promoter.nothing_changes():
            told = put(promoter, "watched", pushed.first, {"If-Match": stale})
            assert pushed.final in problem(told, 412, "precondition_failed")["detail"]
            told = promoter.http.delete(f"{AT}/watched", headers={"If-Match": stale})
            problem(told, 412, "precondition_failed")
    problem(put(promoter, "none", pushed.first, {"If-Match": "*"}), 412, "precondition_failed")
    assert put(promoter, "watched", pushed.first, {"If-Match": "*"}).status_code == 200


def test_of_many_at_once_one_moves(promoter: Caller, pushed: Pushed) -> None:
    with ThreadPoolExecutor(6) as pool:
        new = [
            pool.submit(put, promoter, "race", pushed.model, {"If-None-Match": "*"})
            for _ in range(6)
        ]
        codes = sorted(future.result().status_code for future in new)
    assert codes == [201] + [412] * 5
    tag = promoter.get(f"{AT}/race").headers["etag"]
    with ThreadPoolExecutor(6) as pool:
        moves = [
            pool.submit(put, promoter, "race", pushed.final, {"If-Match": tag}, note=f"n{i}")
            for i in range(6)
        ]
        codes = sorted(future.result().status_code for future in moves)
    assert codes == [200] + [412] * 5
    assert len(promoter.get(f"{AT}/race/history").json()["items"]) == 2


def test_the_history_cannot_be_rewritten(
    running: Serving, promoter: Caller, pushed: Pushed
) -> None:
    put(promoter, "kept", pushed.model)
    for statement in ("UPDATE alias_moves SET note = 'x'", "DELETE FROM alias_moves"):
        with (
            pytest.raises(Exception, match="immutable"),
            running.services.database.transaction() as session,
        ):
            session.connection().exec_driver_sql(statement)


def test_listed_by_project_and_name(promoter: Caller, pushed: Pushed) -> None:
    for name in ("l3", "l1", "l2"):
        put(promoter, name, pushed.model)
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": 2, "project": "http", **({"cursor": cursor} if cursor else {})}
        page = promoter.get("/v1/aliases", **query)
        found += [alias["name"] for alias in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        assert (cursor is None) == ("link" not in page.headers)
        if cursor is None:
            break
    assert found == sorted(found)
    assert {"l1", "l2", "l3"} <= set(found)
    problem(promoter.get("/v1/aliases", cursor="bm8"), 422, "invalid_request", "/cursor")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/target"),
        ({"target": None}, "/target"),
        ({"target": "prod"}, "/target"),
        ({"target": "job_" + "0" * 26}, "/target"),
        ({"target": "mdl_" + "0" * 26}, "/target"),
        ({"target": "ckp_" + "0" * 26}, "/target"),
        ({"target": "lsc_" + "0" * 26}, "/target"),
        ({"target": "{model}", "note": ""}, "/note"),
        ({"target": "{model}", "note": "a\x00b"}, "/note"),
        ({"target": "{model}", "why": "x"}, "/why"),
    ],
)
def test_bodies_that_are_wrong(
    promoter: Caller, pushed: Pushed, body: dict[str, Any], pointer: str
) -> None:
    filled = {k: pushed.model if v == "{model}" else v for k, v in body.items()}
    with promoter.nothing_changes():
        told = promoter.http.put(f"{AT}/wrong", json=filled)
        problem(told, 422, "invalid_request", pointer)


@pytest.mark.parametrize("name", ["Prod", "-prod", "pro d", "p" * 64, "%00", "prod%2fx", ".."])
def test_names_that_are_none(promoter: Caller, pushed: Pushed, name: str) -> None:
    with promoter.nothing_changes():
        told = promoter.http.put(f"{AT}/{name}", json={"target": pushed.model})
    assert told.status_code in (404, 405, 422), told.text


def test_targets_stay_in_their_project(admin: Caller, pushed: Pushed) -> None:
    told = admin.http.put("/v1/aliases/elsewhere/prod", json={"target": pushed.model})
    problem(told, 422, "incompatible_inputs", "/target")
