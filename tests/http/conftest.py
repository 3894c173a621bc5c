"""A running API and, for each role, a caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from service.http.services import Services
from service.settings import Settings
from tests.features.by_hand import ByHand
from tests.features.caller import Caller
from tests.features.pushed import Pushed, push
from tests.features.reference import MLP, read
from tests.support.serving import Serving, serving

TRUST = {
    "issuer": "https://token.actions.githubusercontent.com",
    "audience": "https://lossatlas.example",
    "project": "http",
    "claims": {"repository_id": "1", "repository_owner_id": "2"},
}


@pytest.fixture(scope="session")
def running(settings: Settings) -> Iterator[Serving]:
    with serving(settings) as api:
        yield api


@pytest.fixture(scope="session")
def services(running: Serving) -> Services:
    """The API's own connections."""
    return running.services


@pytest.fixture(scope="session")
def admin(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("admin")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def api(running: Serving) -> Iterator[Caller]:
    """May add to every project."""
    with running.client(running.key("submitter")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def reader(running: Serving) -> Iterator[Caller]:
    with running.client(running.key("reader")[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def stranger(running: Serving) -> Iterator[Caller]:
    """May add to a project of its own, and sees no other."""
    with running.client(running.key("submitter", ["strangers"])[1]) as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def nobody(running: Serving) -> Iterator[Caller]:
    """Has no key."""
    with running.client() as http:
        yield Caller(http, running.census)


@pytest.fixture(scope="session")
def pushed(api: Caller) -> Pushed:
    return push(api, MLP, "http")


@pytest.fixture
def job(api: Caller, pushed: Pushed) -> str:
    """A queued job that nobody works on."""
    made = api.create(
        "/v1/jobs",
        {
            "kind": "interpolation",
            "origin": pushed.final,
            "target": pushed.first,
            "alpha": {"min": 0, "max": 1, "num": 3},
            "datasets": [pushed.dataset],
            "force": True,
        },
    )
    return str(made["id"])


@pytest.fixture(scope="module")
def ids(api: Caller, admin: Caller, services: Services, pushed: Pushed) -> dict[str, str]:
    """One of each thing, in a project that strangers do not see."""
    spec = {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [pushed.dataset],
        "force": True,
    }
    done = api.create("/v1/jobs", spec)["id"]
    ByHand(services, done).whole()
    finished = api.get(f"/v1/jobs/{done}").json()
    digest = api.put(read(MLP, "program.pt2"))
    alias = admin.http.put("/v1/aliases/http/prod", json={"target": finished["landscape"]})
    assert alias.status_code in (200, 201), alias.text
    admin.http.patch("/v1/projects/http", json={"sharing": True})
    link = api.create(f"/v1/landscapes/{finished['landscape']}/shares", {})
    rules = ["barrier <= baseline"]
    check = {"landscape": finished["landscape"], "baseline": "http/prod", "rules": rules}
    return {
        "digest": digest,
        "model_id": pushed.model,
        "checkpoint_id": pushed.final,
        "dataset_id": pushed.dataset,
        "direction_id": finished["directions"]["x"],
        "job_id": done,
        "landscape_id": finished["landscape"],
        "project": "http",
        "name": "prod",
        "check_id": api.create("/v1/checks", check)["id"],
        "extension": "png",
        "key_id": admin.get("/v1/keys/me").json()["id"],
        "token": "A" * 43,
        "share_id": link["id"],
        "trust_id": admin.create("/v1/identity/trusts", TRUST)["id"],
        "upload_id": api.create("/v1/uploads", {"digest": digest, "size": 10})["id"],
    }


@pytest.fixture(scope="module")
def bodies(pushed: Pushed, ids: dict[str, str]) -> dict[str, Any]:
    """A good body for each address that takes one."""
    line = {
        "kind": "interpolation",
        "origin": pushed.final,
        "target": pushed.first,
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [pushed.dataset],
    }
    return {
        "/v1/models": {"project": "http", "name": "m", "program": ids["digest"]},
        "/v1/models/{model_id}/checkpoints": {"weights": ids["digest"]},
        "/v1/datasets": {"project": "http", "name": "d", "object": ids["digest"]},
        "/v1/directions": {"checkpoint": pushed.final, "kind": "random", "seed": 1},
        "/v1/jobs": line,
        "/v1/landscapes/{landscape_id}": {"tags": ["new"]},
        "/v1/models/{model_id}": {"note": "new"},
        "/v1/aliases/{project}/{name}": {"target": ids["landscape_id"]},
        "/v1/checks": {"landscape": ids["landscape_id"], "rules": ["barrier <= 1"]},
        "/v1/identity/trusts": TRUST,
        "/v1/landscapes/{landscape_id}/shares": {"expires_in": 60},
        "/v1/projects/{project}": {"sharing": False},
        "/v1/keys": {"name": "k", "role": "reader"},
        "/v1/uploads": {"digest": ids["digest"], "size": 10},
    }
