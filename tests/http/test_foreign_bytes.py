"""Bytes that another project has: nothing tells that they are there, nor since when.

A stranger does the same things at two services. At one, another project has all the same bytes,
models, directions and results; at the other nobody has anything. Both give the same answers, byte
for byte, but for ids, times and addresses.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from tests.features.by_hand import ByHand
from tests.features.caller import Caller
from tests.features.pushed import push
from tests.features.reference import MLP, ROOT, read
from tests.support.servers import SettingsFactory
from tests.support.serving import Serving, serving

PROGRAM, DATA = read(MLP, "program.pt2"), read(MLP, "data.safetensors")
_WEIGHTS = sorted((ROOT / MLP).glob("checkpoint_*.safetensors"))
FIRST, FINAL = _WEIGHTS[0].read_bytes(), _WEIGHTS[-1].read_bytes()
#: Of an idempotent request, the same at both.
KEY = secrets.token_hex(16)

_ID = re.compile(r"\b[a-z]{3}_(…[0-9a-z]+|[0-9a-hjkmnp-tv-z]{26})\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00)?")
_SIGNED = re.compile(r"http://[^\"\s]+X-Amz-[^\"\s]+")
_ADDRESS = re.compile(r"127\.0\.0\.1:\d+")
#: Says when, not what.
_NOT_COMPARED = frozenset({"date", "x-request-id", "content-length"})


def line(ids: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": "interpolation",
        "origin": ids["final"],
        "target": ids["first"],
        "alpha": {"min": 0, "max": 1, "num": 3},
        "datasets": [ids["dataset"]],
    }


@dataclass
class Stranger:
    """Does everything that bytes can be given to, and writes down what it is told."""

    api: Caller
    known: list[str]
    told: list[tuple[str, str]] = field(default_factory=list)
    moments: list[datetime] = field(default_factory=list)

    def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        answer = self.api.http.request(method, path, **more)
        headers = "\n".join(
            f"{name}: {value}"
            for name, value in sorted(answer.headers.items())
            if name not in _NOT_COMPARED
        )
        text = f"{answer.status_code}\n{headers}\n\n{answer.text}"
        for written in re.findall(r"\d{4}-\d\d-\d\dT[\d:.]+Z", answer.text):
            self.moments.append(datetime.fromisoformat(written))
        for pattern, stands in (
            (_SIGNED, "<signed>"),
            (_ID, "<id>"),
            (_TIME, "<time>"),
            (_ADDRESS, "<address>"),
        ):
            text = pattern.sub(stands, text)
        self.told.append((f"{method} {_ID.sub('<id>', path)}", text))
        return answer

    def make(self, path: str, body: Any, **more: Any) -> str:
        return str(self.ask("POST", path, json=body, **more).json().get("id"))

    def look(self) -> None:
        """At all the lists, and at every object that the other has."""
        for path in ("models", "datasets", "directions", "jobs", "landscapes", "projects"):
            self.ask("GET", f"/v1/{path}")
        self.ask("GET", "/v1/aliases")
        for page in ("/", "/models", "/jobs"):
            self.ask("GET", page, headers={"Accept": "text/html"})
        for digest in self.known:
            for method in ("HEAD", "GET"):
                self.ask(method, f"/v1/objects/{digest}")

    def bring(self, data: bytes, *, in_parts: bool = False) -> str:
        digest = digest_of(data)
        address = f"/v1/objects/{digest}"
        for method in ("HEAD", "GET"):
            self.ask(method, address)
        if in_parts:
            upload = self.ask("POST", "/v1/uploads", json={"digest": digest, "size": len(data)})
            self.ask("POST", upload.json()["links"]["complete"])
            for part in self.ask("GET", upload.json()["links"]["self"]).json()["parts"]:
                sent = httpx2.put(part["url"], content=data[part["start"] : part["stop"]])
                assert sent.status_code == 200
            self.ask("POST", upload.json()["links"]["complete"])
        else:
            # other bytes of the same length first, then too few, then in chunks
            self.ask("PUT", address, content=data[:-1] + bytes([data[-1] ^ 1]))
            self.ask("PUT", address, content=data[:-1])
            self.ask("PUT", address, content=iter([data[:-1]]))
            self.ask("PUT", address, content=iter([data]))
        self.ask("PUT", address, content=data)
        self.ask("HEAD", address)
        self.ask("GET", address, headers={"Range": "bytes=0-9"})
        return digest

    def do_everything(self) -> None:
        self.look()
        # by digest alone, before anything was brought
        model = {"project": "mine", "name": "m", "program": digest_of(PROGRAM)}
        data = {"project": "mine", "name": "d", "object": digest_of(DATA)}
        self.make("/v1/models", model)
        self.make("/v1/datasets", data)
        self.bring(PROGRAM)
        ids = {"model": self.make("/v1/models", model), "twin": self.make("/v1/models", model)}
        weights = f"/v1/models/{ids['model']}/checkpoints"
        self.make(weights, {"weights": digest_of(FINAL)})
        self.bring(FINAL, in_parts=True)
        self.bring(FIRST)
        ids["final"] = self.make(weights, {"weights": digest_of(FINAL)})
        ids["first"] = self.make(weights, {"weights": digest_of(FIRST)})
        uploaded = {"kind": "uploaded", "object": digest_of(DATA), "checkpoint": ids["final"]}
        self.make("/v1/directions", uploaded)
        self.bring(DATA, in_parts=True)
        ids["dataset"] = self.make("/v1/datasets", data)
        self.make("/v1/directions", uploaded)
        self.make("/v1/directions", {"kind": "random", "seed": 1, "checkpoint": ids["final"]})
        between = {"kind": "between", "target": ids["first"], "checkpoint": ids["final"]}
        direction = self.make("/v1/directions", between)
        headers = {"Idempotency-Key": KEY}
        job = self.make("/v1/jobs", line(ids), headers=headers)
        self.make("/v1/jobs", line(ids), headers=headers)
        self.make("/v1/jobs", line(ids))
        for path in (
            f"/v1/models/{ids['model']}",
            weights,
            f"/v1/datasets/{ids['dataset']}",
            f"/v1/directions/{direction}",
            f"/v1/jobs/{job}",
            f"/models/{ids['model']}",
        ):
            self.ask("GET", path)
        self.make(
            "/v1/checks",
            {
                "landscape": "lsc_" + "0" * 26,
                "baseline": "theirs/prod",
                "rules": ["center_loss <= 1"],
            },
        )
        self.look()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def others_have_everything(api: Serving) -> list[str]:
    """A project that strangers do not see; every digest of it."""
    with api.client(api.key("submitter", ["theirs"])[1]) as http:
        owner = Caller(http, api.census)
        theirs = push(owner, MLP, "theirs")
        ids = {"final": theirs.final, "first": theirs.first, "dataset": theirs.dataset}
        made = http.post("/v1/jobs", json=line(ids), headers={"Idempotency-Key": KEY}).json()
        ByHand(api.services, made["id"]).whole()
        owner.create("/v1/directions", {"kind": "random", "seed": 1, "checkpoint": theirs.final})
        assert http.get(f"/v1/models/{theirs.model}").json()["state"] == "ready"
    with api.client(api.key("admin")[1]) as http:
        landscape = http.get(f"/v1/jobs/{made['id']}").json()["landscape"]
        put = http.put("/v1/aliases/theirs/prod", json={"target": landscape})
        assert put.status_code in (200, 201), put.text
    with api.services.database.transaction() as session:
        connection = session.connection().connection.dbapi_connection
        assert connection is not None
        cursor = connection.cursor()
        cursor.execute("SELECT digest FROM objects")
        return sorted(str(row[0]) for row in cursor.fetchall())


@pytest.fixture
def both(fresh_settings: SettingsFactory) -> Iterator[tuple[Serving, Serving]]:
    with ExitStack() as running:
        crowded = running.enter_context(serving(fresh_settings()))
        empty = running.enter_context(serving(fresh_settings()))
        yield crowded, empty


def test_nothing_tells_that_others_have_the_bytes(both: tuple[Serving, Serving]) -> None:
    crowded, empty = both
    known = others_have_everything(crowded)
    # objects of theirs from the files, their direction, tiles, graph and result
    assert len(known) >= 8
    began = datetime.now(UTC)
    told = []
    for api in (crowded, empty):
        with api.client(api.key("submitter", ["mine"])[1]) as http:
            stranger = Stranger(Caller(http, api.census), known)
            stranger.do_everything()
        assert min(stranger.moments) >= began.replace(microsecond=0)
        told.append(stranger.told)
    assert len(told[0]) == len(told[1]) > 100
    for (request, there), (same, here) in zip(*told, strict=True):
        assert request == same
        assert there.splitlines() == here.splitlines(), request


def test_colleagues_of_one_project_share(both: tuple[Serving, Serving]) -> None:
    """What a project refers to is known to its keys: 200, and since when the project has it."""
    api = both[1]
    with (
        api.client(api.key("submitter", ["ours"])[1]) as one,
        api.client(api.key("submitter", ["ours", "more"])[1]) as another,
        api.client(api.key("submitter", ["more"])[1]) as third,
    ):
        owner = Caller(one, api.census)
        digest = owner.put(DATA)
        body = {"project": "ours", "name": "d", "object": digest}
        made = owner.create("/v1/datasets", body)
        brought = another.put(f"/v1/objects/{digest}", content=DATA)
        assert brought.status_code == 200
        assert abs(moment(brought.json()) - moment(made)).total_seconds() < 1
        assert another.get(f"/v1/objects/{digest}").status_code == 200
        fresh = third.put(f"/v1/objects/{digest}", content=DATA)
        assert fresh.status_code == 201
        assert moment(fresh.json()) > moment(brought.json())
        assert third.put(f"/v1/objects/{digest}", content=DATA).json() == fresh.json()


def moment(answer: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(answer["created_at"])
