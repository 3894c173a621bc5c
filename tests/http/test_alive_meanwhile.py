"""The largest requests of the worst shapes, to every route: the process answers all the while.

The API is a process of its own. Somebody asks for `/livez` without a pause, on a connection kept
open, while each request is in hand; half a second is the promise. This machine is shared, so that a
request counts as one that silences the service when it does so each time it is tried.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from service.http.app import document
from service.main import ROUTERS
from service.settings import Settings
from tests.features.caller import Caller
from tests.features.pushed import push
from tests.features.reference import MLP
from tests.http.test_every_route import routes
from tests.http.test_processes import api, environment
from tests.http.test_wide_bodies import address, shapes
from tests.support.serving import Serving

LIVEZ = 0.5
TRIES = 3
KIB, MIB = 1 << 10, 1 << 20
#: Of a head, beside the key and what the client adds.
HEAD = 30 * KIB
#: What an answer may have beyond twice what was asked: it quotes a name and tells of it.
PLAIN = 24 * KIB


class Pulse:
    """Asks whether the service lives, all the time, on a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = httpx2.URL(url)
        self._http = http.client.HTTPConnection(parts.host, parts.port, timeout=60.0)
        self._beats = threading.Condition()
        self._slowest, self._count = 0.0, 0
        self._over = False
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        while not self._over:
            began = time.perf_counter()
            self._http.request("GET", "/livez")
            answer = self._http.getresponse()
            answer.read()
            with self._beats:
                self._slowest = max(self._slowest, time.perf_counter() - began)
                self._count += 1
                self._beats.notify_all()
            time.sleep(0.002)
        self._http.close()

    @contextmanager
    def slowest(self) -> Iterator[list[float]]:
        """The longest that an answer took while the block ran; in the list when it has ended."""
        found: list[float] = []
        with self._beats:
            self._slowest = 0.0
        yield found
        with self._beats:
            # the one that was asked for while the block ended
            last = self._count + 1
            assert self._beats.wait_for(lambda: self._count >= last, 60.0), "no pulse"
            found.append(self._slowest)

    def end(self) -> None:
        self._over = True
        self._thread.join()


@dataclass(frozen=True)
class Attacked:
    """The API's process, its routes, and things that exist for the paths."""

    url: str
    http: httpx2.Client
    pulse: Pulse
    routes: list[tuple[str, str]]
    ids: Mapping[str, str]

    def at(self, path: str) -> str:
        """Things that are there, where there are some: more is looked at of those."""
        return address(re.sub(r"{(\w+)}", lambda m: self.ids.get(m.group(1), m.group(0)), path))


@pytest.fixture(scope="module")
def attacked(settings: Settings, running: Serving) -> Iterator[Attacked]:
    secret = running.key("admin")[1]
    with running.client(secret) as direct:
        pushed = push(Caller(direct, running.census), MLP, "alive")
    ids = {
        "model_id": pushed.model,
        "checkpoint_id": pushed.final,
        "dataset_id": pushed.dataset,
        "project": "alive",
        "name": "prod",
        "extension": "png",
        "token": "A" * 43,
        "digest": "sha256:" + "0" * 64,
    }
    unlimited = {
        "LOSSATLAS_REQUESTS_PER_MINUTE": "0",
        "LOSSATLAS_SIGN_INS_PER_MINUTE": "0",
        "LOSSATLAS_WRONG_KEYS_PER_MINUTE": "0",
    }
    with (
        api(environment(settings, **unlimited)) as (_, url),
        httpx2.Client(
            base_url=url, headers={"Authorization": f"Bearer {secret}"}, timeout=120.0
        ) as caller,
    ):
        assert isinstance(running.server.config.app, FastAPI)
        pulse = Pulse(url)
        try:
            yield Attacked(url, caller, pulse, sorted(set(routes(running))), ids)
        finally:
            pulse.end()


