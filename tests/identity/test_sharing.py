"""Links to figures: off until turned on, one PNG each, dead when they should be."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import lossatlas
import pytest

from service.ledger.sqltext import rows, run
from service.settings import Settings
from tests.features.by_hand import ByHand
from tests.features.caller import Caller, problem
from tests.features.pushed import push
from tests.features.reference import MLP
from tests.support.ledger import audit_of
from tests.support.serving import Serving, serving

PROJECT = "shared"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def member(running: Serving) -> Iterator[Caller]:
    """May add to the project that shares."""
    with running.client(running.key("submitter", [PROJECT])[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="module")
def landscape(running: Serving, member: Caller) -> str:
    pushed = push(member, MLP, PROJECT)
    spec = {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [pushed.dataset],
    }
    job = member.create("/v1/jobs", spec)["id"]
    ByHand(running.services, job).whole()
    return str(member.get(f"/v1/jobs/{job}").json()["landscape"])


@pytest.fixture
def sharing(admin: Caller, landscape: str) -> Iterator[None]:
    turn(admin, True)
    yield
    turn(admin, False)


def turn(admin: Caller, on: bool) -> None:
    answer = admin.http.patch(f"/v1/projects/{PROJECT}", json={"sharing": on})
    assert answer.status_code == 200, answer.text
    assert answer.json()["sharing"] is on


def made(member: Caller, landscape: str, **body: Any) -> dict[str, Any]:
    return member.create(f"/v1/landscapes/{landscape}/shares", body)


def test_off_by_default(running: Serving, admin: Caller, member: Caller, landscape: str) -> None:
    with member.nothing_changes():
        told = problem(member.post(f"/v1/landscapes/{landscape}/shares", {}), 409, "sharing_off")
    assert "PATCH /v1/projects/shared" in told["detail"]
    problem(member.http.patch(f"/v1/projects/{PROJECT}", json={"sharing": True}), 403, "forbidden")
    problem(admin.http.patch("/v1/projects/nowhere", json={"sharing": True}), 404, "not_found")
    turn(admin, True)
    turn(admin, False)
    with running.services.database.transaction() as session:
        told_ = [e.data for e in audit_of(session, PROJECT) if e.action == "project.sharing"]
    assert told_[-2:] == [{"sharing": True}, {"sharing": False}]


@pytest.mark.usefixtures("sharing")
def test_a_link_shows_one_figure_and_nothing_else(
    running: Serving, member: Caller, nobody: Caller, landscape: str, caplog: Any
) -> None:
    caplog.set_level(logging.INFO)
    link = made(member, landscape, figure={"theme": "dark", "width": 400})
    assert link["url"].startswith("/s/")
    shown = nobody.http.get(link["url"])
    assert shown.status_code == 200
    assert shown.content.startswith(PNG)
    same = member.get(f"/v1/landscapes/{landscape}/figure.png", theme="dark", width=400)
    assert shown.content == same.content
    assert shown.headers["content-type"] == "image/png"
    assert shown.headers["cache-control"] == "private, no-store"
    assert shown.headers["referrer-policy"] == "no-referrer"
    assert "noindex" in shown.headers["x-robots-tag"]
    assert shown.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "etag" not in shown.headers
    assert "set-cookie" not in shown.headers
    assert landscape not in str(shown.headers)
    # the secret opens this address alone, and stands in no list and no log
    secret = link["url"].removeprefix("/s/")
    with running.client(secret) as http:
        problem(http.get(f"/v1/landscapes/{landscape}"), 401, "unauthenticated")
    problem(nobody.get(f"/v1/landscapes/{landscape}/figure.png"), 401, "unauthenticated")
    for path in (f"{link['url']}/data.json", f"{link['url']}/../v1/models", "/s/", "/s"):
        assert nobody.get(path).status_code in (401, 404), path
    # what it shows was fixed when it was made
    problem(nobody.http.get(link["url"] + "?theme=light"), 422, "invalid_request", "/theme")
    assert nobody.http.post(link["url"]).status_code == 405
    assert secret not in member.get("/v1/shares", project=PROJECT).text
    assert secret not in member.get(f"/v1/shares/{link['id']}").text
    ours = [r.getMessage() for r in caplog.records if r.name.startswith("service.")]
    assert any("/s/…" in line for line in ours)
    assert secret not in str(ours)
    with running.services.database.transaction() as session:
        (row,) = rows(session, "SELECT * FROM shares WHERE id = :id", id=link["id"])
    assert bytes(row["secret_hash"]) == hashlib.sha256(secret.encode()).digest()
    assert row["options"] == {"theme": "dark", "width": 400}


@pytest.mark.usefixtures("sharing")
def test_dead_links_are_all_alike(
    running: Serving, admin: Caller, member: Caller, nobody: Caller, landscape: str
) -> None:
    def dead(url: str) -> dict[str, Any]:
        told = problem(nobody.http.get(url), 404, "not_found")
        return {name: told[name] for name in ("detail", "title", "errors")}

    unknown = dead("/s/" + "A" * 43)
    assert dead("/s/%00") == unknown
    link = made(member, landscape, expires_in=60)
    assert nobody.http.get(link["url"]).status_code == 200

    turn(admin, False)
    assert dead(link["url"]) == unknown
    turn(admin, True)
    assert nobody.http.get(link["url"]).status_code == 200

    with running.services.database.transaction() as session:
        run(session, "UPDATE shares SET expires_at = now() WHERE id = :id", id=link["id"])
    assert dead(link["url"]) == unknown

    link = made(member, landscape)
    ended = member.http.delete(f"/v1/shares/{link['id']}")
    assert ended.status_code == 200
    assert ended.json()["revoked_at"]
    assert dead(link["url"]) == unknown
    assert member.http.delete(f"/v1/shares/{link['id']}").json() == ended.json()
    with running.services.database.transaction() as session:
        told = audit_of(session, link["id"])
    assert [entry.action for entry in told][:2] == ["share.created", "share.revoked"]


@pytest.mark.usefixtures("sharing")
def test_links_are_the_projects(
    running: Serving, member: Caller, landscape: str, nobody: Caller
) -> None:
    link = made(member, landscape)
    at = f"/v1/landscapes/{landscape}/shares"
    with running.client(running.key("submitter", ["strangers"])[1]) as http:
        stranger = Caller(http, running.census)
        with stranger.nothing_changes():
            problem(stranger.post(at, {}), 404, "not_found")
            problem(http.get(f"/v1/shares/{link['id']}"), 404, "not_found")
            problem(http.delete(f"/v1/shares/{link['id']}"), 404, "not_found")
            assert stranger.get("/v1/shares", project=PROJECT).json()["items"] == []
            assert stranger.get("/v1/projects").json()["items"] == []
    with running.client(running.key("reader", [PROJECT])[1]) as http:
        reader = Caller(http, running.census)
        with reader.nothing_changes():
            problem(reader.post(at, {}), 403, "forbidden")
            problem(http.delete(f"/v1/shares/{link['id']}"), 403, "forbidden")
        listed = reader.get("/v1/shares", project=PROJECT).json()["items"]
        assert link["id"] in {one["id"] for one in listed}
        (project,) = reader.get("/v1/projects").json()["items"]
        assert (project["name"], project["sharing"]) == (PROJECT, True)
    problem(nobody.get("/v1/shares", project=PROJECT), 401, "unauthenticated")


@pytest.mark.usefixtures("sharing")
@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ({"expires_in": 0}, "invalid_request", "/expires_in"),
        ({"expires_in": 91 * 86_400}, "invalid_request", "/expires_in"),
        ({"figure": {"view": "surface"}}, "not_supported", "/view"),
        ({"figure": {"metric": "nonsense"}}, "invalid_request", "/metric"),
        ({"figure": {"width": 9000}}, "invalid_request", "/figure/width"),
        ({"figure": {"beside": ["lsc_" + "0" * 26]}}, "not_supported", "/figure/beside"),
        ({"format": "svg"}, "invalid_request", "/format"),
    ],
)
def test_links_that_cannot_be(
    member: Caller, landscape: str, body: dict[str, Any], code: str, pointer: str
) -> None:
    with member.nothing_changes():
        told = member.post(f"/v1/landscapes/{landscape}/shares", body)
        problem(told, 422, code, pointer)


@pytest.mark.usefixtures("sharing")
def test_the_link_is_whole_where_the_services_own_address_is_known(
    settings: Settings, running: Serving, landscape: str
) -> None:
    public = settings.model_copy(update={"public_url": "https://atlas.example"})
    with serving(public) as api, api.client(api.key("admin")[1]) as http:
        link = http.post(f"/v1/landscapes/{landscape}/shares", json={}).json()
        assert link["url"].startswith("https://atlas.example/s/")
        assert api.client().get(link["url"].removeprefix("https://atlas.example")).is_success


@pytest.mark.usefixtures("sharing")
def test_by_the_client_and_the_command(running: Serving, landscape: str, nobody: Caller) -> None:
    _, secret = running.key("submitter", [PROJECT])
    with lossatlas.Client(running.url, secret) as client:
        made = client.share(landscape, expires_in=timedelta(hours=1), theme="dark")
        assert made.url.startswith(f"{running.url}/s/")
        assert made.figure == {"theme": "dark"}
        assert timedelta(minutes=59) < made.expires_at - datetime.now(UTC) <= timedelta(hours=1)
        assert nobody.http.get(made.url).content.startswith(PNG)
        assert made.id in {share.id for share in client.shares(project=PROJECT)}
        assert client.unshare(made).revoked_at is not None
        assert nobody.http.get(made.url).status_code == 404

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "lossatlas.cli.command", *arguments],
            env={**os.environ, "LOSSATLAS_URL": running.url, "LOSSATLAS_KEY": secret},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    shared = command("share", landscape, "--view", "curve", "--days", "1")
    assert shared.returncode == 0, shared.stderr
    assert nobody.http.get(shared.stdout.strip()).content.startswith(PNG)
    ended = command("unshare", shared.stderr.split()[-1])
    assert ended.returncode == 0, ended.stderr
    assert nobody.http.get(shared.stdout.strip()).status_code == 404