def bodies() -> dict[str, bytes]:
    """JSON of the worst shapes, each as large as may be."""
    return {
        **{name: json.dumps(shape).encode() for name, shape in shapes().items()},
        "empty lists": b"[" + b"[]," * 340_000 + b"1]",
        "empty objects": b'{"a":[' + b"{}," * 340_000 + b"1]}",
        "equal names": b"{" + b'"name":1,' * 110_000 + b'"name":1}',
        "large numbers": b'{"grid":[' + b",".join([b"9" * 4000] * 250) + b"]}",
        "escapes": b'{"name":"' + b"\\u00e9" * 174_000 + b'"}',
        "quotes": b'"' + b'\\"' * 524_000,
        "wide and not ASCII": json.dumps(
            {chr(0x1F600 + i) * 5000: i for i in range(50)}, ensure_ascii=False
        ).encode(),
        "deep within": b'{"metadata":' + b'{"a":' * 150_000 + b"1" + b"}" * 150_001,
        "kinds": json.dumps({"kind": "x" * 500_000, "mode": "y" * 500_000}).encode(),
        "checkpoints": json.dumps(
            {"kind": "trajectory", "checkpoints": ["!"] * 19_900, "datasets": [1]}
        ).encode(),
        "rules": json.dumps({"rules": ["barrier <= 1 " * 5] * 15_000}).encode(),
        "one long rule": json.dumps({"rules": ["(" * 500_000 + "1 <= " * 80_000]}).encode(),
        "claims": json.dumps({"claims": {f"c{i}": ["x"] * 20 for i in range(900)}}).encode(),
        "tags": json.dumps({"tags": [" " * 30] * 19_000, "note": "x" * 20_000}).encode(),
    }


def forms() -> dict[str, bytes]:
    return {
        "many fields": b"&".join(b"f%d=1" % n for n in range(100_000))[:MIB],
        "equal fields": (b"tags=1&" * 150_000)[:MIB],
        "percents": b"tags=" + b"%" * (MIB - 10),
        "escapes": (b"note=" + b"%C3%A9" * 174_000)[:MIB],
        "one long field": b"tags=" + b"," * (MIB - 10),
    }


def files() -> dict[str, bytes]:
    """Objects; some are safetensors of the worst sort."""
    text = {
        "lists": b'{"a":[' + b"[]," * 3_000_000 + b"1]}",
        "tensors": b"{"
        + b",".join(
            b'"%x":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % n for n in range(24_000)
        )
        + b"}",
        "names": b'{"' + b"\\u00e9" * 1_000_000 + b'":{}}',
    }
    return {name: struct.pack("<Q", len(one)) + one for name, one in text.items()}


def queries() -> dict[str, str]:
    known = {
        parameter["name"]
        for path in document(ROUTERS)["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "query"
    } | {"ids", "view", "text", "tag", "next", "wrong", "code", "state", "page", "sort", "show"}
    share = HEAD // len(known)
    half = HEAD // 2
    return {
        "many": "&".join(f"q{n}=" for n in range(half // 8)) + "&" * half,
        "equal": "tag=a&" * (half // 6) + "beside=lsc_&" * (half // 12),
        "lists": "ids=" + ",a" * (half // 2) + "&text=" + "a+" * (half // 4 - 10),
        "each long": "&".join(f"{name}={'9' * (share - len(name) - 2)}" for name in known),
        "codes": "text=" + "%25" * (half // 3 - 5) + "&cursor=" + "W1tb" * (half // 4 - 10),
    }


def heads() -> dict[str, dict[str, str]]:
    return {
        "many tags": {"If-None-Match": '"a",' * (HEAD // 4)},
        "broken tags": {"If-None-Match": 'W/"' * (HEAD // 3), "If-Match": "W/" + '"a' * 2000},
        "spaces in tags": {"If-None-Match": '"a"' + " " * (HEAD - 20) + "x"},
        "cookies": {"Cookie": "lossatlas=a;" * (HEAD // 12)},
        "odd cookies": {"Cookie": '=";' * (HEAD // 3)},
        "ranges": {"Range": "bytes=" + "0-1," * (HEAD // 4 - 10), "If-Range": '"a"'},
        "a long range": {"Range": "bytes=" + "9" * (HEAD // 2) + "-"},
        "media types": {"Accept": "text/html;q=0.1," * (HEAD // 16)},
        "a preference": {"Prefer": "wait," * (HEAD // 5), "Last-Event-ID": "9" * 4000},
        "preferences": {"Prefer": "wait=" + " " * (HEAD - 20) + "x"},
        "a key for again": {"Idempotency-Key": "k" * HEAD},
        "a request id": {"X-Request-Id": "a" * (HEAD - 1) + "!"},
        "addresses": {"X-Forwarded-For": "1.1.1.1," * (HEAD // 8)},
        "an origin": {"Origin": "http://[" + ":" * (HEAD - 100), "X-CSRF-Token": "\xe9" * 50},
        "a media type": {"Content-Type": "application/" + "x" * (HEAD - 100) + "+json"},
        "fields": {f"X-{n}": "a" for n in range(180)},
    }


def attack(attacked: Attacked, requests: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Sends each; those during which the service was silent are tried again, one by one."""
    assert requests
    waiting = requests
    for _ in range(TRIES):
        silenced = []
        for method, path, options in waiting:
            with attacked.pulse.slowest() as slowest:
                answer = attacked.http.request(method, path, **options)
            assert answer.status_code < 500, (method, path[:200], answer.text[:300])
            if answer.status_code >= 400:
                asked = len(options.get("content", b"")) + len(path) + HEAD
                assert len(answer.content) <= 2 * asked + PLAIN, (method, path[:200])
                assert len(answer.content) <= 130_000, (method, path[:200])
            if slowest[0] >= LIVEZ:
                silenced.append((method, path, options))
        if not silenced:
            return
        waiting = silenced
    raise AssertionError([(method, path[:200]) for method, path, _ in waiting])


def bodied(attacked: Attacked) -> list[tuple[str, str]]:
    return [
        (method, attacked.at(path))
        for method, path in attacked.routes
        if method in ("POST", "PUT", "PATCH", "DELETE") and not path.startswith("/v1/objects/")
    ]


@pytest.mark.parametrize("name", bodies())
def test_bodies(attacked: Attacked, name: str) -> None:
    body = bodies()[name]
    assert len(body) <= MIB
    json_ = {"content": body, "headers": {"Content-Type": "application/json"}}
    attack(attacked, [(method, path, json_) for method, path in bodied(attacked)])


@pytest.mark.parametrize("name", forms())
def test_forms(attacked: Attacked, name: str) -> None:
    form = {
        "content": forms()[name],
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
    }
    attack(attacked, [(method, path, form) for method, path in bodied(attacked)])


@pytest.mark.parametrize("name", queries())
def test_queries(attacked: Attacked, name: str) -> None:
    query = queries()[name]
    attack(
        attacked,
        [
            (method, f"{attacked.at(path)}?{query}"[:HEAD], {})
            for method, path in attacked.routes
            if method == "GET"
        ],
    )


@pytest.mark.parametrize("name", heads())
def test_heads(attacked: Attacked, name: str) -> None:
    """Each to every fifth route, other ones each time: heads are read alike, whatever the route."""
    first = list(heads()).index(name) % 5
    fields = {k: v.encode("latin-1") for k, v in heads()[name].items()}
    attack(
        attacked,
        [
            (method, attacked.at(path), {"headers": fields})
            for method, path in attacked.routes[first::5]
        ],
    )


def test_files(attacked: Attacked) -> None:
    """Uploaded, and then named wherever a file can be named."""
    requests: list[tuple[str, str, dict[str, Any]]] = []
    model, checkpoint = attacked.ids["model_id"], attacked.ids["checkpoint_id"]
    for data in files().values():
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        requests += [
            ("PUT", f"/v1/objects/{digest}", {"content": data}),
            ("POST", f"/v1/models/{model}/checkpoints", {"json": {"weights": digest}}),
            (
                "POST",
                "/v1/datasets",
                {"json": {"project": "alive", "name": "d", "object": digest}},
            ),
            (
                "POST",
                "/v1/directions",
                {"json": {"checkpoint": checkpoint, "kind": "uploaded", "object": digest}},
            ),
            (
                "POST",
                "/v1/models",
                {"json": {"project": "alive", "name": "m", "program": digest}},
            ),
        ]
    attack(attacked, requests)


def test_bodies_at_once(attacked: Attacked) -> None:
    """The heaviest shapes, from as many connections as there are shapes."""
    heavy = list(bodies().values())

    def send(body: bytes) -> None:
        for path in ("/v1/jobs", "/v1/checks", "/v1/identity/token"):
            answer = attacked.http.post(
                path, content=body, headers={"Content-Type": "application/json"}
            )
            assert 400 <= answer.status_code < 500

    slowest = []
    for _ in range(TRIES):
        threads = [threading.Thread(target=send, args=(body,)) for body in heavy]
        with attacked.pulse.slowest() as found:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        slowest.append(found[0])
        if found[0] < LIVEZ:
            return
    raise AssertionError(slowest)
